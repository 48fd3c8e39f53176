"""Which nodes there are: each tells the others every two seconds, and is gone when three of these were not heard."""

from collections.abc import Callable, Iterator

import msgspec

from hubbub.hub.background import Background
from hubbub.hub.control.orders import Orders, channel_of
from hubbub.hub.publications import Position

BEAT = 2.0
"""Seconds between two signs of life."""
MISSED = 3
"""Signs of life that may be missed."""
SETTLED = 2
"""Own beats after which every other node has been heard too."""


class NodeState(msgspec.Struct, frozen=True, gc=False):
    """One node, as it sees itself.

    Args:
        id: its own, new with each start.
        name: where it runs: the machine and the process.
        version: of Hubbub.
        started_at: seconds since 1970 UTC.
        connections: how many clients are connected to it.
        channels: how many channels have readers there.
        draining: whether it is about to stop, and sends its clients to other nodes.
    """

    id: str
    name: str = ""
    version: str = ""
    started_at: float = 0.0
    connections: int = 0
    channels: int = 0
    draining: bool = False


class Beat(msgspec.Struct, frozen=True, gc=False):
    """A sign of life.

    Args:
        node: whose.
        log: up to where it carried the log of orders out.
        asks: whether it wants to hear from the others at once.
    """

    node: NodeState
    log: Position | None = None
    asks: bool = False


class Farewell(msgspec.Struct, frozen=True, gc=False):
    """The last sign of life of a node that stops."""

    node: str


class Peer:
    """Another node, or this one as the broker returns its signs of life."""

    __slots__ = ("missed", "state")

    def __init__(self, state: NodeState) -> None:
        self.state = state
        self.missed = 0


class Peers:
    """The nodes that are heard of, this one included.

    A node's silence is counted in beats of this node that came back from the broker. So a node that was paused or cut
    off, and has heard nobody, does not think that it is alone.

    Args:
        orders: carries the signs of life.
        state: tells how this node is.
        background: sends them.
        alone: whether there can be no others, so that there is nobody to tell.
    """

    def __init__(
        self, orders: Orders, state: Callable[[], NodeState], background: Background, *, alone: bool
    ) -> None:
        self._orders = orders
        self._state = state
        self._background = background
        self.are_alone = alone
        """Whether there can be no other nodes."""
        self._own = state().id
        self._known: dict[str, Peer] = {self._own: Peer(state())}
        self._heard_self = 0
        orders.on("beat", Beat, self._heard)
        orders.on("farewell", Farewell, self._gone)

    async def beat(self, *, asks: bool = False) -> None:
        """Give a sign of life.

        Raises:
            PublishError: the broker did not take it.
        """
        if not self.are_alone:
            await self._orders.tell("beat", Beat(self._state(), self._orders.position, asks))

    async def leave(self) -> None:
        """Say farewell, so that nobody waits for this node any more; it may be lost."""
        if not self.are_alone:
            await self._orders.tell("farewell", Farewell(self._own))

    @property
    def are_settled(self) -> bool:
        """Whether this node has listened for long enough to know all the others."""
        return self.are_alone or self._heard_self >= SETTLED

    def __iter__(self) -> Iterator[NodeState]:
        return iter([peer.state for peer in self._known.values()])

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._known

    def __len__(self) -> int:
        return len(self._known)

    def _heard(self, beat: Beat, _at: float) -> None:
        node = beat.node.id
        self._known.setdefault(node, Peer(beat.node)).state = beat.node
        self._known[node].missed = 0
        if node == self._own:
            self._heard_self += 1
            self._count_the_silent()
            return
        self._orders.compare(beat.log)
        if beat.asks:
            answer = Beat(self._state(), self._orders.position)
            self._background.start(self._orders.tell("beat", answer, channel_of(node)))

    def _count_the_silent(self) -> None:
        for node, peer in tuple(self._known.items()):
            if node == self._own:
                continue
            peer.missed += 1
            if peer.missed > MISSED:
                del self._known[node]

    def _gone(self, farewell: Farewell, _at: float) -> None:
        if farewell.node != self._own:
            self._known.pop(farewell.node, None)
