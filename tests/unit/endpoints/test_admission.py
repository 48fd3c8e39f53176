"""From an accepted connection to a session, with a connection that only writes down what it is asked to do.

How clients see it stands in `test_handshake.py`, `test_websocket.py` and `test_direct.py`.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from application import Application, rooms

from hubbub import CloseCode, Identity, Limits
from hubbub.authentication import MemoryTickets, OriginPolicy
from hubbub.codes import ErrorCode
from hubbub.dialects.plain import PlainJSON
from hubbub.endpoints.admission import Admission, Disconnected, Turned, no_binary, turned
from hubbub.endpoints.handshake import Doorkeeper
from hubbub.endpoints.queued import TextEncoding
from hubbub.exceptions import (
    AuthenticationUnavailable,
    BadRequest,
    Forbidden,
    HookTimeout,
    InvalidToken,
    LimitExceeded,
    NotAvailable,
    RateLimited,
    TokenExpired,
    UnknownChannel,
)
from hubbub.hub.commands import Subscribe
from hubbub.hub.outlet import Pulse
from hubbub.types import UserId

ROOM = Subscribe(channel="room:a", as_room=True)


class Accepted:
    """Writes down what is done with it, in order."""

    def __init__(self, *firsts: str | Exception) -> None:
        self.encoding = TextEncoding(PlainJSON())
        self.log: list[Any] = []
        self.session: Any = None
        self.lost = False
        self.asked = asyncio.Event()
        self._firsts: asyncio.Queue[str | Exception] = asyncio.Queue()
        for first in firsts:
            self._firsts.put_nowait(first)

    @property
    def types(self) -> list[str]:
        return [each if isinstance(each, str) else each[0] for each in self.log]

    async def first_text(self) -> str:
        self.log.append("asked")
        self.asked.set()
        first = await self._firsts.get()
        if isinstance(first, Exception):
            raise first
        return first

    def carries(self, session: Any) -> None:
        if self.lost:
            raise Disconnected
        self.session = session
        self.log.append("carries")

    async def serve(self) -> None:
        self.log.append("serve")

    async def turn_away(self, turned: Turned) -> None:
        self.log.append(("turned away", turned.error, turned.code, turned.reason))

    def attach(self, listener: Any) -> None:
        pass

    def write(self, frame: Any) -> None:
        for message in frame.messages:
            kind = message["text"].partition('"type":"')[2].partition('"')[0]
            self.log.append(kind)

    write_through = write

    def proceed(self) -> None:
        pass

    def pulse(self) -> Pulse:
        return Pulse.WELL

    def close(self, code: int, reason: str) -> None:
        self.log.append(("closed", code))

    def abort(self) -> None:
        pass


class Door:
    """A running node, and an admission whose authenticator is the test's."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.checking = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.error: Exception | None = None
        doorkeeper = Doorkeeper(
            self.authenticate, MemoryTickets(), OriginPolicy(), None, allow_anonymous=False
        )
        self.admission = Admission(doorkeeper, auth_deadline=5.0)

    async def authenticate(self, token: str) -> Identity:
        self.checking.set()
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return Identity(UserId(token))

    async def admit(
        self, accepted: Accepted, join: Subscribe | None = None, *, token: str | None = "ada"
    ) -> list[str]:
        headers = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
        scope: dict[str, Any] = {"headers": headers, "query_string": b"", "subprotocols": []}
        await self.admission.admit(self.app.node, accepted, scope, join)
        self.app.node.turn.end()
        return accepted.types


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    app = Application(limits=Limits(connections=2))
    rooms(app)
    async with app:
        yield Door(app)


async def test_with_a_token_in_the_handshake(door: Door):
    accepted = Accepted()
    assert await door.admit(accepted) == ["carries", "welcome", "serve"]
    assert accepted.session.room is None
    assert accepted.session.user_id == "ada"


async def test_its_room_is_joined_before_it_is_served(door: Door):
    accepted = Accepted()
    assert (await door.admit(accepted, ROOM))[:3] == ["carries", "welcome", "joined"]
    assert accepted.types[-1] == "serve"
    assert accepted.session.room == "room:a"


async def test_a_topic_is_no_room_for_messages_that_name_none(door: Door):
    accepted = Accepted()
    await door.admit(accepted, Subscribe(channel="room:a"))
    assert "subscribed" in accepted.types
    assert accepted.session.room is None


async def test_a_room_that_is_refused_ends_nothing(door: Door):
    assert await door.admit(Accepted(), Subscribe(channel="nowhere:x")) == [
        "carries",
        "welcome",
        "error",
        "serve",
    ]


@pytest.mark.parametrize("token", ["ada", None])
async def test_one_that_is_revoked_while_its_token_is_checked_is_turned_away(door: Door, token):
    accepted = Accepted('{"type":"auth","token":"ada"}')
    door.go_on.clear()
    coming = asyncio.ensure_future(door.admit(accepted, token=token))
    await door.checking.wait()
    await door.app.hub.revoke(user_id="ada")
    door.go_on.set()
    await coming
    assert accepted.log[-1] == ("turned away", ErrorCode.UNAUTHORIZED, CloseCode.REVOKED, "Revoked")
    assert len(door.app.node.connections) == 0


@pytest.mark.parametrize(("ref", "ack"), [("", []), (',"ref":0', ["ack"]), (',"ref":"x"', ["ack"])])
async def test_with_a_first_message(door: Door, ref, ack):
    accepted = Accepted('{"type":"auth","token":"ada"' + ref + "}")
    types = await door.admit(accepted, ROOM, token=None)
    assert types[: 4 + len(ack)] == ["asked", "carries", "welcome", *ack, "joined"]


async def test_who_says_nothing_yet_counts_and_then_does_not(door: Door):
    accepted = Accepted()
    connections = door.app.node.connections
    waiting = asyncio.ensure_future(door.admit(accepted, token=None))
    await accepted.asked.wait()
    assert connections._waiting == 1
    await door.admit(Accepted(), token="bob")
    third = Accepted()
    assert await door.admit(third, token="eve") == ["turned away"]
    assert third.log == [("turned away", ErrorCode.LIMIT_EXCEEDED, CloseCode.TRY_AGAIN_LATER, "Server full")]
    accepted._firsts.put_nowait('{"type":"auth","token":"ada"}')
    assert "serve" in await waiting
    assert (connections._waiting, len(connections)) == (0, 2)


@pytest.mark.parametrize(
    "first", [Disconnected(), no_binary(), "nonsense", '{"type":"ping"}', ValueError("odd")]
)
async def test_however_the_wait_ends_it_counts_no_longer(door: Door, first, caplog):
    accepted = Accepted(first)
    with caplog.at_level(logging.CRITICAL):
        await door.admit(accepted, token=None)
    assert door.app.node.connections._waiting == 0
    assert len(door.app.node.connections) == 0
    assert ("turned away" in accepted.types) == (not isinstance(first, Disconnected))


async def test_whoever_gives_up_waiting_counts_no_longer(door: Door):
    accepted = Accepted()
    waiting = asyncio.ensure_future(door.admit(accepted, token=None))
    await accepted.asked.wait()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert door.app.node.connections._waiting == 0
    assert accepted.types == ["asked"]


async def test_a_server_that_is_full_checks_no_token(door: Door):
    for name in ("ada", "bob"):
        await door.admit(Accepted(), token=name)
    door.checking.clear()
    assert await door.admit(Accepted(), token="eve") == ["turned away"]
    assert not door.checking.is_set()
    assert door.app.hub.statistics.refused_connections == {"limit_exceeded": 1}


async def test_one_that_was_lost_while_its_token_was_checked(door: Door):
    door.go_on.clear()
    accepted = Accepted()
    admitting = asyncio.ensure_future(door.admit(accepted))
    await door.checking.wait()
    accepted.lost = True
    door.go_on.set()
    assert await admitting == []
    assert len(door.app.node.connections) == 0
    assert door.app.hub.statistics.refused_connections == {}


async def test_one_that_ends_while_it_is_taken_in_is_not_turned_away(door: Door):
    accepted = Accepted()
    store = door.app.node._presence
    enter = store.enter

    async def closes(*args: Any) -> Any:
        door.app.node.connections.close(accepted.session, CloseCode.REVOKED, "out")
        return await enter(*args)

    store.enter = closes
    assert await door.admit(accepted, ROOM) == ["carries", "closed"]
    assert door.app.hub.statistics.refused_connections == {}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InvalidToken("forged"), ("unauthorized", "forged", 4001, "Invalid token")),
        (TokenExpired("old"), ("unauthorized", "old", 4001, "Invalid token")),
        (AuthenticationUnavailable("down"), ("unavailable", "down", 1013, "Tokens cannot be checked")),
        (HookTimeout("too long"), (HookTimeout.code, "too long", 1013, "Tokens cannot be checked")),
        (Forbidden("banned"), ("forbidden", "banned", 4003, "Forbidden")),
        (LimitExceeded("20"), ("limit_exceeded", "20", 1008, "Too many connections")),
        (UnknownChannel("name"), ("unknown_channel", "name", 1008, "Not authenticated")),
        (BadRequest("bad"), ("bad_request", "bad", 1008, "Not authenticated")),
        (RateLimited("slowly"), ("rate_limited", "slowly", 1008, "Not authenticated")),
        (NotAvailable("none"), ("not_available", "none", 1008, "Not authenticated")),
        (no_binary(), ("bad_request", str(no_binary()), 1003, "Binary frames are not supported")),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_is_told(error, expected, caplog: pytest.LogCaptureFixture):
    told = turned(error)
    assert (told.error, str(told), told.code, told.reason) == expected
    assert caplog.records == []


def test_what_is_nobodys_business_is_logged_and_not_told(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.ERROR):
        told = turned(KeyError("secret"))
    assert (told.error, told.code, told.reason) == ("internal", 1011, "Internal error")
    assert "secret" not in str(told)
    assert "secret" in caplog.text


async def test_turning_away_is_counted_by_its_error(door: Door):
    for error in (InvalidToken("no"), InvalidToken("no"), Forbidden("no")):
        door.error = error
        assert await door.admit(Accepted()) == ["turned away"]
    assert door.app.hub.statistics.refused_connections == {"unauthorized": 2, "forbidden": 1}
    assert len(door.app.node.connections) == 0
