"""All nodes together: who is connected where, and ending that everywhere."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from hubbub.codes import CloseCode
from hubbub.exceptions import BadRequest
from hubbub.hub.channels import name_problem
from hubbub.hub.control.census import (
    MAX_PAGE,
    ChannelsPage,
    ChannelsQuery,
    Connected,
    ConnectionsPage,
    ConnectionsQuery,
    Readers,
)
from hubbub.hub.control.node_control import Control, Count, Disconnection, Nothing, check_id
from hubbub.hub.control.peers import NodeState
from hubbub.hub.control.revocations import Revocation, Subject

logger = logging.getLogger(__name__)

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Listing(Generic[Row]):
    """One page of what the nodes have.

    Args:
        rows: at most as many as were asked for.
        cursor: pass it as `after` for the next page; `None` at the end.
        unanswered: nodes that did not answer in time, as they were last heard of: what they have is missing here.
    """

    rows: tuple[Row, ...]
    cursor: str | None = None
    unanswered: tuple[NodeState, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every node answered."""
        return not self.unanswered


@dataclass(frozen=True, slots=True)
class ChannelReaders:
    """Who reads one channel.

    Args:
        nodes: of each node that has readers, by its id.
        unanswered: as in `Listing`.
    """

    nodes: dict[str, Readers]
    unanswered: tuple[NodeState, ...] = ()

    @property
    def sessions(self) -> int:
        """How many sessions, on all nodes that answered."""
        return sum(readers.sessions for readers in self.nodes.values())


@dataclass(frozen=True, slots=True)
class ChannelCount:
    """A channel, and how many sessions on how many nodes read it."""

    channel: str
    sessions: int
    nodes: int


@dataclass(frozen=True, slots=True)
class Closed:
    """What became of a wish to close connections.

    Args:
        connections: how many were closed.
        unanswered: as in `Listing`; whether these closed any is not known.
    """

    connections: int
    unanswered: tuple[NodeState, ...] = ()


class Cluster:
    """Asks and tells all nodes of the cluster; of a broker in memory, the one there is.

    Nodes have two seconds to answer. One that does not is named in the answer, never passed over. With an answer missing,
    repeat the question; a node that is gone for six seconds is not waited for any more.

    Args:
        control: this node.
    """

    def __init__(self, control: Control) -> None:
        self._control = control

    @property
    def node_id(self) -> str:
        """The id of the node that asks."""
        return self._control.node_id

    @property
    def known_nodes(self) -> int:
        """How many nodes this one hears of, itself included."""
        return len(self._control.peers)

    @property
    def revocations(self) -> int:
        """How many revocations this node knows that have not ended."""
        return len(self._control.revocations)

    @property
    def is_behind(self) -> bool:
        """Whether this node could not read what was revoked when it last tried; it goes on trying every two seconds."""
        return self._control.orders.is_behind

    async def nodes(self) -> Listing[NodeState]:
        """List the nodes, the eldest first.

        Raises:
            LimitExceeded: too many questions to the other nodes are open.
            PublishError: the broker did not take the question.
        """
        survey = await self._control.surveys.ask("node", Nothing(), NodeState)
        rows = sorted(survey.answers.values(), key=lambda node: (node.started_at, node.id))
        return Listing(tuple(rows), None, survey.unanswered)

    async def connections(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        slow: bool = False,
        limit: int = 100,
        after: str | None = None,
        for_user: bool = False,
    ) -> Listing[Connected]:
        """List connections, those that were opened first before the others.

        Args:
            user_id: whose; `None` everybody's.
            session_id: only this one.
            slow: only those that cannot be written to at the moment.
            limit: how many, at most 500.
            after: the cursor of the page before.
            for_user: whether a user asks about themselves: refused sooner than what operators and programs ask.

        Raises:
            BadRequest: the limit is out of range, or there can be no such user or session.
            LimitExceeded: too many questions to the other nodes are open.
            PublishError: the broker did not take the question.
        """
        check_limit(limit)
        for text in (user_id, session_id, after):
            if text:
                check_id(text)
        query = ConnectionsQuery(limit, after or "", user_id, slow, session_id)
        survey = await self._control.surveys.ask("connections", query, ConnectionsPage, for_user=for_user)
        pages = survey.answers.values()
        rows = sorted((row for page in pages for row in page.rows), key=lambda row: row.session_id)
        more = len(rows) > limit or any(page.more for page in pages)
        cursor = rows[:limit][-1].session_id if more and rows else None
        return Listing(tuple(rows[:limit]), cursor, survey.unanswered)

    async def channels(self, *, limit: int = 100, after: str | None = None) -> Listing[ChannelCount]:
        """List channels that have readers, in the order of their names.

        Args:
            limit: how many, at most 500.
            after: the cursor of the page before.

        Raises:
            BadRequest: the limit is out of range.
            LimitExceeded: too many questions to the other nodes are open.
            PublishError: the broker did not take the question.
        """
        check_limit(limit)
        if after:
            check_id(after)
        survey = await self._control.surveys.ask("channels", ChannelsQuery(limit, after or ""), ChannelsPage)
        pages = survey.answers.values()
        # A node that has more than a page lists all it has up to its last row, which is not before the last row here.
        counts = counted(readers for page in pages for readers in page.rows)
        more = len(counts) > limit or any(page.more for page in pages)
        cursor = counts[:limit][-1].channel if more and counts else None
        return Listing(tuple(counts[:limit]), cursor, survey.unanswered)

    async def readers(self, channel: str) -> ChannelReaders:
        """Count who reads one channel.

        Raises:
            LimitExceeded: too many questions to the other nodes are open.
            PublishError: the broker did not take the question.
        """
        query = ChannelsQuery(1, "", channel)
        survey = await self._control.surveys.ask("channels", query, ChannelsPage)
        found = {node: page.rows[0] for node, page in survey.answers.items() if page.rows}
        return ChannelReaders(found, survey.unanswered)

    async def disconnect(
        self,
        user_id: str,
        *,
        code: CloseCode = CloseCode.FORBIDDEN,
        reason: str = "Disconnected by the server",
    ) -> Closed:
        """Close every connection of a user. A node that is away does not hear of it: to keep somebody out, `revoke`.

        Raises:
            ValueError: there is no such `code`.
            BadRequest: there can be no such user.
            LimitExceeded: too many questions to the other nodes are open.
            PublishError: the broker did not take it.
        """
        if code not in tuple(CloseCode):
            raise ValueError(f"There is no close code {code}; see hubbub.CloseCode.")
        check_user(user_id)
        order = Disconnection(user_id, int(code), reason)
        survey = await self._control.surveys.ask("disconnect", order, Count)
        return Closed(sum(count.number for count in survey.answers.values()), survey.unanswered)

    async def revoke(
        self,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        token_id: str | None = None,
        until: float | None = None,
    ) -> Revocation:
        """End what a user, a session or a token may do, on every node, those that are away now or start later included.

        Connections are closed with 4010 “Revoked”, after which clients do not come back by themselves; handshakes,
        requests and renewals are refused. When this returns, it holds on this node and is on its way to the others.

        Args:
            user_id: all tokens that were issued to this user before now (``iat``), and all whose time of issue is not known.
            session_id: this connection, and the token it came with if that has an id.
            token_id: the token with this id (``jti``).
            until: seconds since 1970 UTC when the thing has ended anyway, such as the token's ``exp``; `None` for 30 days.
                Tokens that live longer are good again then.

        Raises:
            ValueError: not exactly one thing is named.
            BadRequest: there can be no such thing, or `until` is over.
            LimitExceeded: as many revocations as can be remembered are (100,000).
            PublishError: the broker did not take it (`PublishUncertain`: it is unknown whether it did; repeat it).
        """
        things = {Subject.USER: user_id, Subject.SESSION: session_id, Subject.TOKEN: token_id}
        named = [(subject, value) for subject, value in things.items() if value is not None]
        if len(named) != 1:
            raise ValueError("Revoke one thing: user_id=…, session_id=… or token_id=….")
        if user_id is not None:
            check_user(user_id)
        return await self._control.revoke(*named[0], until)


def counted(all_readers: Iterable[Readers]) -> list[ChannelCount]:
    """Add up what the nodes say of each channel, in the order of their names."""
    sums: dict[str, tuple[int, int]] = {}
    for readers in all_readers:
        sessions, nodes = sums.get(readers.channel, (0, 0))
        sums[readers.channel] = sessions + readers.sessions, nodes + 1
    return [ChannelCount(name, *sums[name]) for name in sorted(sums)]


def check_limit(limit: int) -> None:
    """Hold a page's size against the bound.

    Raises:
        BadRequest: it is not within it.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise BadRequest(f"`limit` is between 1 and {MAX_PAGE}, not {limit}.")


def check_user(user_id: str) -> None:
    """Hold a user id against the rule for names.

    Raises:
        BadRequest: there can be no such user.
    """
    problem = name_problem(user_id)
    if problem:
        raise BadRequest(f"The user id {problem}.")
