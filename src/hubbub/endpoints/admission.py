"""From an accepted WebSocket to a session: who it is, whether there is room, and what it is told otherwise."""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from starlette.types import Scope

from hubbub.codes import CloseCode, ErrorCode
from hubbub.endpoints.handshake import Doorkeeper
from hubbub.endpoints.pace import Pace
from hubbub.exceptions import (
    AuthenticationUnavailable,
    BadRequest,
    Forbidden,
    HookTimeout,
    InvalidToken,
    LimitExceeded,
    Refusal,
    Restarting,
    SessionClosed,
    Unavailable,
)
from hubbub.hub import commands
from hubbub.hub.draining import RESTARTING
from hubbub.hub.identity import Identity
from hubbub.hub.node import Node
from hubbub.hub.outlet import Encoding, Outlet
from hubbub.hub.replies import Done, Failed, Reconnect, Reply
from hubbub.hub.session import Session

logger = logging.getLogger(__name__)


AutoJoin = Callable[[Scope], commands.Subscribe | None]
"""Says what a connection to this path is subscribed to from the start."""


class Disconnected(Exception):
    """The client went away before it was a session."""


class Turned(Exception):
    """A connection that is told why and closed."""

    def __init__(self, error: ErrorCode, message: str, code: CloseCode, reason: str) -> None:
        super().__init__(message)
        self.error = error
        self.code = code
        self.reason = reason

    def words(self) -> Reply:
        """What the client is told before the Close."""
        return Failed(code=self.error, message=str(self))


class Postponed(Turned):
    """A connection that came to a node which is draining: told when to come back, and closed.

    A handshake could be refused with 503 instead, but browsers do not show their pages why a handshake failed.
    """

    def __init__(self, restarting: Restarting) -> None:
        super().__init__(restarting.code, restarting.message, CloseCode.SERVICE_RESTART, RESTARTING)
        self.after = restarting.after

    def words(self) -> Reply:
        """When to come back."""
        return Reconnect(after=self.after)


def no_binary() -> Turned:
    """Say that a text dialect has no binary messages."""
    return Turned(
        ErrorCode.BAD_REQUEST,
        "Send JSON in text frames; this dialect has no binary frames.",
        CloseCode.UNSUPPORTED_DATA,
        "Binary frames are not supported",
    )


class Accepted(Outlet, Protocol):
    """A WebSocket whose handshake is done; the outlet of the session that it may become."""

    @property
    def encoding(self) -> Encoding:
        """The wire format."""
        ...

    async def first_text(self) -> str:
        """Wait for the first message.

        Raises:
            Disconnected: the client went away instead.
            Turned: it was no text message.
        """
        ...

    def carries(self, session: Session) -> None:
        """Name the session that ends with this connection.

        Raises:
            Disconnected: it is lost already.
        """
        ...

    async def serve(self) -> None:
        """Carry out what the client asks for."""
        ...

    async def turn_away(self, turned: Turned) -> None:
        """Say why, and close."""
        ...


class Admission:
    """Turns connections into sessions, whatever their outlet.

    Args:
        doorkeeper: finds out who comes in.
        auth_deadline: seconds to send an `auth` message in.
    """

    def __init__(self, doorkeeper: Doorkeeper, auth_deadline: float) -> None:
        self.doorkeeper = doorkeeper
        self.pace = Pace()
        """Bounds the handshakes of one turn."""
        self._deadline = auth_deadline

    async def admit(
        self, node: Node, accepted: Accepted, scope: Scope, join: commands.Subscribe | None
    ) -> None:
        """Authenticate a connection, open its session, join the channel of its path, and serve it."""
        try:
            check_capacity(node)
            identity, ref = await self._identify(node, accepted, scope)
            check_capacity(node)
            room = join.channel if join is not None and join.as_room else None
            session = node.session(identity, accepted.encoding, accepted, room)
            accepted.carries(session)
            await node.connections.open(session)
        except (SessionClosed, Disconnected):
            return
        except Exception as error:  # noqa: BLE001 (logged where it is not one of ours)
            reason = turned(error)
            node.statistics.count(node.statistics.refused_connections, reason.error.value)
            await accepted.turn_away(reason)
            return
        if ref is not None:
            session.send(Done(ref=ref))
        if join is not None:
            await node.dispatcher.run(session, join)
        await accepted.serve()

    async def _identify(self, node: Node, accepted: Accepted, scope: Scope) -> tuple[Identity, commands.Ref]:
        """Find out who connects; with the `ref` of the message that said so."""
        identity = await self.doorkeeper.identify(
            scope["headers"], scope["query_string"], scope["subprotocols"]
        )
        if identity is not None:
            return identity, None
        with node.connections.waiting():
            return await self._first_message(accepted)

    async def _first_message(self, accepted: Accepted) -> tuple[Identity, commands.Ref]:
        try:
            async with asyncio.timeout(self._deadline):
                command = accepted.encoding.decode(await accepted.first_text())
        except TimeoutError:
            raise InvalidToken(f'No {{"type":"auth","token":…}} came within {self._deadline:g} s.') from None
        except BadRequest as error:
            raise InvalidToken(f"Say who you are first. {error.message}") from error
        if not isinstance(command, commands.Authenticate):
            raise InvalidToken('Say who you are first: {"type":"auth","token":"…"}.')
        return await self.doorkeeper.authenticate(command.token), command.ref


def check_capacity(node: Node) -> None:
    """Turn a connection away that would be one too many.

    Raises:
        Turned: the node is full, or draining.
    """
    try:
        node.connections.check_capacity()
    except Restarting as error:
        raise Postponed(error) from error
    except LimitExceeded as error:
        raise Turned(error.code, error.message, CloseCode.TRY_AGAIN_LATER, "Server full") from error


def turned(error: Exception) -> Turned:
    """Say what a connection is told for which this was raised before it was a session."""
    match error:
        case Turned():
            return error
        case InvalidToken():
            return Turned(error.code, str(error), error.close_code, error.close_reason)
        case AuthenticationUnavailable() | HookTimeout():
            # Nothing is known about the token, so this is no reason to stay away.
            return Turned(error.code, str(error), CloseCode.TRY_AGAIN_LATER, "Tokens cannot be checked")
        case Restarting():
            return Postponed(error)
        case Unavailable():
            return Turned(error.code, error.message, CloseCode.TRY_AGAIN_LATER, "A part cannot be reached")
        case Forbidden():
            return Turned(error.code, error.message, CloseCode.FORBIDDEN, "Forbidden")
        case LimitExceeded():
            return Turned(error.code, error.message, CloseCode.POLICY_VIOLATION, "Too many connections")
        case Refusal():
            return Turned(error.code, error.message, CloseCode.POLICY_VIOLATION, "Not authenticated")
    logger.error("A connection could not be opened", exc_info=error)
    return Turned(
        ErrorCode.INTERNAL,
        "Something went wrong on the server.",
        CloseCode.INTERNAL_ERROR,
        "Internal error",
    )
