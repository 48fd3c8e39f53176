"""Why a server cannot be used, and whether trying again may help."""

import ssl

import pytest
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    MaxConnectionsError,
    NoPermissionError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from scripted import OK, scripted

from hubbub.brokers.redis.address import Server
from hubbub.brokers.redis.dialing import Primary, all_of, ask, closing, explain
from hubbub.brokers.redis.errors import NotSent, Refused

HERE = Server("h", 1)


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (AuthenticationError("WRONGPASS"), "Check user and password"),
        (NoPermissionError("no"), "+@pubsub"),
        (ResponseError("DB index is out of range"), "DB index"),
        (ssl.SSLCertVerificationError("self-signed"), "tls_ca"),
        (ssl.SSLError("wrong version"), "TLS"),
    ],
)
def test_what_somebody_has_to_change_is_refused(error, hint):
    refusal = explain(HERE, error)
    assert isinstance(refusal, Refused)
    assert hint in str(refusal)
    assert "h:1" in str(refusal)


@pytest.mark.parametrize(
    "error",
    [OSError("no route"), TimeoutError(), BusyLoadingError("loading"), MaxConnectionsError("too many")],
)
def test_what_may_pass_is_not(error):
    assert not isinstance(explain(HERE, error), Refused)


def test_an_error_inside_another_counts():
    outer = RedisConnectionError("wrapped")
    outer.__cause__ = ssl.SSLCertVerificationError("self-signed")
    assert "tls_ca" in str(explain(HERE, outer))


def test_several_servers_refuse_only_together():
    assert isinstance(all_of("No", [Refused("a"), Refused("b")]), Refused)
    both = all_of("No", [Refused("a"), NotSent("b")])
    assert not isinstance(both, Refused)
    assert str(both) == "No: a; b"


async def test_an_error_for_an_answer():
    def answer(command: list[bytes]) -> bytes:
        return b"-ERR no\r\n" if command[0] == b"ASK" else OK

    async with scripted(answer) as server, closing(await server.dial()) as connection:
        assert await ask(connection, "PING") == b"OK"
        with pytest.raises(Refused, match="no"):
            await ask(connection, "ASK")


@pytest.mark.parametrize(
    ("slots", "home"),
    [
        (((0, 16383),), 0),
        (((5461, 10922),), 5632),
        (((5462, 10922),), 5632),
        (((7, 7), (5461, 10922)), 5632),
        (((256, 256), (5461, 10922)), 256),
        (((1, 3), (300, 310)), 1),
    ],
)
def test_a_servers_home_seldom_moves(slots, home):
    assert Primary(HERE, slots).home == home
