"""Several ledgers: how they are named, what contradicts, who has which credential."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import certifi
import pytest

from blnk_relay import InvalidIntent, InvalidSettings, Relay, Settings, Target, Write, create_ledger, upload_records
from blnk_relay.environment import PREFIX
from blnk_relay.intake import prepare
from blnk_relay.journal.entries import id_of
from blnk_relay.kinds.registry import KINDS
from tests.support.payments import payment
from worker.console.settings import ConsoleSettings
from worker.demo.stage import as_environment
from worker.ledger.ledgers import check_targets

HERE: dict[str, str] = {"instance_id": "inst_1", "token": "blnk_hidden"}
CORE: dict[str, str] = {"api": "core", "base_url": "http://core:5001", "token": "blnk_hidden"}
CLIENT: dict[str, str] = {"oauth_client_id": "client", "oauth_client_secret": "hidden"}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    import os

    for name in list(os.environ):
        if name.startswith(PREFIX) or name == "SENTRY_DSN":
            monkeypatch.delenv(name)


# -- names and variables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["eu", "eu_west_1", "a" * 32, "token", "x9"])
def test_a_name_is_lower_case_letters_and_digits_joined_by_underscores(name):
    assert Target(name=name).variable("base_url") == f"BLNK_RELAY_{name.upper()}__BASE_URL"


@pytest.mark.parametrize(
    "name", ["", "EU", "eu-west", "eu__west", "_eu", "eu_", "1eu", "a" * 33, "eu\n", "a:b", "a|b", "é"]
)
def test_any_other_name_is_refused(name):
    with pytest.raises(InvalidSettings, match=r"BLNK_RELAY_TARGETS.*cannot be the name of a target"):
        Target(name=name)


@pytest.mark.parametrize("names", [("default",), ("eu", "eu")])
def test_no_two_targets_share_a_name(names):
    with pytest.raises(InvalidSettings, match="stands twice"):
        Settings(**HERE, targets=tuple(Target(name=name, **HERE) for name in names))


def test_named_targets_are_read_from_variables_of_their_own(monkeypatch, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("blnk_us\n")
    given = {
        "TARGETS": "eu, us,own_core",
        "EU__INSTANCE_ID": "inst_eu",
        "EU__TOKEN": "blnk_eu",
        "EU__CONFIRM_ROUTE": "data",
        "US__BASE_URL": "https://us.example",
        "US__INSTANCE_ID": "inst_us",
        "US__TOKEN_FILE": str(secret),
        "OWN_CORE__API": "core",
        "OWN_CORE__BASE_URL": "http://core:5001",
        "OWN_CORE__TOKEN": "blnk_core",
    }
    for name, value in given.items():
        monkeypatch.setenv(PREFIX + name, value)
    settings = Settings.from_env()
    assert list(settings.ledgers) == ["eu", "us", "own_core"]
    assert settings.ledgers["eu"] == Target(name="eu", instance_id="inst_eu", token="blnk_eu", confirm_route="data")  # noqa: S106
    assert (settings.ledgers["us"].token, settings.ledgers["us"].token_file) == ("", str(secret))
    assert settings.ledgers["own_core"].api == "core"


def test_a_target_may_be_called_like_a_program_that_has_settings_of_its_own(monkeypatch):
    for name in ("CONSOLE", "CONSOLE_EU"):
        monkeypatch.setenv(f"{PREFIX}{name}__BASE_URL", f"https://{name.lower()}.example")
        monkeypatch.setenv(f"{PREFIX}{name}__INSTANCE_ID", f"inst_{name.lower()}")
    monkeypatch.setenv(f"{PREFIX}TARGETS", "console,console_eu")
    assert list(Settings.from_env().ledgers) == ["console", "console_eu"]
    assert ConsoleSettings.from_env() == ConsoleSettings()
    monkeypatch.setenv(f"{PREFIX}CONSOLE__TOKNE", "x")
    with pytest.raises(InvalidSettings, match=f"did you mean {PREFIX}CONSOLE__TOKEN"):
        Settings.from_env()


def test_a_secret_of_a_named_target_may_be_a_file(monkeypatch, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    monkeypatch.setenv("BLNK_RELAY_TARGETS", "eu")
    monkeypatch.setenv("BLNK_RELAY_EU__OAUTH_CLIENT_ID", "client")
    monkeypatch.setenv("BLNK_RELAY_EU__OAUTH_CLIENT_SECRET_FILE", str(secret))
    assert Settings.from_env().ledgers["eu"].oauth_client_secret == "s3cret"  # noqa: S105


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"EU__TOKEN": "x"}, "about a target 'eu', which BLNK_RELAY_TARGETS does not name"),
        ({"TARGETS": "us", "EU__TOKEN": "x"}, "about a target 'eu'"),
        ({"TARGETS": "eu", "EU__TOKN": "x"}, "BLNK_RELAY_EU__TOKN is not a setting"),
        ({"TARGETS": "eu", "EU__LEASE_S": "1"}, "BLNK_RELAY_EU__LEASE_S is not a setting"),
        ({"TARGETS": "eu", "EU_TOKEN": "x"}, "BLNK_RELAY_EU_TOKEN is not a setting"),
        ({"TARGETS": "EU"}, "'EU' cannot be the name"),
        ({"TARGETS": "eu,"}, "'' cannot be the name"),
        ({"TARGETS": "eu", "EU__TOKEN": "x", "EU__TOKEN_FILE": "/f"}, "BLNK_RELAY_EU__TOKEN_FILE are both set"),
        ({"TARGETS": "eu", "EU__TOKEN_FILE": "/no/such"}, "BLNK_RELAY_EU__TOKEN_FILE: '/no/such' cannot be read"),
        ({"TARGETS": "eu", "EU__TOKEN_FILE_FILE": "/f"}, "BLNK_RELAY_EU__TOKEN_FILE_FILE is not a setting"),
        ({"TOKEN_FILE_FILE": "/f"}, "BLNK_RELAY_TOKEN_FILE_FILE is not a setting"),
    ],
)
def test_what_is_no_variable_of_a_target_is_refused(monkeypatch, given, says):
    for name, value in given.items():
        monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env()
    assert says in str(caught.value)


def test_settings_travel_through_the_environment_unchanged(monkeypatch):
    settings = Settings(**HERE, targets=(Target(name="eu", **HERE), Target(name="own", **CORE, confirm_route="core")))
    for name, value in as_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings.from_env() == settings
    assert Settings.from_env().ledgers == settings.ledgers
    assert pickle.loads(pickle.dumps(settings)).ledgers == settings.ledgers  # noqa: S301 - our own bytes


# -- contradictions ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"api": "proxy"}, "BLNK_RELAY_EU__API must be one of cloud, core"),
        ({"confirm_route": "guess"}, "BLNK_RELAY_EU__CONFIRM_ROUTE must be one of"),
        ({"token": "a", "token_file": "/f"}, "BLNK_RELAY_EU__TOKEN and BLNK_RELAY_EU__TOKEN_FILE are both set"),
        ({"token": "a", **CLIENT}, "BLNK_RELAY_EU__TOKEN and BLNK_RELAY_EU__OAUTH_CLIENT_ID are both set"),
        ({"token_file": "/f", "oauth_refresh_token": "a"}, "BLNK_RELAY_EU__OAUTH_REFRESH_TOKEN are both set"),
        ({"oauth_client_id": "a"}, "BLNK_RELAY_EU__OAUTH_CLIENT_SECRET are needed together"),
        ({"oauth_refresh_token": "a"}, "are needed together"),
        ({**CORE, "token": "", **CLIENT}, "a Core does not know OAuth"),
        ({**CORE, "instance_id": "i"}, "BLNK_RELAY_EU__INSTANCE_ID: a Core is one instance"),
        ({**CORE, "confirm_route": "data"}, "BLNK_RELAY_EU__CONFIRM_ROUTE: a Core has no Data API"),
    ],
)
def test_a_target_that_contradicts_itself_is_refused_by_the_names_of_its_variables(given, says):
    with pytest.raises(InvalidSettings) as caught:
        Target(name="eu", **given)
    assert says in str(caught.value)
    own = {name: value for name, value in given.items() if name != "name"}
    with pytest.raises(InvalidSettings) as caught:
        Settings(**own)
    assert says.replace("EU__", "") in str(caught.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"token": "a"}, "BLNK_RELAY_EU__INSTANCE_ID is needed"),
        ({"instance_id": "i"}, "BLNK_RELAY_EU__TOKEN is needed"),
        ({"api": "core", "token": "a"}, "BLNK_RELAY_EU__BASE_URL is needed"),
        ({"api": "core", "base_url": "http://core"}, "BLNK_RELAY_EU__TOKEN is needed"),
    ],
)
def test_what_only_a_worker_needs_is_only_required_of_a_worker(given, says):
    target = Target(name="eu", **given)
    with pytest.raises(InvalidSettings) as caught:
        target.require()
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "given", [HERE, CORE, {"instance_id": "i", **CLIENT}, {"instance_id": "i", "token_file": "/f"}]
)
def test_a_target_with_all_that_it_needs_is_content(given):
    Target(name="eu", **given).require()


def test_no_secret_of_a_target_is_ever_shown():
    secrets = {item.name for item in dataclasses.fields(Target) if item.metadata.get("secret")}
    assert secrets == {"token", "oauth_client_secret", "oauth_refresh_token", "redis_url", "encryption_keys"}
    for given in ({"token": "hidden"}, {"redis_url": "redis://:hidden@h"}, {**CLIENT, "oauth_refresh_token": "hidden"}):
        assert "hidden" not in repr(Target(name="eu", **given))
        assert "hidden" not in repr(Settings(targets=(Target(name="eu", **given),)))


# -- which targets there are ---------------------------------------------------------------------------------------


def test_there_is_always_a_target():
    assert list(Settings().ledgers) == ["default"]


@pytest.mark.parametrize("given", [{"instance_id": "i"}, {"token": "a"}, {"base_url": "http://x"}, CLIENT, CORE])
def test_the_default_target_is_there_beside_others_where_anything_is_said_about_it(given):
    assert list(Settings(**given, targets=(Target(name="eu"),)).ledgers) == ["default", "eu"]


def test_it_is_not_there_where_only_others_are_named():
    settings = Settings(targets=(Target(name="eu"), Target(name="us")))
    assert list(settings.ledgers) == ["eu", "us"]
    with Relay(settings) as relay, pytest.raises(InvalidIntent) as caught:
        prepare(relay.settings, Write(intent=payment("order-1"), key="order-1"))
    assert caught.value.errors == {"target": ["Unknown target 'default'; the settings name eu, us."]}


# -- enqueuing -----------------------------------------------------------------------------------------------------


@pytest.fixture
def relay():
    targets = (Target(name="eu"), Target(name="own", **CORE), Target(name="data", confirm_route="data"))
    with Relay(Settings(targets=targets, **HERE)) as running:
        yield running


def test_an_intent_is_recorded_for_the_target_that_it_chose(relay):
    here = prepare(relay.settings, Write(intent=payment("order-1"), key="order-1"))
    there = prepare(relay.settings, Write(intent=payment("order-1"), key="order-1", target="eu"))
    assert (here.entry.target, there.entry.target) == ("default", "eu")
    assert (here.entry.id, there.entry.id) == (id_of("default", "order-1"), id_of("eu", "order-1"))
    assert here.entry.id != there.entry.id
    assert here.fingerprint != there.fingerprint
    assert there.references == ("order-1",)


def test_what_it_waits_for_belongs_to_the_same_target(relay):
    new = prepare(relay.settings, Write(intent=payment("b"), key="b", after=("a",), order_key="x", target="eu"))
    assert new.after_ids == (id_of("eu", "a"),)
    assert new.entry.orders == ("own:x",)


def test_an_instance_is_named_by_what_can_be_seen():
    with pytest.raises(
        InvalidSettings, match=r"BLNK_RELAY_EU__INSTANCE_ID: .*U\+200B ZERO WIDTH SPACE \(its character 7"
    ):
        Target(name="eu", instance_id="inst_1\u200b", token="a")  # noqa: S106


@pytest.mark.parametrize("target", ["us", "", "EU", None, ["eu"], 1])
def test_an_unknown_target_is_refused_at_the_door(relay, target):
    with pytest.raises(InvalidIntent) as caught:
        relay.enqueue(payment("order-1"), key="order-1", target=target)
    assert caught.value.errors["target"] == [f"Unknown target {target!r}; the settings name default, eu, own, data."]


def test_the_route_of_each_target_decides_which_references_it_takes(relay):
    intent = payment("1,000")
    assert prepare(relay.settings, Write(intent=intent, key="k", target="eu")).entry.reference == "1,000"
    with pytest.raises(InvalidIntent, match="Data API"):
        prepare(relay.settings, Write(intent=intent, key="k", target="data"))


def test_what_a_core_could_not_prove_is_refused_there_and_nowhere_else(relay):
    text = b"ID,Amount,Currency,Reference,Description,Date\ns-1,12.50,EUR,r,d,2026-11-20T09:15:31Z\n"
    statement = upload_records("bank-x", text, name="statement.csv")
    assert prepare(relay.settings, Write(intent=statement, target="eu")).entry.target == "eu"
    with pytest.raises(InvalidIntent) as caught:
        prepare(relay.settings, Write(intent=statement, target="own"))
    assert "no read of external transactions" in caught.value.errors["target"][0]
    assert prepare(relay.settings, Write(intent=create_ledger("x"), key="l", target="own")).entry.target == "own"


def test_every_kind_is_taken_by_a_core_but_those_without_a_read():
    # What Core's router can read of reconciliation is one run (Core: api/api.go Router).
    assert {kind.name for kind in KINDS.values() if kind.cloud_only} == {
        "matching_rule.create",
        "matching_rule.update",
        "matching_rule.delete",
        "reconciliation.start_instant",
        "reconciliation.upload",
    }


def test_authorities_that_cannot_be_used_are_found_at_start_and_not_by_payments(tmp_path):
    empty, usual = tmp_path / "empty.pem", Path(certifi.where())
    empty.write_text("none\n")
    for path, says in ((tmp_path / "gone.pem", "FileNotFoundError"), (empty, "SSLError")):
        eu = Target(name="eu", **HERE, ca_bundle=str(path))
        with pytest.raises(InvalidSettings, match=f"BLNK_RELAY_EU__CA_BUNDLE: .* cannot be used .{says}"):
            check_targets(Settings(targets=(eu,)))
    for path in (usual, usual.parent):
        check_targets(Settings(targets=(Target(name="eu", **HERE, ca_bundle=str(path)),)))
