"""Orders between nodes: said on channels that no client can name, so that they travel with every broker.

What has to be honoured by nodes that are away is *recorded*: stored in the log, which a node reads from its position on
when it starts and when it may have missed something. Everything else is only *told*. Every node, the one that gave it
included, carries an order out when it arrives.

While a deploy rolls, nodes of two versions meet. So a field may be added to an order, with a default, and a field that
is not known is ignored; an order whose meaning changes gets a new name. An order that is not known is logged and skipped.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from hubbub.clock import Clock
from hubbub.exceptions import PublishError, Unavailable
from hubbub.hub.background import Background
from hubbub.hub.broker import Broker, Retention
from hubbub.hub.ids import RisingIds
from hubbub.hub.publications import Draft, Kind, Position, Publication

logger = logging.getLogger(__name__)

CONTROL = "\x1fcontrol"
"""The channel of the log, and of what is told to all nodes. Clients can name nothing with a control character."""
LOG = Retention(100_000, 30 * 86_400.0)
"""How many orders the log keeps, and for how many seconds."""
PAGE = 1000
"""Orders that are read at once, where the whole log is."""
TOLD = Retention(0, 0.0)
STRANGERS = 100
"""Names of orders nobody here knows that are logged; the others are skipped without a word."""

Content = TypeVar("Content")
CarryOut = Callable[[Content, float], None]
"""Does what an order says, and is told when it was given; must not block."""


def channel_of(node_id: str) -> str:
    """Return the channel on which one node is told something."""
    return f"\x1fnode:{node_id}"


class Orders:
    """Gives orders and carries them out; keeps its place in the log.

    Args:
        broker: carries and keeps them.
        node_id: whose orders these are.
        clock: what time they carry.
        background: reads the log where something was missed.
    """

    def __init__(self, broker: Broker, node_id: str, clock: Clock, background: Background) -> None:
        self._broker = broker
        self._clock = clock
        self._background = background
        self._ids = RisingIds()
        self._kinds: dict[str, tuple[msgspec.json.Decoder[Any], CarryOut[Any]]] = {}
        self._strangers: set[str] = set()
        self._reading = asyncio.Lock()
        self._is_due = False
        self.channel = channel_of(node_id)
        self.position: Position | None = None
        """Up to where the log was carried out."""
        self.is_behind = True
        """Whether the log may hold something that was not carried out, and reading it failed."""
        self.when_lost: Callable[[], None] = lambda: None
        """Called before the whole log is read because the place in it is gone, and the log may be too."""
        self.when_read: Callable[[], Awaitable[None]] = nothing
        """Called when the log has been read."""

    def on(self, name: str, content: type[Content], carry_out: CarryOut[Content]) -> None:
        """Name who carries out the orders of one name."""
        self._kinds[name] = msgspec.json.Decoder(content), carry_out

    async def record(self, name: str, content: msgspec.Struct, key: str) -> Position:
        """Give an order that nodes which are away carry out later; returns when it is stored.

        Raises:
            PublishError: the broker did not take it (`PublishUncertain`: it is unknown whether it did).
        """
        return await self._broker.publish(self._draft(CONTROL, name, content, Kind.MESSAGE), LOG, key)

    async def tell(self, name: str, content: msgspec.Struct, channel: str = CONTROL) -> None:
        """Give an order to the nodes that are there; it may be lost.

        Raises:
            PublishError: the broker did not take it.
        """
        await self._broker.publish(self._draft(channel, name, content, Kind.EPHEMERAL), TOLD)

    def receive(self, publication: Publication) -> None:
        """Carry out what came from the broker."""
        self._carry_out(publication)
        if publication.offset and publication.channel == CONTROL:
            place = self.position
            if place is None or follows(place, publication):
                self.position = publication.position
            elif is_ahead(publication.position, place):
                self.catch_up_soon()

    def compare(self, position: Position | None) -> None:
        """Read on if another node is further in the log; so what was lost on the way here is found."""
        if position is not None and self.position is not None and is_ahead(position, self.position):
            self.catch_up_soon()

    def catch_up_soon(self) -> None:
        """Read on in the background; when that fails, `is_behind` says so."""
        if not self._is_due:
            self._is_due = True
            self._background.start(self._catch_up_logged())

    async def catch_up(self) -> None:
        """Carry out what the log holds after the position: everything, where that cannot be read whole.

        Raises:
            Unavailable: it cannot be read.
            PublishError: it was read, and what it lacks could not be recorded.
        """
        async with self._reading:
            self._is_due = False
            self.is_behind = True
            place = self.position
            if place is not None:
                reading = await self._broker.read(CONTROL, place)
                for publication in reading.publications:
                    self._carry_out(publication)
                if reading.whole:
                    self._stand_at(reading.top)
                else:
                    logger.warning(
                        "The log of orders cannot be read on from where this node stood, but anew."
                    )
                    self.when_lost()
            if place is None or not reading.whole:
                await self._read_everything()
            await self.when_read()
            self.is_behind = False

    async def mend(self) -> None:
        """Catch up, because the broker may have lost something on the way here.

        Raises:
            Unavailable: the broker cannot be reached.
        """
        try:
            await self.catch_up()
        except PublishError as error:
            logger.warning("What the log of orders lacks could not be recorded; it is tried again: %s", error)

    async def _catch_up_logged(self) -> None:
        try:
            await self.mend()
        except Unavailable as error:
            logger.warning("The log of orders could not be read; it is tried again: %s", error)
        finally:
            self._is_due = False

    async def _read_everything(self) -> None:
        before: int | None = None
        top: Position | None = None
        while True:
            reading = await self._broker.history(CONTROL, limit=PAGE, before=before)
            if (
                top is None or reading.top.epoch != top.epoch
            ):  # it was lost while it was read: from its end again
                is_first = top is None
                top, before = reading.top, None
                if not is_first:
                    continue
            if not reading.publications:
                break
            for publication in reading.publications:
                self._carry_out(publication)
            before = reading.publications[0].offset
        self._stand_at(top)

    def _stand_at(self, position: Position) -> None:
        place = self.position
        if place is None or place.epoch != position.epoch or place.offset < position.offset:
            self.position = position

    def _draft(self, channel: str, name: str, content: msgspec.Struct, kind: Kind) -> Draft:
        now = self._clock.time()
        return Draft(channel, name, msgspec.json.encode(content), self._ids.new(now), now, kind)

    def _carry_out(self, publication: Publication) -> None:
        known = self._kinds.get(publication.event)
        if known is None:
            self._note_stranger(publication.event)
            return
        decoder, carry_out = known
        try:
            content = decoder.decode(publication.data)
        except (msgspec.MsgspecError, RecursionError) as error:
            logger.warning("An order %r of another node was skipped: %s", publication.event, error)
            return
        try:
            carry_out(content, publication.time)
        except Exception:
            logger.exception("An order %r could not be carried out", publication.event)

    def _note_stranger(self, name: str) -> None:
        if name not in self._strangers and len(self._strangers) < STRANGERS:
            self._strangers.add(name)
            logger.warning(
                "Orders %r of another node are skipped: this version does not know them.", name[:100]
            )


async def nothing() -> None:
    """Do nothing."""


def follows(place: Position, publication: Publication) -> bool:
    """Whether a publication is the next one after a place."""
    return publication.epoch == place.epoch and publication.offset == place.offset + 1


def is_ahead(position: Position, place: Position) -> bool:
    """Whether there is something to read between a place and a position; of another epoch nobody knows."""
    return position.epoch != place.epoch or position.offset > place.offset
