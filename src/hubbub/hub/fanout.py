"""Local delivery: one frame for every session of an encoding, and no waiting for anybody.

A `Feed` is what one channel has on this node. A `Subscription` is one session on one feed, in one of three ways:

* **live**: its outlet's `write` stands among the feed's writers and is called for each publication;
* **lagging**: its session is slow; a callable that only counts stands in the same place, so that the loop over the
  writers has no branch;
* **waiting**: it is reading the stream; publications are held until what it read and what comes live join up.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hubbub.hub.namespaces import Namespace, Overflow
from hubbub.hub.outlet import Encoding
from hubbub.hub.publications import Position, Publication
from hubbub.hub.replies import Reset
from hubbub.types import Epoch

if TYPE_CHECKING:
    from hubbub.hub.session import Session

Writer = Callable[[Any], None]

NOWHERE = Position(Epoch(""), 0)


class Subscription:
    """One session on one feed.

    Args:
        session: who receives.
        feed: what it receives.
    """

    __slots__ = ("behind", "expiry", "feed", "has_read", "held", "position", "session", "token_bound")

    def __init__(self, session: "Session", feed: "Feed") -> None:
        self.session = session
        self.feed = feed
        self.position = NOWHERE
        """Where the session stands, while it is not live; a live one stands where its feed does."""
        self.held: list[Publication] | None = None
        """What came while it waits; `None` when it does not."""
        self.has_read = False
        """Whether the stream was read in this wait, so that only the feed has to get there."""
        self.behind = 0
        """How many bytes it has missed while lagging."""
        self.token_bound = False
        """Whether a token of its own, not the session's identity, allows it."""
        self.expiry: Any = None
        """The timer of that token's end."""

    def lag(self, frame: Any) -> None:
        """Count a frame that this session does not get now; stands in for its outlet's `write`."""
        if not self.behind:
            self.position = self.feed.position
        self.behind += len(frame)
        if self.overflown and self.feed.namespace.overflow is Overflow.CLOSE:
            self.feed.overflown.append(self.session)

    @property
    def overflown(self) -> bool:
        """Whether it missed more than the namespace allows."""
        return self.behind > self.feed.namespace.overflow_bytes

    def slow_down(self) -> None:
        """Turn from live to lagging; a waiting one goes on waiting."""
        writers = self.feed.writers.get(self.session.encoding)
        if writers is not None and self.session in writers:
            writers[self.session] = self.lag

    def speed_up(self) -> None:
        """Turn from lagging to live; there must be nothing it is behind by."""
        writers = self.feed.writers.get(self.session.encoding)
        if writers is not None and self.session in writers:
            writers[self.session] = self.session.outlet.write

    def write(self, publication: Publication) -> None:
        """Write one publication to this session alone, and move its position there."""
        if publication.is_for(self.session.user_id):
            self.session.outlet.write(self.session.encoding.publication(publication))
        if publication.offset:
            self.position = publication.position


class Feed:
    """One channel's receivers on this node.

    Args:
        name: the channel.
        namespace: its policy.
        overflown: where sessions are put that fell too far behind; emptied after each delivery.
    """

    __slots__ = ("holders", "name", "namespace", "overflown", "position", "waiting", "writers")

    def __init__(self, name: str, namespace: Namespace, overflown: "list[Session]") -> None:
        self.name = name
        self.namespace = namespace
        self.overflown = overflown
        self.holders = 0
        """How many subscriptions need this feed, those included that are only being set up."""
        self.position = NOWHERE
        """The place of the last stored publication that every live session was given."""
        self.writers: dict[Encoding, dict[Session, Writer]] = {}
        self.waiting: dict[Session, Subscription] = {}

    def deliver(self, publication: Publication) -> int:
        """Hand a publication to every session; return how many there are."""
        is_new = True
        if publication.offset:
            if publication.epoch != self.position.epoch:
                self._begin_anew(publication)
            is_new = (
                publication.offset > self.position.offset
            )  # a broker may repeat itself around a subscribe
        receivers = self._write(publication) if is_new else 0
        if publication.offset and is_new:
            self.position = publication.position
        if self.waiting:
            self._deliver_to_waiting(publication)
        return receivers

    def _write(self, publication: Publication) -> int:
        # Writing may pause a session, which swaps its writer in place: the dict keeps its size.
        receivers = 0
        for encoding, writers in self.writers.items():
            frame = encoding.publication(publication)
            if publication.exclude:
                for session, write in writers.items():
                    if publication.is_for(session.identity.user_id):
                        write(frame)
                        receivers += 1
            else:
                receivers += len(writers)
                for write in writers.values():
                    write(frame)
        return receivers

    def hold(self, subscription: Subscription) -> list[Publication]:
        """Let a subscription wait: what comes from now on is kept for it, in the list that is returned.

        While that list is the subscription's `held`, it is still this wait.
        """
        self.remove(subscription)
        held = subscription.held = []
        subscription.has_read = False
        self.waiting[subscription.session] = subscription
        return held

    def fall_behind(self, subscription: Subscription, missed: int) -> None:
        """End a wait without going live: the session is congested, and has `missed` bytes to catch up on."""
        self.waiting.pop(subscription.session, None)
        subscription.held = None
        subscription.behind = max(missed, 1)
        writers = self.writers.setdefault(subscription.session.encoding, {})
        writers[subscription.session] = subscription.lag

    def go_live(self, subscription: Subscription) -> None:
        """End a wait: give the session what was held and is new to it, then everything as it comes.

        It goes live where it stands as far as the feed. The stream may have been read further than this feed has been
        told, or less far than somebody else read it; then the subscription goes on waiting, and takes from what
        comes what is new to it alone.
        """
        subscription.has_read = True
        subscription.behind = 0
        self._flush(subscription)
        if not self.writers:  # nobody lives by where the feed was, and who waits goes by their own position
            self.position = subscription.position
        self._admit(subscription)

    def remove(self, subscription: Subscription) -> None:
        """Stop giving this subscription anything; harmless to repeat."""
        session = subscription.session
        subscription.held = None
        self.waiting.pop(session, None)
        writers = self.writers.get(session.encoding)
        if writers is not None:
            writers.pop(session, None)
            if not writers:
                del self.writers[session.encoding]

    def forget_position(self) -> None:
        """Know no longer where the stream stands, because the broker no longer tells."""
        self.position = NOWHERE

    def _deliver_to_waiting(self, publication: Publication) -> None:
        for subscription in list(self.waiting.values()):
            if subscription.held is not None:
                subscription.held.append(publication)
            if subscription.has_read:
                self._flush(subscription)
                self._admit(subscription)

    def _flush(self, subscription: Subscription) -> None:
        session, held = subscription.session, subscription.held or []
        while held:
            publication = held[0]
            here = subscription.position
            is_stored = publication.offset > 0
            if is_stored and publication.epoch == here.epoch and publication.offset <= here.offset:
                del held[0]
                continue
            if session.congested:
                self.fall_behind(subscription, sum(len(each.data) for each in held))
                return
            if is_stored and here.epoch not in {"", publication.epoch}:
                session.send(reset(self.name, publication.epoch))
            subscription.write(publication)
            del held[0]

    def _admit(self, subscription: Subscription) -> None:
        session = subscription.session
        if subscription.held is None or not self._agrees(subscription):
            return
        self.waiting.pop(session, None)
        subscription.held = None
        if not session.closed:
            write = subscription.lag if session.congested else session.outlet.write
            self.writers.setdefault(session.encoding, {})[session] = write

    def _agrees(self, subscription: Subscription) -> bool:
        here, there = subscription.position, self.position
        if not (here.offset or there.offset):  # where nothing is kept there is nothing to agree on
            return True
        return (here.epoch, here.offset) == (there.epoch, there.offset)

    def _begin_anew(self, publication: Publication) -> None:
        first = not self.position.epoch
        self.position = Position(publication.epoch, publication.offset - 1)
        if first:
            return
        reply = reset(self.name, publication.epoch)
        for writers in self.writers.values():
            for session in list(writers):
                if not session.slow:  # a slow one is told when it is brought up to date
                    session.send(reply)


def reset(channel: str, epoch: Epoch) -> Reset:
    """Say that a stream began anew."""
    return Reset(channel=channel, position=Position(epoch, 0))
