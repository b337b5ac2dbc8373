"""Variables that Kubernetes makes of services whose names begin like ours are no settings, and stop nobody."""

from __future__ import annotations

import dataclasses
import os

import pytest

from blnk_relay import InvalidSettings, Settings
from blnk_relay.environment import PREFIX
from blnk_relay.service_links import is_service_link
from worker.console.settings import ConsoleSettings


def links(service: str, address: str, port: int, name: str = "") -> dict[str, str]:
    """What Kubernetes makes of a service with one port, as its documents have it."""
    begin = service.upper().replace("-", "_")
    url = f"tcp://{f'[{address}]' if ':' in address else address}:{port}"
    return {
        f"{begin}_SERVICE_HOST": address,
        f"{begin}_SERVICE_PORT": str(port),
        **({f"{begin}_SERVICE_PORT_{name.upper()}": str(port)} if name else {}),
        f"{begin}_PORT": url,
        f"{begin}_PORT_{port}_TCP": url,
        f"{begin}_PORT_{port}_TCP_PROTO": "tcp",
        f"{begin}_PORT_{port}_TCP_PORT": str(port),
        f"{begin}_PORT_{port}_TCP_ADDR": address,
    }


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(PREFIX) or name == "SENTRY_DSN":
            monkeypatch.delenv(name)


@pytest.mark.parametrize("service", ["blnk-relay", "blnk-relay-metrics", "blnk-relay-console", "blnk-relay-worker-2"])
@pytest.mark.parametrize("address", ["10.96.0.7", "fd00:10:96::7"])
def test_a_service_that_is_called_like_us_stops_neither_us_nor_the_console(monkeypatch, service, address):
    for name, value in links(service, address, 9464, "http").items():
        monkeypatch.setenv(name, value)
    assert Settings.from_env() == Settings()
    assert ConsoleSettings.from_env().port == ConsoleSettings().port


def test_what_is_set_is_taken_beside_them(monkeypatch):
    for name, value in links("blnk-relay", "10.96.0.7", 9464).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BLNK_RELAY_METRICS_PORT", "9464")
    assert Settings.from_env().metrics_port == 9464


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("METRICS_PORT", "tcp://0.0.0.0"),
        ("METRICS_PORT", "http://10.96.0.7:9464"),
        ("METRICS_PORTS", "9464"),
        ("METRIC_PORT", "9464"),
        ("PORT", "9464"),
        ("SERVICE_HOST", "relay.example"),
        ("REDIS_PORT_6379_TCP", "redis://10.96.0.7:6379"),
    ],
)
def test_what_only_looks_like_one_is_refused_as_ever(monkeypatch, name, value):
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(InvalidSettings, match=f"{PREFIX}{name}"):
        Settings.from_env()


@pytest.mark.parametrize("name", [item.name for item in dataclasses.fields(Settings)])
def test_no_setting_with_a_value_that_it_could_have_is_taken_for_one(name):
    for value in ("1", "10.0.0.1", "tcp", "9464", "::1", "redis://10.0.0.1:6379"):
        assert not is_service_link(PREFIX + name.upper(), value)
