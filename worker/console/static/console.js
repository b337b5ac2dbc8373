// What runs in a browser besides htmx: the printed token on its way from the address into its form, and a hint when
// the stream of a page has broken off.
"use strict";

(() => {
  const bring = () => {
    const form = document.querySelector("form[data-token]");
    if (!form || location.hash.length < 2) return;
    const token = decodeURIComponent(location.hash.slice(1));
    // The token leaves the address at once, and was never sent to anybody with it.
    history.replaceState(null, "", location.pathname + location.search);
    form.querySelector("input[name=token]").value = token;
    form.submit();
  };
  bring();
  window.addEventListener("hashchange", bring);

  const live = document.querySelector("[data-live]");
  const word = document.getElementById("live-word");
  if (live && word) {
    const say = (text) => {
      if (word.textContent !== text) word.textContent = text;
    };
    live.addEventListener("htmx:sse:after:connection", () => say("Live"));
    live.addEventListener("htmx:sse:error", (event) => {
      say("Not live: trying again");
      // The session has ended: signing in leads back here.
      if (event.detail.status === 401) location.reload();
    });
    // htmx goes on trying once it was connected; whether it ever was, nobody else sees to.
    setInterval(() => {
      if (!document.hidden && !live._htmx?.sse) htmx.trigger(live, "again");
    }, 10_000);
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) say("Resting while nobody looks");
    });
  }
})();
