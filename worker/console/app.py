"""The console as an ASGI application: who asks, whether they may, and what answers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, request_response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from blnk_relay import Operator, RelayError
from blnk_relay.bell import Bells
from blnk_relay.journal.journals import Journals, asked_once
from worker.console import arriving
from worker.console.answering import HERE, Answers, refusal
from worker.console.asking import Answer, Ask, BadRequest, Broken, Door, NotAllowed, Page, link
from worker.console.doors import DOORS
from worker.console.errands import Errands
from worker.console.guard import LIVE, METRICS, READY, Guard, same_origin
from worker.console.hands import Hands, where_of
from worker.console.live import Pulse, stream
from worker.console.settings import OIDC, TOKEN, ConsoleSettings
from worker.console.signin.doorkeeper import Caller, Doorkeeper, Wait
from worker.console.signin.oidc import NotSignedIn, Oidc
from worker.console.signin.rights import Person, Right
from worker.console.signin.seal import AWAY_S
from worker.console.taking import check
from worker.metrics import Exposition
from worker.metrics.exposition import Answer as Exposed

#: Largest body, and most fields of a form.
MOST_BODY, _MOST_FIELDS = 256 * 1024, 200

#: Threads for each of what anybody may ask for (the identity provider, metrics, whether we are ready), and requests
#: that may wait for one.
_THREADS, _MOST_WAITING = 4, 32

#: How long a body may take.
_BODY_S = 20.0

#: The header that a page's own scripts send in place of a form's token.
FORM_TOKEN_HEADER = "x-form-token"  # noqa: S105 - the name of a header

#: The field of a form that has it.
FORM_TOKEN = "form_token"  # noqa: S105 - the name of a field

_LOG = logging.getLogger("blnk_relay.console")

_SORRY = "the console has failed at this; its log says where. Nothing was changed, unless the action log says so."


class Console:
    """The console.

    Args:
        journals: Those of all targets, such as a relay's (``relay.journals``). They stay their owner's to close.
        settings: How it is signed in to, and who may do what.
        bells: To wake workers after an act; bells of its own when None.
        printed: The digest of the token that was printed, for ``sign_in`` by token.
        holder: The name of whoever has that token.
        who_is: Says who sends a request, where an application knows that itself; then nobody signs in here. It gets
            the ASGI scope, and returns None for somebody who is not let in.

    Example:
        ::

            app.mount("/relay", Console(relay.journals, ConsoleSettings.from_env(), who_is=person_of))
    """

    def __init__(
        self,
        journals: Journals,
        settings: ConsoleSettings,
        *,
        bells: Bells | None = None,
        printed: str = "",
        holder: str = "operator",
        who_is: Callable[[Scope], Person | None] | None = None,
    ) -> None:
        self.settings = settings
        self._operators = {
            False: Operator(journals, bells, via="console"),
            True: Operator(journals, bells, via="API"),
        }
        self._answers = Answers()
        self._hands = Hands()
        # Strangers have threads of their own, so that nobody who was let in waits for those of a flood of them; and so
        # has each thing that they may ask for, so that a slow identity provider hides nothing from a supervisor.
        self._signing, self._scraped, self._ready = (Hands(_THREADS, _MOST_WAITING) for _ in range(3))
        self._keeper = Doorkeeper(settings, printed, holder, who_is)
        self._oidc = Oidc(settings, f"{settings.url.rstrip('/')}/signin/back") if settings.sign_in == OIDC else None
        self.errands = Errands()
        self.pulse = Pulse(self._hands, self._operators[False], self.errands)
        self._exposition = Exposition(journals)
        handlers: Any = {RelayError: self._failed, HTTPException: self._odd, Exception: self._broken}
        served = Starlette(routes=self._routes(), exception_handlers=handlers)
        # Whatever no route is for; one that all would match has to stand behind those that match but for the method.
        served.router.redirect_slashes = False
        served.router.default = request_response(self._nowhere)
        self._app = Guard(served, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, as ASGI says."""
        await self._app(scope, receive, send)

    def close(self) -> None:
        """Let its threads end, and give back the connections that are its own."""
        self.errands.close()
        for hands in (self._hands, self._signing, self._scraped, self._ready):
            hands.close()
        for operator in self._operators.values():
            operator.close()

    # What is answered

    def _routes(self) -> list[BaseRoute]:
        return [
            Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
            Route("/signin", self._sign_in_page, methods=["GET"]),
            Route("/signin", self._sign_in, methods=["POST"]),
            Route("/signin/away", self._sign_in_away, methods=["GET"]),
            Route("/signin/back", self._sign_in_back, methods=["GET"]),
            Route("/signout", self._sign_out, methods=["POST"]),
            Route(LIVE, self._alive, methods=["GET"]),
            Route(READY, self._can_work, methods=["GET"]),
            Route(METRICS, self._metrics, methods=["GET"]),
            Route("/live", self._live, methods=["GET"]),
            *(Route(door.path, partial(self._enter, door), methods=[door.method]) for door in DOORS),
        ]

    async def _enter(self, door: Door, request: Request) -> Response:
        """Let somebody through a door."""
        caller = self._keeper.caller(request, api=door.api)
        if caller is None:
            return self._stranger(request, api=door.api)
        fresh, ask = "", None
        if caller.session is None and caller.person.rights and request.method == "GET" and not door.api:
            caller, fresh = self._keeper.at_home(caller)
        try:
            _check_right(caller.person, door)
            form = await self._form(request, caller, api=door.api) if door.method == "POST" else {}
            pairs = request.query_params.multi_items()
            check(door, pairs, form)
            ask = Ask(
                operator=self._operators[door.api],
                errands=self.errands,
                settings=self.settings,
                person=caller.person,
                session=caller.session,
                path=request.path_params,
                query=dict(request.query_params),
                form=form,
                pairs=pairs,
                root=arriving.root(request),
                here=arriving.here(request),
                partly=arriving.partly(request),
            )
            response = await self._hands.do(partial(self._answered, door, ask))
        except RelayError as error:
            response = self._refused(error, ask, request, caller)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody is shown more than that
            _LOG.error("the console failed at %s %s: %s", door.method, door.path, where_of(error))
            response = self._refused(Broken(_SORRY), ask, request, caller)
        if fresh:
            self._keeper.set_cookie(request, response, fresh)
        return response

    def _refused(self, error: RelayError, ask: Ask | None, request: Request, caller: Caller) -> Response:
        known = ask or _nobody(self, request, caller)
        return self._answers.failure(error, known, arriving.root(request), as_json=arriving.for_scripts(request))

    def _answered(self, door: Door, ask: Ask) -> Response:
        # What is only looked at; an act is tried wherever it is meant.
        with asked_once() if door.method == "GET" else nullcontext():
            answer: Answer = door.answer(ask)
            return self._answers.response(answer, ask)

    def _stranger(self, request: Request, *, api: bool) -> Response:
        """Somebody who was not let in."""
        if api:
            return refusal(401, "NotSignedIn", "send a key of the API as 'Authorization: Bearer …', or sign in")
        root = arriving.root(request)
        if self._keeper.vouched:
            message = "This console is reached through the proxy in front of it, which says who you are; it did not."
            return self._answers.html(Page("failure.html", {"title": "Not signed in", "message": message}, 403), root)
        here = arriving.here(request)
        onward = here if arriving.ours(here) else "/"
        if request.method == "GET" and request.headers.get("sec-fetch-site") == "cross-site":
            # Somebody follows a link from elsewhere, and the browser keeps their cookie back: ask once more from here.
            return self._answers.html(Page("onward.html", {"onward": onward}), root)
        to = link(root, "/signin", onward=onward if request.method == "GET" and onward != "/" else None)
        if arriving.partly(request):
            return Response("", 401, {"HX-Redirect": to})
        return RedirectResponse(to, 303)

    async def _form(self, request: Request, caller: Caller, *, api: bool) -> Mapping[str, Any]:
        """What was sent, once it is clear that a page of ours or a script with a key sends it.

        Raises:
            NotAllowed: Another site may have sent it.
            BadRequest: It cannot be read.
        """
        body = await _body(request)
        as_json = request.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
        if api:
            if not as_json:
                raise BadRequest("send one JSON object, with Content-Type: application/json")
            form: Mapping[str, Any] = _object(body)
            token = request.headers.get(FORM_TOKEN_HEADER, "")
        else:
            form = _fields(body)
            token = str(form.get(FORM_TOKEN, ""))
        session = caller.session
        of_ours = (
            session is not None and same_origin(request.headers, self.settings) and session.sent_by_its_form(token)
        )
        if not (caller.by_key or of_ours):
            raise NotAllowed(
                "this was not sent by a page of this console, or its session has ended; load the page anew"
            )
        return form

    async def _nowhere(self, request: Request) -> Response:
        as_json = arriving.for_scripts(request)
        caller = self._keeper.caller(request, api=as_json)
        if caller is None:
            return self._stranger(request, api=as_json)
        if as_json:
            return refusal(404, "NotFound", "there is nothing under this address")
        values = {"title": "Not found", "message": "There is nothing under this address."}
        page = Page("failure.html", values, 404)
        return self._answers.html(page, arriving.root(request), ask=_nobody(self, request, caller))

    async def _failed(self, request: Request, error: RelayError) -> Response:
        """Somebody failed before it was clear what is asked for."""
        as_json = arriving.path(request) == METRICS or arriving.for_scripts(request)
        return self._answers.failure(error, None, arriving.root(request), as_json=as_json)

    async def _odd(self, request: Request, error: HTTPException) -> Response:
        """What is asked for in another way than it can be."""
        if arriving.for_scripts(request):
            response = refusal(error.status_code, "OtherMethod", "this address is there for another method")
        else:
            response = PlainTextResponse(error.detail, error.status_code)
        response.headers.update(error.headers or {})
        return response

    async def _broken(self, request: Request, _: Exception) -> Response:
        """A fault of ours; the guard notes where it is."""
        as_json = arriving.for_scripts(request)
        return self._answers.failure(Broken(_SORRY), None, arriving.root(request), as_json=as_json)

    async def _live(self, request: Request) -> Response:
        caller = self._keeper.caller(request, api=False)
        if caller is None or caller.session is None or not caller.person.may(Right.VIEWER):
            return Response("", 401)
        if request.method == "HEAD":
            return Response("", media_type="text/event-stream")
        return stream(request, self.pulse, self._keeper.lasting(request))

    async def _alive(self, _: Request) -> Response:
        """Whether this process should go on: for whoever started it. Nobody is asked, and nobody waited for."""
        return _exposed(self._exposition.healthz())

    async def _can_work(self, request: Request) -> Response:
        """Whether it can do its work now."""
        return await self._from(self._ready, self._exposition.readyz, request)

    async def _metrics(self, request: Request) -> Response:
        """Metrics, for a scraper with a key, or for anybody where the settings say so."""
        if not self.settings.metrics_open:
            caller = self._keeper.caller(request, api=True)
            if caller is None:
                return self._stranger(request, api=True)
            if not caller.person.may(Right.VIEWER):
                return refusal(403, "NotAllowed", _lacks(caller.person, Right.VIEWER))
        return await self._from(self._scraped, self._exposition.metrics, request)

    async def _from(self, hands: Hands, read: Callable[[], Exposed], request: Request) -> Response:
        try:
            return _exposed(await hands.do(read))
        except RelayError as error:
            return self._answers.failure(error, None, arriving.root(request), as_json=True)

    # Signing in and out

    async def _sign_in_page(self, request: Request) -> Response:
        return self._sign_in_form(request, "")

    def _sign_in_form(self, request: Request, problem: str, status: int = 200) -> Response:
        onward, root = request.query_params.get("onward", ""), arriving.root(request)
        if self._keeper.vouched:
            return RedirectResponse(link(root, "/"), 303)
        values = {"problem": problem, "sign_in": self.settings.sign_in}
        return self._answers.html(
            Page("signin.html", values | {"onward": onward if arriving.ours(onward) else ""}, status), root
        )

    async def _sign_in(self, request: Request) -> Response:
        """Somebody brings the printed token."""
        if self.settings.sign_in != TOKEN or self._keeper.vouched:
            return self._sign_in_form(request, "Nobody signs in with a token here.", 400)
        if not same_origin(request.headers, self.settings):
            return self._sign_in_form(request, "Another site has sent this; sign in here.", 403)
        try:
            self._keeper.try_token(request)
            form = _fields(await _body(request))
        except Wait as error:
            response = self._sign_in_form(request, f"{str(error).capitalize()}.", 429)
            response.headers["Retry-After"] = str(error.seconds)
            return response
        except BadRequest as error:
            return self._sign_in_form(request, str(error), 400)
        person = self._keeper.holder(request, str(form.get("token", "")).strip())
        if person is None:
            return self._sign_in_form(request, "That is not the token that was printed when this console started.", 403)
        onward = str(form.get("onward", ""))
        to = arriving.root(request) + (onward if arriving.ours(onward) else "/")
        return self._keeper.let_in(request, person, RedirectResponse(to, 303))

    async def _sign_in_away(self, request: Request) -> Response:
        """Send somebody to the identity provider."""
        if self._oidc is None:
            return self._sign_in_form(request, "There is no identity provider here.", 404)
        onward = request.query_params.get("onward", "")
        try:
            away = await self._signing.do(partial(self._oidc.begin, onward if arriving.ours(onward) else "/"))
        except RelayError as error:
            return self._sign_in_form(request, f"Signing in has failed: {error}.", 502)
        return self._keeper.send_away(request, RedirectResponse(away.url, 303), away.browser, AWAY_S)

    async def _sign_in_back(self, request: Request) -> Response:
        """Somebody comes back from the identity provider."""
        if self._oidc is None:
            return self._sign_in_form(request, "There is no identity provider here.", 404)
        given = request.query_params
        if "code" not in given:
            return self._sign_in_form(request, "Signing in has failed: the identity provider gave no word of you.", 403)
        brought = given.get("state", ""), given.get("code", ""), self._keeper.kept_away(request)
        try:
            person, onward = await self._signing.do(partial(self._oidc.finish, *brought))
        except NotSignedIn as error:
            return self._sign_in_form(request, f"Signing in has failed: {error}.", 403)
        except RelayError as error:
            return self._sign_in_form(request, f"Signing in has failed: {error}.", 503)
        # The cookie is for our own pages alone, and a browser that was sent here from elsewhere would not show it.
        response = self._answers.html(Page("onward.html", {"onward": onward}), arriving.root(request))
        return self._keeper.let_in(request, person, self._keeper.back(request, response))

    async def _sign_out(self, request: Request) -> Response:
        caller, root = self._keeper.caller(request, api=False), arriving.root(request)
        if caller is not None and caller.session is not None:
            try:
                await self._form(request, caller, api=False)
            except (NotAllowed, BadRequest) as error:
                return self._answers.failure(error, None, root, as_json=False)
        return self._keeper.let_out(request, RedirectResponse(link(root, "/signin"), 303))


def _exposed(answer: Exposed) -> Response:
    return Response(answer.body, answer.status, {"Content-Type": answer.content_type})


def _check_right(person: Person, door: Door) -> None:
    if not person.may(door.right):
        raise NotAllowed(_lacks(person, door.right))


def _lacks(person: Person, right: Right) -> str:
    return f"this takes the right {right.value!r}, which {person.name} does not have"


def _nobody(console: Console, request: Request, caller: Caller) -> Ask:
    """As much of a request as an error needs."""
    return Ask(
        operator=console._operators[False],  # noqa: SLF001 - of this module
        errands=console.errands,
        settings=console.settings,
        person=caller.person,
        session=caller.session,
        path={},
        query={},
        root=arriving.root(request),
        partly=True,
    )


async def _body(request: Request) -> bytes:
    """What was sent.

    Raises:
        BadRequest: It is too large, or stops half-way.
    """
    found = b""
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in request.stream():
                found += chunk
                if len(found) > MOST_BODY:
                    raise BadRequest(f"what was sent is larger than {MOST_BODY // 1024} KiB")
    except TimeoutError:
        raise BadRequest(f"what was sent has not come within {_BODY_S:g} s") from None
    except ClientDisconnect:
        raise BadRequest("what was sent stops half-way") from None
    return found


def _fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise BadRequest("what was sent is not a form of this console") from None
    return _members(pairs)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """What a form or a JSON object has; of what it has twice nobody can tell which is meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadRequest("what was sent has a name twice")
    return found


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body or b"{}", object_pairs_hook=_members)
        # An escape may stand for half a character, which nothing can keep.
        json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadRequest("what was sent has a text with half a character in it, such as \\ud800") from None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise BadRequest("what was sent is not a JSON object")
    return document
