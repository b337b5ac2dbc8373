"""Addresses of a Redis and of a ledger: what works is taken, what would not is refused with what to write instead."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
from typing import Any
from urllib.parse import quote

import pytest
from kombu import Connection
from kombu.transport.redis import Channel
from kombu.utils.url import parse_url

from blnk_relay import InvalidSettings, Settings, bell
from blnk_relay.address import BrokerAddress, RedisAddress
from blnk_relay.bell import Bells, broker_options
from blnk_relay.journal.connection import pool_options
from blnk_relay.targets import Target, normalised
from blnk_relay.transport.broker import configuration, url_for_celery
from worker.app import make_app

#: What an address names has to be there.
FILE = __file__


@pytest.mark.parametrize(
    ("url", "options", "broker"),
    [
        ("redis://h", {"host": "h", "port": 6379, "db": 0}, "redis://h:6379/0"),
        ("redis://h:1/2", {"host": "h", "port": 1, "db": 2}, "redis://h:1/2"),
        ("redis://h:1?db=2", {"host": "h", "port": 1, "db": 2}, "redis://h:1/2"),
        ("redis://h:1/2?db=2", {"host": "h", "port": 1, "db": 2}, "redis://h:1/2"),
        ("redis://[::1]:1/", {"host": "::1", "port": 1, "db": 0}, "redis://[::1]:1/0"),
        ("redis://redis_main.internal.", {"host": "redis_main.internal.", "port": 6379, "db": 0}, None),
        (
            "redis://:p%2Fw%23@h:1/2",
            {"host": "h", "port": 1, "db": 2, "password": "p/w#"},
            "redis://:p%2Fw%23@h:1/2",
        ),
        (
            "redis://u:p@h",
            {"host": "h", "port": 6379, "db": 0, "username": "u", "password": "p"},
            "redis://u:p@h:6379/0",
        ),
        (
            "rediss://h:1/2",
            {"host": "h", "port": 1, "db": 2},
            "rediss://h:1/2?ssl_cert_reqs=required",
        ),
        (
            f"rediss://h:1/2?ssl_cert_reqs=none&ssl_check_hostname=false&ssl_ca_certs={FILE}",
            {
                "host": "h",
                "port": 1,
                "db": 2,
                "ssl_cert_reqs": "none",
                "ssl_check_hostname": False,
                "ssl_ca_certs": FILE,
            },
            f"rediss://h:1/2?ssl_cert_reqs=none&ssl_check_hostname=false&ssl_ca_certs={quote(FILE, safe='')}",
        ),
        ("unix:///run/r.sock", {"path": "/run/r.sock", "db": 0}, "redis+socket:///run/r.sock?virtual_host=0"),
        ("unix:///run/r.sock?db=3", {"path": "/run/r.sock", "db": 3}, "redis+socket:///run/r.sock?virtual_host=3"),
        (
            "unix://u:p%40@/run/r.sock?db=3",
            {"path": "/run/r.sock", "db": 3, "username": "u", "password": "p@"},
            "redis+socket://u:p%40@/run/r.sock?virtual_host=3",
        ),
        (
            "unix:///run/r.sock?password=p",
            {"path": "/run/r.sock", "db": 0, "password": "p"},
            "redis+socket://:p@/run/r.sock?virtual_host=0",
        ),
    ],
)
def test_an_address_means_the_same_to_the_journal_and_to_the_broker(url, options, broker):
    settings = Settings(redis_url=url)
    assert settings.journal_address("default").client_options() == options
    if broker is not None:
        assert settings.broker == broker
    for of_kombu in (settings.broker, url_for_celery(settings)):
        found = _kombu_options(of_kombu)
        expected = {"username": None, "password": None, **options}
        for name in ("host", "port", "path", "db", "username", "password", "ssl_ca_certs", "ssl_check_hostname"):
            assert found.get(name) == expected.get(name), (name, of_kombu)
        assert issubclass(found["connection_class"], _kombu_options(settings.broker)["connection_class"])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis+cluster://h", {"asks": "cluster", "hosts": (("h", 6379),)}),
        ("redis+cluster://h:1,[::1],[::2]:3/0", {"hosts": (("h", 1), ("::1", 6379), ("::2", 3))}),
        ("rediss+cluster://u:p%2C@h,i:2,h", {"secure": True, "hosts": (("h", 6379), ("i", 2)), "password": "p,"}),
        ("redis+sentinel://h,i:2/main", {"asks": "sentinel", "hosts": (("h", 26379), ("i", 2)), "service": "main"}),
        ("redis+sentinel://:p,q@h/main/3", {"database": 3, "password": "p,q", "service": "main"}),
        (
            "rediss+sentinel://h/main?db=3&sentinel_username=u&sentinel_password=p%26&ssl_ca_certs=/a",
            {"database": 3, "sentinel_username": "u", "sentinel_password": "p&", "tls": {"ssl_ca_certs": "/a"}},
        ),
    ],
)
def test_an_address_may_name_several_that_are_asked_for_the_server(url, expected):
    address = RedisAddress.parsed("X", url)
    assert {name: getattr(address, name) for name in expected} == expected
    assert "p%2C" not in repr(address)


def test_a_broker_behind_sentinels_is_told_to_celery_in_its_own_words():
    settings = Settings(redis_url="redis+sentinel://u:p@h:1,i/main/3")
    assert settings.broker == "sentinel://u:p@h:1/3;sentinel://u:p@i:26379/3"
    assert broker_options(settings)["master_name"] == "main"
    assert url_for_celery(settings) == "blnkrelay://u:p@h:1/3"
    assert "master_name" not in broker_options(Settings())


def test_files_of_certificates_are_settings_that_an_address_may_override(tmp_path):
    ours, own, gone = (tmp_path / f"{name}.pem" for name in ("ours", "own", "gone"))
    ours.write_text("x")
    own.write_text("y")
    settings = Settings(
        redis_url=f"rediss+sentinel://h/main?ssl_ca_certs={own}",
        broker_url="redis://h",
        redis_ca_bundle=str(ours),
        redis_client_cert=str(ours),
    )
    assert settings.journal_address("default").tls == {"ssl_ca_certs": str(own), "ssl_certfile": str(ours)}
    assert not settings.broker_address.tls
    for fields, says in (
        ({"redis_ca_bundle": str(ours)}, "BLNK_RELAY_REDIS_CA_BUNDLE is set, but no address of a Redis is a rediss"),
        ({"redis_url": "rediss://h", "redis_client_cert": str(gone)}, "REDIS_CLIENT_CERT: '.*' cannot be read"),
        ({"redis_url": "rediss://h", "redis_client_key": str(ours)}, "REDIS_CLIENT_KEY is of no use without"),
        ({"redis_url": f"rediss://h?ssl_ca_certs={gone}"}, r"REDIS_URL: what \?ssl_ca_certs= names cannot be read"),
        ({"broker_url": f"rediss://h?ssl_keyfile={gone}"}, r"BROKER_URL: what \?ssl_keyfile= names cannot be read"),
        ({"broker_url": f"amqps://h?ssl_certfile={gone}"}, r"BROKER_URL: what \?ssl_certfile= names cannot be read"),
    ):
        with pytest.raises(InvalidSettings, match=says):
            Settings(**fields)


def _kombu_options(url: str) -> dict:
    connection = Connection(url)
    channel_type = connection.get_transport_cls().Channel
    channel = channel_type.__new__(channel_type)
    channel.connection = connection.transport
    assert isinstance(channel, Channel)
    return channel._connparams()


@pytest.mark.parametrize("name", ["REDIS_URL", "BROKER_URL"])
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ('"redis://127.0.0.1:6379/0"', "begins with a quote; take the quotes off"),
        ("'redis://127.0.0.1:6379/0", "begins with a quote; take the quotes off"),
        ("127.0.0.1:6379", "has no scheme; write it as in redis://127.0.0.1:6379/0"),
        ("localhost", "has no scheme"),
        ("redis://", "does not name a host"),
        ("redis:///0", "does not name a host"),
        ("redis://:secret@:6379/0", "does not name a host"),
        ("redis://*", "does not name a host"),
        ("redis://a;redis://b", "does not name a host"),
        ("redis://a,b", "does not name a host"),
        ("redis://999.1.1.1", "does not name a host"),
        ("redis://h:0", "its port is not a number from 1 to 65535"),
        ("redis://h:65536", "its port is not a number from 1 to 65535"),
        ("redis://h:port", "its port is not a number from 1 to 65535"),
        ("redis://:sec/ret@h:1/0", "in a password write %2F for '/'"),
        ("redis://:sec?ret@h:1/0", "%3F for '?'"),
        ("redis://:sec#ret@h:1/0", "in a password write %23"),
        ("redis://user:123?sec@h:1/0", "in a password write %3F"),
        ("redis://[::1/0", "its host cannot be read"),
        ("redis://h/zero", "the database is a number"),
        ("redis://h/0/1", "the database is a number"),
        ("redis://h/-1", "the database is a number"),
        ("redis://h?db=one", "the database is a number"),
        ("redis://h/1?db=2", "names two databases"),
        ("redis://h?db=1&db=2", "?db= stands twice"),
        ("redis://h?db=", "?db= needs a value"),
        ("redis://h/0?socket_timeout=600", "BLNK_RELAY_REDIS_TIMEOUT_S is the setting for it"),
        ("redis://h/0?socket_connect_timeout=600", "BLNK_RELAY_REDIS_TIMEOUT_S"),
        ("redis://h/0?timeout=600", "BLNK_RELAY_REDIS_TIMEOUT_S"),
        ("redis://h/0?decode_responses=no", "?decode_responses= is not taken"),
        ("redis://h/0?max_connections=1", "?max_connections= is not taken"),
        ("redis://h/0?protocol=2", "?protocol= is not taken"),
        ("redis://h/0?virtual_host=2", "?virtual_host= is not taken"),
        ("redis://h/0?ssl_cert_reqs=none", "it belongs to rediss://"),
        ("rediss://h/0?ssl_cert_reqs=CERT_NONE", "needs required or optional or none"),
        ("rediss://h/0?ssl_check_hostname=0", "needs true or false"),
        ("redis://h:1/0 ", "a space or a control character"),
        ("redis://h\n:1/0", "a space or a control character"),
        ("unix://run/redis.sock", "three slashes"),
        ("unix:///", "three slashes"),
        ("unix:///r.sock?virtual_host=1", "?virtual_host= is not taken"),
        ("redis+socket:///r.sock", "write unix:///<path>?db=<database>"),
        ("sentinel://h:26379", "write redis+sentinel://<host>:<port>,<host>:<port>/<service>/<database>"),
        ("cluster://h", "write redis+cluster://<host>:<port>,<host>:<port>"),
        ("redis+sentinel://h:26379", "does not name the service"),
        ("redis+sentinel://h:26379,i:26379/0", "does not name the service"),
        ("redis+sentinel://h:26379/a%20b", "does not name the service"),
        ("redis+sentinel://h:26379/main/one", "the database is a number"),
        ("redis+sentinel://h:26379/main/1?db=2", "names two databases"),
        ("redis+sentinel://h,,i/main", "does not name a host"),
        ("redis+sentinel://h,i@j,k#/main", "in a password write %23"),
        ("redis+sentinel://h,i:port/main", "its port is not a number"),
        ("redis+sentinel://h/main?ssl_cert_reqs=none", "it belongs to rediss://"),
        ("redis+sentinel://h/main?sentinel_password=", "?sentinel_password= needs a value"),
        ("redis+sentinel://" + ",".join(f"h{n}" for n in range(65)) + "/main", "names more than 64 hosts"),
        ("redis+cluster://h,*", "does not name a host"),
        ("redis+cluster://h:0,i", "its port is not a number"),
        ("redis+cluster://h,i/1", "a Redis Cluster has no database but 0"),
        ("redis+cluster://h?db=1", "a Redis Cluster has no database but 0"),
        ("redis+cluster://:sec/ret@h:1,i:2", "in a password write %2F"),
        ("valkey://h", "write redis://<host>"),
        ("valkeys://h", "write rediss://<host>"),
        ("http://h", "'http' is not known here; use redis://"),
        ("memory://", "'memory' is not known here"),
    ],
)
def test_an_address_of_a_redis_that_would_not_work_is_refused_at_start(monkeypatch, name, url, says):
    monkeypatch.setenv(f"BLNK_RELAY_{name}", url)
    with pytest.raises(InvalidSettings) as caught:
        Settings(**{name.lower(): url})
    assert f"BLNK_RELAY_{name}" in str(caught.value)
    assert says in str(caught.value)
    assert "sec" not in str(caught.value).replace("second", "")


@pytest.mark.parametrize(
    ("url", "expected", "of_kombu"),
    [
        ("amqp://h", {"host": "h", "port": 5672, "virtual_host": "/"}, "amqp://h:5672/%2F"),
        ("amqp://h/", {"virtual_host": "/"}, "amqp://h:5672/%2F"),
        ("amqp://h//", {"virtual_host": "/"}, "amqp://h:5672/%2F"),
        ("amqp://h:1/shop", {"port": 1, "virtual_host": "shop"}, "amqp://h:1/shop"),
        ("amqp://u:p%2F%40@[::1]/a%2Fb", {"host": "::1", "password": "p/@"}, "amqp://u:p%2F%40@[::1]:5672/a%2Fb"),
        ("AMQPS://u:p@h", {"scheme": "amqps", "port": 5671, "secure": True}, "amqps://u:p@h:5671/%2F"),
        (f"amqps://h?ssl_ca_certs={FILE}", {"tls": {"ssl_ca_certs": FILE}}, "amqps://h:5671/%2F"),
        ("sqs://?region=eu-west-1", {"region": "eu-west-1", "counts": False}, "sqs://"),
        ("sqs://AK:s%2F%2B@?region=us-gov-west-1", {"username": "AK", "password": "s/+"}, "sqs://AK:s%2F%2B@"),
    ],
)
def test_a_broker_may_be_rabbitmq_or_sqs(url, expected, of_kombu):
    settings = Settings(redis_url="redis+cluster://h", broker_url=url)
    address = settings.broker_address
    assert {name: getattr(address, name) for name in expected} == expected
    assert settings.broker == of_kombu
    assert isinstance(address, BrokerAddress)
    assert "password" not in repr(address)
    # It means the same to kombu, under its own name for it and under ours.
    for read_by_kombu in (of_kombu, url_for_celery(settings)):
        parts = parse_url(read_by_kombu)
        assert (parts["hostname"] or "", parts["userid"] or "", parts["password"] or "") == (
            address.host,
            address.username,
            address.password,
        )
        if address.host:
            assert (parts["port"], parts["virtual_host"]) == (address.port, address.virtual_host)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("amqp://", "does not name a host that could exist; write amqp://<user>:<password>@<host>:<port>/"),
        ("amqps://u:secret@/", "does not name a host"),
        ("amqp://a;amqp://b", "does not name a host"),
        ("amqp://h,i", "does not name a host"),
        ("amqp://u:sec/ret@h", "in a password write %2F"),
        ("amqp://u:sec#ret@h", "in a password write %23"),
        ("amqp://u:5?secret@h", "in a password write %3F"),
        ("amqp://secret@h", "a user without a password"),
        ("amqp://:secret@h", "a user without a password"),
        ("amqp://h:0", "its port is not a number"),
        ("amqp://h /", "a space or a control character"),
        ("amqp://h?ssl_ca_certs=/a", "it belongs to amqps://"),
        ("amqp://h?heartbeat=0", "nothing may stand there"),
        ("amqp://h?connection_timeout=600", "BLNK_RELAY_REDIS_TIMEOUT_S is the setting for it"),
        ("amqps://h?ssl_cert_reqs=no", "needs required or optional or none"),
        ("amqps://h?verify=no", "only ssl_ca_certs, "),
        ("sqs://", "does not name the region of Amazon SQS; write sqs://?region=<region>"),
        ("sqs://?region=Ireland", "does not name the region"),
        ("sqs://eu-west-1", "is found by its region"),
        ("sqs://AK:sec/ret@?region=eu-west-1", "in a password write %2F"),
        ("sqs://AK:secret@h:1?region=eu-west-1", "is found by its region"),
        ("rabbitmq://h", "write amqp://<user>:<password>@<host>:<port>/<virtual host>"),
        ("pyamqp://u:secret@h", "write amqp://"),
        ("kafka://secret@h", "'kafka' is not known here; use redis://, rediss:// (TLS)"),
        ("memory://", "amqp:// or amqps:// (TLS) for RabbitMQ, or sqs:// for Amazon SQS"),
    ],
)
def test_an_address_of_a_broker_that_would_not_work_is_refused_at_start(url, says):
    with pytest.raises(InvalidSettings) as caught:
        Settings(broker_url=url)
    assert str(caught.value).startswith("BLNK_RELAY_BROKER_URL")
    assert says in str(caught.value)
    assert "sec" not in str(caught.value).replace("second", "")


@pytest.mark.parametrize("url", ["amqp://h", "amqps://h", "sqs://?region=eu-west-1"])
def test_a_journal_is_on_no_other_broker_than_redis(url):
    with pytest.raises(InvalidSettings, match=r"a journal is kept on a Redis or Valkey.*BLNK_RELAY_BROKER_URL"):
        Settings(redis_url=url)


def test_rabbitmq_over_tls_is_asked_for_its_certificate_unless_the_address_says_otherwise():
    def told(url: str) -> Any:
        return broker_options(Settings(broker_url=url))["ssl"]

    assert told("amqp://h") is False
    assert told("amqps://h") == {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "h"}
    assert told(f"amqps://h?ssl_ca_certs={FILE}&ssl_certfile={FILE}&ssl_keyfile={FILE}&ssl_check_hostname=false") == {
        "cert_reqs": ssl.CERT_REQUIRED,
        "ca_certs": FILE,
        "certfile": FILE,
        "keyfile": FILE,
    }
    assert told("amqps://h?ssl_cert_reqs=none") == {"cert_reqs": ssl.CERT_NONE}


@pytest.mark.parametrize("url", ["amqp://h", "amqps://h", "sqs://?region=eu-west-1"])
def test_no_wait_for_a_broker_is_longer_than_the_setting_says(url):
    settings = Settings(broker_url=url, redis_timeout_s=1.5)
    options = broker_options(settings)
    if url.startswith("sqs"):
        assert options["region"] == "eu-west-1"
        # Its answer may be that there was nothing for so long.
        waits = options["client-config"]
        assert (waits["connect_timeout"], waits["read_timeout"]) == (1.5, 1.5 + options["wait_time_seconds"])
        assert waits["retries"] == {"total_max_attempts": 1}
    else:
        assert (options["read_timeout"], options["write_timeout"], options["confirm_publish"]) == (1.5, 1.5, True)
    assert configuration(settings, options)["broker_connection_timeout"] == 1.5


def test_where_the_client_of_sqs_is_missing_producers_and_workers_say_so_at_start(monkeypatch):
    settings = Settings(broker_url="sqs://AK:secret@?region=eu-west-1", instance_id="i", token="t")  # noqa: S106
    monkeypatch.setattr(bell, "find_spec", lambda _name: None)
    for start in (Bells, make_app):
        with pytest.raises(InvalidSettings, match=r"for which Celery needs boto3 and pycurl, .* install kombu\[sqs\]"):
            start(settings)
    monkeypatch.setattr(bell, "find_spec", lambda name: name)
    Bells(settings).close()


def test_nothing_in_an_address_beats_a_setting():
    settings = Settings(redis_url="redis://h/3?db=3", redis_timeout_s=1.5)
    options = pool_options(settings, settings.journal_address("default"))
    assert (options["socket_timeout"], options["socket_connect_timeout"], options["timeout"]) == (1.5, 1.5, 1.5)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ('"http://127.0.0.1:25080"', "begins with a quote; take the quotes off"),
        ("127.0.0.1:25080", "has no scheme; write it as in https://ledger.example:5001"),
        ("localhost:25080", "has no scheme"),
        ("ledger", "has no scheme"),
        ("", "has no scheme"),
        ("ftp://ledger", "'ftp' is not spoken; use http:// or https://"),
        ("redis://ledger", "'redis' is not spoken"),
        ("http://", "does not name a host"),
        ("http:///v1", "does not name a host"),
        ("http://:8080", "does not name a host"),
        ("http://.ledger", "does not name a host"),
        ("http://*.ledger", "does not name a host"),
        ("http://led\\ger", "does not name a host"),
        ("http://a..b", "does not name a host"),
        ("http://10.0.0.256", "does not name a host"),
        (f"http://{'a' * 64}", "does not name a host"),
        ("http://[::1", "its host cannot be read"),
        ("http://ledger:0", "its port is not a number from 1 to 65535"),
        ("http://ledger:65536", "its port is not a number"),
        ("http://ledger:http", "its port is not a number"),
        ("http://ledger?tenant=7", "has a '?' in it"),
        ("http://ledger/?", "has a '?' in it"),
        ("http://ledger/#top", "has a '#' in it"),
        ("http://ledger#", "has a '#' in it"),
        ("http://name:word@ledger", "a name or a password in it"),
        ("http://@ledger", "a name or a password in it"),
        ("http://led ger", "a space or a control character"),
        (" http://ledger", "a space or a control character"),
        ("http://ledger\n", "a space or a control character"),
        ("http://ledger/a\u00a0b", "a space or a control character"),
    ],
)
def test_an_address_of_a_ledger_that_would_not_work_is_refused_at_start(url, says):
    with pytest.raises(InvalidSettings) as caught:
        Target(name="eu", base_url=url)
    assert str(caught.value).startswith("BLNK_RELAY_EU__BASE_URL")
    assert says in str(caught.value)
    with pytest.raises(InvalidSettings, match="BLNK_RELAY_BASE_URL"):
        Settings(base_url=url)
    assert "word" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ("http://ledger", "http://ledger"),
        ("HTTP://Ledger.Example/", "http://ledger.example"),
        ("http://ledger:80", "http://ledger"),
        ("https://ledger:443/", "https://ledger"),
        ("https://ledger:80", "https://ledger:80"),
        ("http://ledger:443", "http://ledger:443"),
        ("http://ledger:", "http://ledger"),
        ("http://ledger:5001/Blnk//", "http://ledger:5001/Blnk"),
        ("http://[::1]:80/", "http://[::1]"),
        ("http://[2001:DB8::1]:5001", "http://[2001:db8::1]:5001"),
        ("https://B\u00fccher.example/", "https://b\u00fccher.example"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("http://127.0.0.1:25080", "http://127.0.0.1:25080"),
    ],
)
def test_a_ledger_has_one_spelling(given, same):
    assert Target(name="eu", base_url=given).base_url == given
    assert normalised(given) == same
    assert normalised(same) == same


# -- signals -------------------------------------------------------------------------------------------------------

#: Interrupts whatever packs commands, again and again, from a handler that raises.
_INTERRUPTED = """
import signal, sys
from blnk_relay.transport.sockets import _Packer, packed

class Interrupt(Exception): pass

def strike(*_): raise Interrupt

signal.signal(signal.SIGALRM, strike)
numbers = tuple(range(1000))
struck = 0
for turn in range(400):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005 + turn * 1e-6)
        while True:
            packed(("EVALSHA", *numbers, 0.5, "text", b"bytes"))
            _Packer().pack("ZADD", *numbers)
    except Interrupt:
        struck += 1
print(struck)
"""


def test_a_signal_handler_that_raises_while_a_command_is_packed_does_no_harm():
    environment = {**os.environ, "PYTHONFAULTHANDLER": "1"}
    run = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert run.returncode != -signal.SIGSEGV, run.stderr
    assert (run.returncode, run.stdout.strip()) == (0, "400"), run.stderr
