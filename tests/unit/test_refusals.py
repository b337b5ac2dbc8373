"""What is said where Redis does not do its part: why, and what is safe to do next; nothing of what it said itself."""

from __future__ import annotations

import socket

import pytest
from redis import exceptions as errors

from blnk_relay.journal.refusals import told
from blnk_relay.transport.sockets import NotWritable

LASTING = [
    (errors.AuthenticationError("WRONGPASS invalid username-password pair"), "refused the user name or the password"),
    (errors.NoPermissionError("NOPERM this user has no permissions to run the 'evalsha' command"), "permissions (ACL)"),
    # What Valkey 9.1 and Redis 7.2 say of a command and of a key inside a script; and what Redis 7.0 does.
    (errors.ResponseError("ACL failure in script: User u has no permissions to run the 'set' command"), "(ACL)"),
    (errors.ResponseError("ACL failure in script: No permissions to access a key script: on @user_script:1."), "(ACL)"),
    (errors.ResponseError("The user executing the script can't run this command or subcommand script: 25"), "(ACL)"),
    (errors.ResponseError("The user executing the script can't access at least one of the keys"), "permissions (ACL)"),
    (errors.ResponseError("DB index is out of range"), "no database of the number that BLNK_RELAY_REDIS_URL names"),
    (errors.MovedError("1 127.0.0.1:7001"), "Redis Cluster"),
    (errors.ResponseError("DENIED Running in protected mode: no password is set"), "takes nobody from elsewhere"),
]
PASSING = [
    (errors.ReadOnlyError("READONLY You can't write against a read only replica."), "because it is a replica"),
    (errors.OutOfMemoryError("OOM command not allowed when used memory > 'maxmemory'."), "Redis is full"),
    (errors.BusyLoadingError("LOADING Redis is loading the dataset in memory"), "still loading its data"),
    (errors.TimeoutError("Timeout reading from 127.0.0.1:6379"), "gave no answer in time (BLNK_RELAY_REDIS_TIMEOUT_S)"),
    (errors.MasterDownError("MASTERDOWN Link with MASTER is down"), "a replica that has lost its primary"),
    (errors.ResponseError("NOREPLICAS Not enough good replicas to write."), "too few replicas"),
    (errors.ResponseError("MISCONF Redis is configured to save RDB snapshots"), "cannot save to its disk"),
    # The connection was ended for it, and its first word kept.
    (NotWritable("MISCONF"), "cannot save to its disk (NotWritable MISCONF)"),
    (NotWritable("NOREPLICAS"), "too few replicas"),
    (NotWritable("READONLY"), "because it is a replica"),
    (NotWritable("MASTERDOWN"), "a replica that has lost its primary"),
    (NotWritable("UNBLOCKED"), "does not take writes, or has the journal no longer"),
    (errors.ResponseError("BUSY Redis is busy running a script."), "busy with a script"),
    (errors.MaxConnectionsError("Too many connections"), "all connections of this process"),
    (errors.ConnectionError("No connection available."), "all connections of this process to Redis are in use"),
    (errors.ConnectionError("max number of clients reached"), "as many clients as it takes"),
    (errors.ConnectionError("Connection closed by server."), "cannot be reached at BLNK_RELAY_REDIS_URL"),
    (errors.ResponseError("ERR something new: secret"), "answered with an error (ResponseError ERR)"),
]


@pytest.mark.parametrize(("error", "why"), LASTING + PASSING)
def test_each_cause_has_a_sentence(error, why):
    for doing in ("accept", "cancel", "replay", "claim", ""):
        said = told(error, doing)
        assert why in said
        assert type(error).__name__ in said


@pytest.mark.parametrize(("error", "_"), LASTING + PASSING)
def test_only_who_enqueued_is_told_to_enqueue_again_under_the_same_key(error, _):
    assert told(error, "accept").endswith("enqueue again under the same key, which is always safe")
    assert "not known to be recorded" in told(error, "accept")
    for doing in ("cancel", "replay", "discard", "gate", "settle", ""):
        assert "under the same key" not in told(error, doing)


def test_what_no_second_try_can_help_is_to_be_put_right_first():
    assert all("put that right, then" in told(error) for error, _ in LASTING)
    assert not any("put that right" in told(error) for error, _ in PASSING)


@pytest.mark.parametrize(
    ("below", "why"),
    [
        (ConnectionRefusedError(111, "refused"), "nothing listens there"),
        (socket.gaierror(-2, "x"), "name is not known"),
    ],
)
def test_why_there_is_no_connection_is_told_where_the_system_says_it(below, why):
    error = errors.ConnectionError("Error 111 connecting to user:secret@host")
    error.__cause__ = below
    assert why in told(error)
    assert "secret" not in told(error)


@pytest.mark.parametrize("error", [error for error, _ in LASTING + PASSING])
def test_nothing_that_the_server_said_is_repeated_but_its_first_word(error):
    rest = str(error).partition(" ")[2]
    assert not rest or rest not in told(error)
