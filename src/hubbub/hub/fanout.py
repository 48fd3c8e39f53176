"""Local delivery: one frame for every session of an encoding, and no waiting for anybody.

A `Feed` is what one channel has on this node. A `Subscription` is one session on one feed.
"""

import logging
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING

from hubbub.hub.audience import Audience
from hubbub.hub.namespaces import Namespace
from hubbub.hub.publications import NOWHERE, Position, Publication
from hubbub.hub.replies import Gap, Reply, Reset
from hubbub.hub.subscription import Subscription, reset
from hubbub.hub.turn import Turn
from hubbub.types import Epoch

if TYPE_CHECKING:
    from hubbub.hub.readings import Recent
    from hubbub.hub.session import Session

logger = logging.getLogger(__name__)

HELD = 10_000
"""Publications that a suspended feed holds; what comes beyond that it reads."""


class Feed(Audience):
    """One channel's receivers on this node.

    Args:
        name: the channel.
        namespace: its policy.
        turn: calls `flush` at the end of a turn in which something arrived.
        notice: is told when publications are missing; it reads them, and lets the feed `go_on`.
    """

    __slots__ = (
        "_later",
        "_newest",
        "_notice",
        "_pending",
        "_waiting",
        "holders",
        "listening",
        "mended",
        "namespace",
        "position",
        "recent",
    )

    def __init__(self, name: str, namespace: Namespace, turn: Turn, notice: "Callable[[Feed], None]") -> None:
        super().__init__(name, turn)
        self.namespace = namespace
        self._notice = notice
        self.holders = 0
        """How many subscriptions need this feed, those included that are only being set up."""
        self.listening = False
        """Whether the broker delivers this channel."""
        self.mended = 0
        """How often it began to be mended: a stream that was read across that was read too early."""
        self.position = NOWHERE
        """The place of the last stored publication that every live session was given."""
        self._waiting: dict[Session, Subscription] | None = None
        self._newest = 0
        """The offset of the last stored publication that arrived, in the epoch of `position`."""
        self._pending: list[Publication] | None = None
        """What arrived in this turn."""
        self.recent: Recent | None = None
        """Told of every stored publication, for sessions that come back."""
        self._later: list[Publication] | None = None
        """What arrived while something before it is missing; `None` while nothing is."""

    @property
    def reached(self) -> Position:
        """The place of the last stored publication that arrived."""
        position = self.position
        return position if position.offset == self._newest else Position(position.epoch, self._newest)

    @property
    def waiting(self) -> Collection["Session"]:
        """Those who read the stream and are not live yet."""
        return self._waiting or ()

    def deliver(self, publication: Publication) -> None:
        """Hand a publication to every session, at the end of the turn."""
        if not publication.offset:
            self._put_off(publication)
        elif self._later is not None:
            if len(self._later) < HELD:
                self._later.append(publication)
            return
        else:
            epoch = self.position.epoch
            if not epoch:
                self._move_to(Position(publication.epoch, publication.offset - 1))
            elif publication.epoch != epoch and publication.offset == 1:
                self.begin_anew(publication.epoch, 0)
            elif publication.epoch != epoch or publication.offset > self._newest + 1:
                self._later = [publication]
                self._notice(self)
                return
            if publication.offset > self._newest:  # a broker may repeat itself around a subscribe
                self._newest = publication.offset
                if self.recent is not None:
                    self.recent.append(publication)
                self._put_off(publication)
        if self._waiting:
            self._deliver_to_waiting(publication)

    def follows(self, subscription: Subscription, top: Position) -> bool:
        """Whether what is held for a subscription goes on where a stream that was read ended."""
        for publication in subscription.held or ():
            if publication.offset > top.offset and publication.epoch == top.epoch:
                return publication.offset == top.offset + 1
        return True

    def suspend(self) -> Position:
        """Hold what arrives from now on until `go_on`; return where the stream has to be read from."""
        self.flush()
        if self._later is None:
            self._later = []
        return self.reached

    def go_on(self, missed: Iterable[Publication]) -> bool:
        """Give out what was missed, then what was held, then everything as it comes.

        Returns:
            Whether that is all; something of another epoch was held, or more than is held.
        """
        later, self._later = self._later or [], None
        epoch = self.position.epoch
        for publication in (*missed, *later):
            if publication.epoch == epoch or not epoch:
                self.deliver(publication)
        return len(later) < HELD and all(publication.epoch == epoch for publication in later)

    def begin_anew(self, epoch: Epoch, began: int) -> None:
        """Tell every session that the stream began anew at an offset."""
        reply = Reset(channel=self.name, position=Position(epoch, began))
        self._leave_behind(reply)
        self._move_to(reply.position)
        for subscription in tuple((self._waiting or {}).values()):
            if subscription.has_read and subscription.position.epoch != epoch:
                subscription.session.send(reply)
                subscription.position = reply.position
                self._admit(subscription)

    def skip_to(self, offset: int) -> int:
        """Tell every session of a gap up to an offset; return how many publications are in it."""
        first = self._newest + 1
        if offset < first:
            return 0
        self._leave_behind(Gap(channel=self.name, first=first, last=offset))
        self._move_to(Position(self.position.epoch, offset))
        return offset - first + 1

    def flush(self) -> None:
        """Give every live session what arrived since the last time, in one frame."""
        batch, self._pending = self._pending, None
        if batch is None:
            return
        try:
            self.write(batch)
        except Exception:
            logger.exception("%d publications of %r could not be given out", len(batch), self.name)
            self.turn.statistics.failures += 1
        for publication in reversed(batch):
            if publication.offset:
                self.position = publication.position
                return

    def hold(self, subscription: Subscription) -> list[Publication]:
        """Let a subscription wait: what comes from now on is kept for it, in the list that is returned.

        While that list is the subscription's `held`, it is still this wait.
        """
        self.remove(subscription)
        held = subscription.held = []
        subscription.has_read = False
        subscription.past = self.position.epoch
        if self._waiting is None:
            self._waiting = {}
        self._waiting[subscription.session] = subscription
        return held

    def fall_behind(self, subscription: Subscription, missed: int) -> None:
        """End a wait without going live: the session is congested, and has `missed` bytes to catch up on."""
        self.flush()
        self._end_wait(subscription)
        subscription.behind = max(missed, 1)
        subscription.lagging = True
        self.add(subscription)

    def go_live(self, subscription: Subscription) -> None:
        """End a wait: give the session what was held and is new to it, then everything as it comes.

        It goes live where it stands as far as the feed. The stream may have been read further than this feed has been
        told, or less far than somebody else read it; then the subscription goes on waiting, and takes from what
        comes what is new to it alone.
        """
        self.flush()
        subscription.has_read = True
        subscription.behind = 0
        if subscription.past == subscription.position.epoch:
            subscription.past = NOWHERE.epoch
        elif subscription.past and subscription.past == self.position.epoch:
            self._notice(self)  # this feed has not been told that the stream began anew
        self._give_held(subscription)
        if not self.live:  # nobody lives by where the feed was, and who waits goes by their own position
            self._move_to(self._earliest(subscription.position))
            if self.position.offset < subscription.position.offset:
                self._notice(self)  # who stands further back may have waited for what is lost
                for other in tuple((self._waiting or {}).values()):
                    if other.has_read:
                        self._admit(other)
        self._admit(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Stop giving this subscription anything but what has arrived; harmless to repeat."""
        self.flush()
        self._end_wait(subscription)
        subscription.lagging = False
        self.take_out(subscription)

    def forget_position(self) -> None:
        """Know no longer where the stream stands, because the broker no longer tells."""
        self._move_to(NOWHERE)

    def _end_wait(self, subscription: Subscription) -> None:
        subscription.held = None
        if self._waiting is not None:
            self._waiting.pop(subscription.session, None)
            if not self._waiting:
                self._waiting = None

    def _put_off(self, publication: Publication) -> None:
        if self._pending is not None:
            self._pending.append(publication)
        elif self.live:
            self._pending = [publication]
            self.turn.put_off(self)
        elif publication.offset:
            self.position = publication.position

    def _deliver_to_waiting(self, publication: Publication) -> None:
        for subscription in tuple((self._waiting or {}).values()):
            if subscription.held is not None:
                subscription.held.append(publication)
            if subscription.has_read:
                self.flush()
                self._give_held(subscription)
                self._admit(subscription)

    def _give_held(self, subscription: Subscription) -> None:
        session, held = subscription.session, subscription.held or []
        while held:
            publication = held[0]
            here = subscription.position
            is_stored = publication.offset > 0
            is_known = publication.epoch == here.epoch and publication.offset <= here.offset
            if is_stored and (is_known or publication.epoch == subscription.past):
                del held[0]
                continue
            if session.congested:
                self.fall_behind(subscription, sum(len(each.data) for each in held))
                return
            if is_stored and here.epoch not in {"", publication.epoch}:
                session.send(reset(self.name, publication.epoch, publication.offset - 1))
            elif is_stored and here.epoch and publication.offset > here.offset + 1:
                session.send(Gap(channel=self.name, first=here.offset + 1, last=publication.offset - 1))
            subscription.write(publication)
            del held[0]

    def _admit(self, subscription: Subscription) -> None:
        session = subscription.session
        if subscription.held is None or not self._agrees(subscription):
            return
        self._end_wait(subscription)
        if not session.closed:
            subscription.lagging = session.congested
            subscription.position = NOWHERE
            self.add(subscription)

    def _agrees(self, subscription: Subscription) -> bool:
        here, there = subscription.position, self.position
        if not (here.offset or there.offset):  # where nothing is kept there is nothing to agree on
            return True
        return (here.epoch, here.offset) == (there.epoch, there.offset)

    def _earliest(self, position: Position) -> Position:
        """Return where the furthest back of those stands who have read the same stream, and wait for the feed."""
        return min(
            (
                each.position
                for each in (self._waiting or {}).values()
                if each.has_read and each.position.epoch == position.epoch
            ),
            key=lambda each: each.offset,
            default=position,
        )

    def _move_to(self, position: Position) -> None:
        if self.recent is not None and not self.recent.reaches(position):
            self.recent = None
        self.position = position
        self._newest = position.offset

    def _leave_behind(self, reply: Reply) -> None:
        """Tell the live sessions of something; those that lag find it out from where they stand."""
        self.flush()
        for subscription in self.live:
            if not subscription.lagging:
                subscription.session.send(reply)
            elif not subscription.behind:
                subscription.position = self.position
                subscription.behind = 1
