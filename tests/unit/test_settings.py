"""Settings: read once, refused at start when they contradict each other, and never telling a secret."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from difflib import get_close_matches

import pytest

from blnk_relay import InvalidSettings, Settings
from blnk_relay.environment import Environment
from blnk_relay.kinds.registry import KINDS
from blnk_relay.settings import LEASE_MARGIN_S, MISSPELT, PREFIX

SECRETS = {item.name for item in dataclasses.fields(Settings) if item.metadata["secret"]}
NUMBERS = [item.name for item in dataclasses.fields(Settings) if type(item.default) in (int, float)]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(PREFIX) or name == "SENTRY_DSN":
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"lease_s": 22.0}, ("BLNK_RELAY_LEASE_S", "22 s", "raise the lease or lower the timeouts")),
        ({"read_timeout_s": 60.0}, ("BLNK_RELAY_LEASE_S", "67 s")),
        ({"connect_timeout_s": 30.0}, ("BLNK_RELAY_LEASE_S",)),
        ({"dead_worker_s": 2.9}, ("BLNK_RELAY_DEAD_WORKER_S", "BLNK_RELAY_SWEEP_S", "(3)")),
        ({"sweep_s": 3.0}, ("BLNK_RELAY_DEAD_WORKER_S", "(9)")),
        ({"retry_cap_s": 0.1}, ("BLNK_RELAY_RETRY_CAP_S", "BLNK_RELAY_RETRY_BASE_S")),
        ({"lanes": ("a",)}, ("BLNK_RELAY_ROUTES", "inflight, refunds, transactions", "BLNK_RELAY_LANES")),
        ({"routes": ("refund=elsewhere",)}, ("BLNK_RELAY_ROUTES", "elsewhere", "add the lane or change the route")),
        ({"routes": ("refund",)}, ("BLNK_RELAY_ROUTES", "'refund'", "kind=lane")),
        ({"routes": ("refund=refunds=x",)}, ("BLNK_RELAY_ROUTES", "kind=lane")),
        ({"routes": ("refund=refunds", "refund=inflight")}, ("BLNK_RELAY_ROUTES", "'refund'", "twice")),
        ({"routes": ("refund=refunds", "refund=refunds")}, ("BLNK_RELAY_ROUTES", "'refund'", "twice")),
        ({"routes": ("refnd=refunds",)}, ("BLNK_RELAY_ROUTES", "'refnd'", "did you mean refund?")),
        ({"routes": ("=refunds",)}, ("BLNK_RELAY_ROUTES", "'=refunds'", "kind=lane")),
        ({"priority_lanes": ("vip",)}, ("BLNK_RELAY_PRIORITY_LANES", "vip", "BLNK_RELAY_LANES")),
        ({"lanes": ()}, ("BLNK_RELAY_LANES", "at least one")),
        ({"lanes": ("a", "a"), "routes": ()}, ("BLNK_RELAY_LANES", "each once")),
        ({"lanes": ("confirm",), "routes": ()}, ("BLNK_RELAY_LANES", "'confirm'")),
        ({"lanes": ("A lane",), "routes": ()}, ("BLNK_RELAY_LANES", "A lane")),
        ({"lanes": ("lane\n",), "routes": ()}, ("BLNK_RELAY_LANES",)),
        ({"namespace": ""}, ("BLNK_RELAY_NAMESPACE",)),
        ({"namespace": "relay\n"}, ("BLNK_RELAY_NAMESPACE",)),
        ({"namespace": "a}b"}, ("BLNK_RELAY_NAMESPACE",)),
        ({"durability": "disk"}, ("BLNK_RELAY_DURABILITY", "'disk'")),
        ({"durability": "replicated:0"}, ("BLNK_RELAY_DURABILITY",)),
        ({"durability": "fsync\n"}, ("BLNK_RELAY_DURABILITY",)),
        ({"key_retention_s": 604_800}, ("BLNK_RELAY_KEY_RETENTION_S", "BLNK_RELAY_RETENTION_S (604800)")),
        ({"outcome_queue": "relay.ingest"}, ("BLNK_RELAY_OUTCOME_QUEUE", "'relay.ingest'", "of our own", "for ever")),
        ({"outcome_queue": "relay.confirm", "outcome_task": "a.b"}, ("BLNK_RELAY_OUTCOME_QUEUE",)),
        ({"outcome_queue": "shop.refunds", "namespace": "shop"}, ("BLNK_RELAY_OUTCOME_QUEUE",)),
        ({"outcome_queue": "relay-ingest", "broker_url": "sqs://?region=eu-west-1"}, ("BLNK_RELAY_OUTCOME_QUEUE",)),
        ({"metrics_address": ""}, ("BLNK_RELAY_METRICS_ADDRESS", "127.0.0.1")),
        ({"metrics_address": "999.1.1.1"}, ("BLNK_RELAY_METRICS_ADDRESS", "'999.1.1.1'")),
        ({"metrics_address": "0.0.0.0:9464"}, ("BLNK_RELAY_METRICS_ADDRESS",)),
        ({"metrics_address": "[::]"}, ("BLNK_RELAY_METRICS_ADDRESS",)),
        ({"metrics_address": "*"}, ("BLNK_RELAY_METRICS_ADDRESS",)),
        ({"confirm": "hope"}, ("BLNK_RELAY_CONFIRM", "ledger, accepted")),
        ({"confirm_route": "guess"}, ("BLNK_RELAY_CONFIRM_ROUTE", "filters, data, core")),
    ],
)
def test_a_contradiction_is_refused_with_a_sentence_that_names_the_variables(given, says):
    with pytest.raises(InvalidSettings) as caught:
        Settings(**given)
    for part in says:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [{"outcome_queue": "shop.ingest"}, {"outcome_queue": "relay-ingest"}, {"outcome_queue": "relay.refunds.outcomes"}],
)
def test_a_queue_of_outcomes_may_be_called_anything_else(given):
    assert Settings(**given, outcome_task="shop.outcome").outcome_queue == given["outcome_queue"]


@pytest.mark.parametrize("address", ["127.0.0.1", "192.168.0.1", "::", "fe80::1", "localhost", "relay_1", "127.1"])
def test_metrics_are_answered_on_an_address_or_a_host(address):
    assert Settings(metrics_address=address).metrics_address == address


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 1e-9, 1e40])
def test_every_number_is_one_that_can_be_worked_with(name, value):
    if value == 0 and name in ("key_retention_s", "audit_window_s", "metrics_port", "history_retention_s"):
        assert Settings(**{name: value}) == Settings(), "keys are kept for ever, nobody audits, nothing is served"
        return
    with pytest.raises(InvalidSettings, match=f"BLNK_RELAY_{name.upper()} must be a number from"):
        Settings(**{name: value})


def test_the_defaults_agree_with_each_other_and_with_the_contract():
    settings = Settings.from_env()
    assert settings == Settings()
    # By contract §4.1, §3.5 and §6.3: connect 5 s, read 10 s or 15 s; 15 minutes and 5 hours; 2^53 - 1.
    assert (settings.connect_timeout_s, settings.read_timeout_s, settings.sync_read_timeout_s) == (5, 10, 15)
    assert (settings.horizon_s, settings.stuck_horizon_s) == (900, 18_000)
    assert settings.max_precise_amount == 9_007_199_254_740_991


@pytest.mark.parametrize(("longest", "margin"), [(15.0, 0.001), (20.0, 1.0)])
def test_a_lease_outlives_the_longest_request_and_its_margin(longest, margin):
    lease_s = 5 + longest + LEASE_MARGIN_S + margin
    assert Settings(sync_read_timeout_s=longest, lease_s=lease_s).lease_s == lease_s


def test_every_kind_has_a_lane_and_what_is_not_named_takes_the_first():
    settings = Settings(lanes=("one", "two"), routes=("refund=two",))
    assert [settings.route(kind) for kind in ("refund", "transaction", "inflight.void")] == ["two", "one", "one"]


def test_a_kind_of_a_newer_version_may_have_a_lane_but_one_that_is_misspelt_may_not():
    for older in ("card.freeze", "balance.update", "inflight.bulk_refund"):
        assert Settings(routes=(f"{older}=refunds",)).route(older) == "refunds"
    for kind in KINDS:
        # No two kinds are so much alike that one would be taken for the other.
        assert not get_close_matches(kind, [other for other in KINDS if other != kind], 1, MISSPELT)


def test_the_broker_is_the_server_of_the_journal_unless_it_is_given():
    assert Settings(redis_url="redis://a").broker == "redis://a:6379/0"
    assert Settings(redis_url="redis://a", broker_url="redis://b").broker == "redis://b:6379/0"


def test_all_keys_of_a_target_share_one_hash_tag_and_no_two_targets_share_it():
    settings = Settings(namespace="shop")
    assert (settings.prefix("eu"), settings.prefix("us")) == ("{shop:v1:eu}:", "{shop:v1:us}:")


# -- the environment -----------------------------------------------------------------------------------------------


def test_every_setting_is_read_from_its_variable(monkeypatch):
    text = {
        "REDIS_URL": "redis://elsewhere/3",
        "LEASE_S": "45.5",
        "CONNECTIONS": "32",
        "LANES": "fast, slow",
        "ROUTES": "refund=slow",
        "CONFIRM": " accepted ",
    }
    for name, value in text.items():
        monkeypatch.setenv(PREFIX + name, value)
    settings = Settings.from_env()
    assert settings.redis_url == "redis://elsewhere/3"
    assert (settings.lease_s, settings.connections) == (45.5, 32)
    assert (settings.lanes, settings.routes) == (("fast", "slow"), ("refund=slow",))
    assert settings.confirm == "accepted"


def test_what_is_given_in_code_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("BLNK_RELAY_CONNECTIONS", "32")
    assert Settings.from_env(connections=4).connections == 4


def test_a_variable_may_be_a_file(monkeypatch, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("blnk_s3cret\n")
    monkeypatch.setenv("BLNK_RELAY_SENTRY_DSN_FILE", str(secret))
    assert Settings.from_env().sentry_dsn == "blnk_s3cret"


def test_of_the_file_of_a_key_the_path_is_kept_because_the_key_may_change(monkeypatch, tmp_path):
    path = tmp_path / "token"
    path.write_text("blnk_s3cret\n")
    monkeypatch.setenv("BLNK_RELAY_TOKEN_FILE", str(path))
    settings = Settings.from_env()
    assert (settings.token, settings.token_file) == ("", str(path))
    assert "s3cret" not in repr(settings.ledgers)


def test_a_number_may_be_a_file_as_well(monkeypatch, tmp_path):
    path = tmp_path / "number"
    path.write_text("7")
    monkeypatch.setenv("BLNK_RELAY_CONNECTIONS_FILE", str(path))
    assert Settings.from_env().connections == 7


def test_a_variable_and_its_file_together_are_refused(monkeypatch, tmp_path):
    path = tmp_path / "token"
    path.write_text("one")
    monkeypatch.setenv("BLNK_RELAY_TOKEN_FILE", str(path))
    monkeypatch.setenv("BLNK_RELAY_TOKEN", "other")
    with pytest.raises(InvalidSettings, match="BLNK_RELAY_TOKEN and BLNK_RELAY_TOKEN_FILE are both set"):
        Settings.from_env()


@pytest.mark.parametrize(
    ("name", "text"), [("REDIS_URL", "127.0.0.1:6379"), ("BASE_URL", "ledger"), ("LEASE_S", "1"), ("CONFIRM", "hope")]
)
def test_what_is_refused_of_a_file_is_told_by_the_variable_that_names_it(monkeypatch, tmp_path, name, text):
    path = tmp_path / "value"
    path.write_text(text)
    monkeypatch.setenv(f"BLNK_RELAY_{name}_FILE", str(path))
    with pytest.raises(InvalidSettings, match=rf"^BLNK_RELAY_{name}_FILE\b"):
        Settings.from_env()
    monkeypatch.delenv(f"BLNK_RELAY_{name}_FILE")
    monkeypatch.setenv(f"BLNK_RELAY_{name}", text)
    with pytest.raises(InvalidSettings, match=rf"^BLNK_RELAY_{name}\b"):
        Settings.from_env()


@pytest.mark.parametrize("make", [lambda path: path / "nothing", lambda path: path], ids=["missing", "a folder"])
@pytest.mark.parametrize("name", ["TOKEN", "CONNECTIONS"])
def test_a_file_that_cannot_be_read_is_named(monkeypatch, tmp_path, make, name):
    monkeypatch.setenv(f"BLNK_RELAY_{name}_FILE", str(make(tmp_path)))
    with pytest.raises(InvalidSettings, match=f"BLNK_RELAY_{name}_FILE"):
        Settings.from_env()


@pytest.mark.parametrize("name", ["BLNK_RELAY_TOKN", "BLNK_RELAY_", "BLNK_RELAY_TOKEN_FILES", "BLNK_RELAY_LEASE"])
def test_an_unknown_variable_under_our_prefix_is_refused(monkeypatch, name):
    monkeypatch.setenv(name, "x")
    with pytest.raises(InvalidSettings, match=f"{name} is not a setting"):
        Settings.from_env()


def test_variables_of_others_are_left_alone(monkeypatch):
    monkeypatch.setenv("BLNK_TOKEN", "x")
    monkeypatch.setenv("blnk_relay_token", "x")
    assert Settings.from_env() == Settings()


FLAG = next(item.name for item in dataclasses.fields(Settings) if type(item.default) is bool)


@pytest.mark.parametrize("words", [("1", "true", "T", "Yes", "y", " ON\n"), ("0", "FALSE", "f", "no", "N", "off ")])
def test_true_and_false_may_be_said_in_several_ways(monkeypatch, words):
    meant = "1" in words
    for word in words:
        monkeypatch.setenv(PREFIX + FLAG.upper(), word)
        # Some contradict each other for one of the two, so the reading alone is asked.
        read = Environment(dict(os.environ)).values(
            [item for item in dataclasses.fields(Settings) if item.name == FLAG]
        )
        assert read == {FLAG: meant}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONNECTIONS", "many"),
        ("CONNECTIONS", "1.5"),
        ("LEASE_S", ""),
        ("LEASE_S", "nan"),
        ("LEASE_S", "inf"),
        (FLAG.upper(), "perhaps"),
        (FLAG.upper(), ""),
    ],
)
def test_a_value_that_cannot_be_read_is_refused_by_name(monkeypatch, name, value):
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(InvalidSettings, match=PREFIX + name):
        Settings.from_env()


def test_settings_are_read_without_what_validates_payloads():
    """Every command waits for what is imported here."""
    code = "import sys, blnk_relay; blnk_relay.Settings.from_env(); print('marshmallow' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


def test_the_dsn_of_sentry_is_read_under_its_own_name_too(monkeypatch):
    monkeypatch.setenv("SENTRY_DSN", "https://a@sentry/1")
    assert Settings.from_env().sentry_dsn == "https://a@sentry/1"
    monkeypatch.setenv("BLNK_RELAY_SENTRY_DSN", "https://b@sentry/2")
    assert Settings.from_env().sentry_dsn == "https://b@sentry/2"


# -- secrets -------------------------------------------------------------------------------------------------------


def test_whatever_holds_a_credential_is_a_secret():
    assert {
        "token",
        "oauth_client_secret",
        "oauth_refresh_token",
        "redis_url",
        "broker_url",
        "sentry_dsn",
        "encryption_keys",
        "history_url",
    } == SECRETS


def test_no_secret_is_ever_printed():
    credential = {"oauth_client_id": "client", "token": ""}
    given = {"redis_url": "redis://:hidden@a", "broker_url": "redis://:hidden@b"}
    given["history_url"] = "postgresql://hidden@c/d"
    given["encryption_keys"] = "k:hiddenhidden" + "A" * 31 + "="
    settings = Settings(**{**{name: f"hidden-{name}" for name in SECRETS}, **given, **credential})
    assert "hidden" not in repr(settings.ledgers)
    assert "hidden" not in repr(Settings(token="hidden", instance_id="i"))  # noqa: S106
    assert "hidden" not in repr(settings)
    assert "hidden" not in str(settings)


@pytest.mark.parametrize("name", ["TOKEN", "REDIS_URL", "OAUTH_CLIENT_SECRET", "LANES"])
def test_quotes_that_no_shell_took_off_are_named(monkeypatch, tmp_path, name):
    path = tmp_path / "value"
    path.write_text("'Sekret'\n", "utf-8")
    for variable, value in ((name, '"Sekret"'), (f"{name}_FILE", str(path))):
        if name == "TOKEN" and variable != name:
            continue  # the file is a setting of its own
        monkeypatch.setenv(f"BLNK_RELAY_{variable}", value)
        with pytest.raises(
            InvalidSettings, match=f"BLNK_RELAY_{variable} .*begins with a quote; take the quotes off"
        ) as caught:
            Settings.from_env()
        assert "Sekret" not in str(caught.value)
        monkeypatch.delenv(f"BLNK_RELAY_{variable}")


def test_no_secret_is_quoted_by_an_error(monkeypatch):
    monkeypatch.setenv("BLNK_RELAY_TOKEN", "hidden")
    monkeypatch.setenv("BLNK_RELAY_LEASE_S", "1")
    with pytest.raises(InvalidSettings) as caught:
        Settings.from_env()
    assert "hidden" not in str(caught.value)


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().lease_s = 1.0  # type: ignore[misc]
