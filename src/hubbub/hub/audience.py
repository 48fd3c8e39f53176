"""Who is live on a channel, and how a batch reaches them."""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hubbub.hub.outlet import Encoding
from hubbub.hub.publications import Publication
from hubbub.hub.turn import Turn

if TYPE_CHECKING:
    from hubbub.hub.subscription import Subscription

logger = logging.getLogger(__name__)

Writer = Callable[[Any], None]

ABSENT = -1

CROWD = 32
"""Receivers from which on each is written to at once. Below that a session's frames of one turn, from all its
channels and with the answers to its commands, are gathered into one write, which in small rooms saves a system call
a message; the gathering costs a fraction of one a receiver."""


class Audience:
    """The receivers of one channel on this node, those included that are slow.

    In a crowd the writers are kept at hand, so that the loop over them is one call for each and asks nothing. A session
    that becomes slow, comes or goes makes that list be made anew.

    Args:
        name: the channel.
        turn: has outlets flushed before they are passed by, and counts deliveries.
    """

    __slots__ = ("_writers", "live", "name", "turn")

    def __init__(self, name: str, turn: Turn) -> None:
        self.name = name
        self.turn = turn
        self.live: list[Subscription] = []
        """Those that are live or lagging, in no order; each knows its place, which makes leaving cheap. A dict of one
        would cost 232 bytes for each user's own channel."""
        self._writers: list[tuple[Encoding, list[Writer]]] | None = None
        """The writers of a crowd; `None` when they are to be collected."""

    @property
    def is_crowd(self) -> bool:
        """Whether each receiver is written to at once."""
        return len(self.live) >= CROWD

    def changed(self) -> None:
        """Collect the writers anew before the next batch."""
        self._writers = None

    def add(self, subscription: "Subscription") -> None:
        """Let one more receive; harmless to repeat."""
        if subscription.place == ABSENT:
            subscription.place = len(self.live)
            self.live.append(subscription)
        self.changed()

    def take_out(self, subscription: "Subscription") -> None:
        """Let one receive no longer; harmless to repeat."""
        place, subscription.place = subscription.place, ABSENT
        if place != ABSENT:
            last = self.live.pop()
            if last is not subscription:
                self.live[place] = last
                last.place = place
            self.changed()

    def write(self, batch: Sequence[Publication]) -> None:
        """Give every receiver what is for them, in one frame; those that are slow are counted it instead."""
        if any(publication.exclude for publication in batch):
            self._write_selected(batch)
        elif self.is_crowd:
            self._write_to_crowd(batch)
        else:
            self._write_gathering(batch)

    def _write_gathering(self, batch: Sequence[Publication]) -> None:
        encoding = frame = None
        for subscription in self.live:
            session = subscription.session
            if session.encoding is not encoding:
                encoding = session.encoding
                frame = encoding.publications(batch)
            if subscription.lagging:
                subscription.lag(frame)
            else:
                session.outlet.write(frame)
        self.turn.statistics.deliveries += len(self.live) * len(batch)

    def _write_to_crowd(self, batch: Sequence[Publication]) -> None:
        # Writing may make a session slow. That asks for the writers to be collected anew, and leaves these lists alone.
        self.turn.flush_outlets()
        for encoding, writers in self._writers or self._collect():
            frame = encoding.publications(batch)
            remaining = iter(writers)
            while True:
                try:
                    for write in remaining:
                        write(frame)
                except Exception:  # one broken connection must not end the delivery to all after it
                    logger.exception("A frame of %r could not be written", self.name)
                else:
                    break
        self.turn.statistics.deliveries += len(self.live) * len(batch)

    def _write_selected(self, batch: Sequence[Publication]) -> None:
        excluded = frozenset[str]().union(*(publication.exclude for publication in batch))
        frames: dict[Encoding, Any] = {}
        for subscription in self.live:
            session = subscription.session
            encoding = session.encoding
            if session.identity.user_id in excluded:
                selected = [each for each in batch if each.is_for(session.identity.user_id)]
                if not selected:
                    continue
                frame = encoding.publications(selected)
                self.turn.statistics.deliveries += len(selected)
            else:
                if encoding not in frames:
                    frames[encoding] = encoding.publications(batch)
                frame = frames[encoding]
                self.turn.statistics.deliveries += len(batch)
            if subscription.lagging:
                subscription.lag(frame)
            else:
                session.outlet.write(frame)

    def _collect(self) -> list[tuple[Encoding, list[Writer]]]:
        by_encoding: dict[Encoding, list[Writer]] = {}
        for subscription in self.live:
            session = subscription.session
            write = subscription.lag if subscription.lagging else session.outlet.write_through
            by_encoding.setdefault(session.encoding, []).append(write)
        self._writers = list(by_encoding.items())
        return self._writers
