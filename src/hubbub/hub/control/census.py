"""Who is connected to this node, and to what: pages of it, for those who ask all nodes."""

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import msgspec

from hubbub.hub.connections import Connections
from hubbub.hub.ids import made_at
from hubbub.hub.session import Session
from hubbub.types import UserId

MAX_PAGE = 500
"""Rows of one answer, so that it has a bound in bytes: a row has 1.5 KiB at most."""
LONGEST_TOKEN_ID = 128
"""Characters of a token's id that is shown."""


@runtime_checkable
class Transport(Protocol):
    """An ability of an outlet: it says how its client is connected."""

    transport: str
    """Such as ``websocket``."""


class Connected(msgspec.Struct, frozen=True, gc=False):
    """One connection.

    Args:
        session_id: its own.
        user_id: who it speaks for; empty for a visitor.
        node: the id of the node it is connected to.
        since: when it was opened, in seconds since 1970 UTC.
        transport: how it is connected, such as ``websocket``.
        channels: on how many channels it is.
        slow: whether it cannot be written to at the moment, or is being brought up to date.
        behind: how many bytes it has missed since it is slow, over all its channels.
        token_id: of the token it came with (``jti``), where that has one of at most 128 characters.
    """

    session_id: str
    user_id: str
    node: str
    since: float
    transport: str
    channels: int
    slow: bool = False
    behind: int = 0
    token_id: str | None = None


class Readers(msgspec.Struct, frozen=True, gc=False):
    """How many read one channel: sessions, of so many users (visitors count as one)."""

    channel: str
    sessions: int
    users: int


class ConnectionsQuery(msgspec.Struct, frozen=True, gc=False):
    """Asks for connections in the order of their ids, the next `limit` behind `after`; or for one."""

    limit: int
    after: str = ""
    user_id: str | None = None
    slow: bool = False
    session_id: str | None = None


class ChannelsQuery(msgspec.Struct, frozen=True, gc=False):
    """Asks for channels in the order of their names, the next `limit` behind `after`; or for one."""

    limit: int
    after: str = ""
    name: str | None = None


class ConnectionsPage(msgspec.Struct, frozen=True, gc=False):
    """Some connections of one node, and whether it has more."""

    rows: tuple[Connected, ...]
    more: bool = False


class ChannelsPage(msgspec.Struct, frozen=True, gc=False):
    """Some channels of one node, and whether it has more."""

    rows: tuple[Readers, ...]
    more: bool = False


class Census:
    """Answers for one node.

    Args:
        node_id: which.
        connections: who is there.
    """

    def __init__(self, node_id: str, connections: Connections) -> None:
        self._node_id = node_id
        self._connections = connections

    def connections(self, query: ConnectionsQuery) -> ConnectionsPage:
        """List connections."""
        limit = bounded(query.limit)
        sessions = (session for session in self._sessions(query) if session.id > query.after)
        page = heapq.nsmallest(limit + 1, sessions, key=session_id)
        return ConnectionsPage(tuple(self._row(session) for session in page[:limit]), len(page) > limit)

    def channels(self, query: ChannelsQuery) -> ChannelsPage:
        """List channels, and count who reads them."""
        limit = bounded(query.limit)
        # Over the sessions, not the feeds, because one of those may outlive its last reader for a while.
        counts = Counter(
            channel for session in self._open(self._connections) for channel in session.subscriptions
        )
        if query.name is not None:
            names = [query.name] if query.name in counts else []
        else:
            names = heapq.nsmallest(limit + 1, (name for name in counts if name > query.after))
        page = names[:limit]
        users: dict[str, set[UserId]] = {name: set() for name in page}
        for session in self._open(self._connections):
            for channel in session.subscriptions.keys() & users.keys():
                users[channel].add(session.user_id)
        rows = tuple(Readers(name, counts[name], len(users[name])) for name in page)
        return ChannelsPage(rows, len(names) > limit)

    def _sessions(self, query: ConnectionsQuery) -> Iterable[Session]:
        if query.user_id is None:
            found: Iterable[Session] = self._connections
        else:
            found = self._connections.of_user(UserId(query.user_id))
        only = query.session_id
        return (
            session
            for session in self._open(found)
            if (session.slow or not query.slow) and (only is None or session.id == only)
        )

    def _open(self, sessions: Iterable[Session]) -> Iterable[Session]:
        return (session for session in sessions if not session.closed)

    def _row(self, session: Session) -> Connected:
        outlet, token_id = session.outlet, session.identity.token_id
        return Connected(
            session.id,
            session.user_id,
            self._node_id,
            made_at(session.id),
            outlet.transport if isinstance(outlet, Transport) else "",
            len(session.subscriptions),
            session.slow,
            sum(subscription.behind for subscription in session.subscriptions.values()),
            token_id if token_id is not None and len(token_id) <= LONGEST_TOKEN_ID else None,
        )


def bounded(limit: int) -> int:
    """Hold a page's size against the bound, whatever another node asks for."""
    return max(0, min(limit, MAX_PAGE))


def session_id(session: Session) -> str:
    """Return what sessions are ordered by."""
    return session.id
