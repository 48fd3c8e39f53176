"""What this node was handed to tell, and telling the store when it was told."""

import logging
from collections.abc import Collection

from hubbub.clock import Clock
from hubbub.exceptions import Unavailable
from hubbub.hub.background import Background
from hubbub.hub.presence import Change, PresenceStore

logger = logging.getLogger(__name__)

KEEP = 1.0
"""Seconds between two signs to the store that what was not told yet will be."""


class Receipts:
    """Keeps the departures that this node is about to tell, and acknowledges them: those of one flight together.

    Departures without an id are nobody else's to tell, and cost nothing here.

    Args:
        store: what waits for acknowledgements.
        clock: what time it is.
        background: sends them.
    """

    def __init__(self, store: PresenceStore, clock: Clock, background: Background) -> None:
        self._store = store
        self._clock = clock
        self._background = background
        self._telling: dict[Change, None] = {}
        self._told: list[Change] = []
        self._is_sending = False
        self._kept_at = clock.monotonic()

    def take(self, change: Change) -> None:
        """Take a departure on."""
        if change.departure is not None:
            self._telling[change] = None

    def told(self, change: Change) -> None:
        """Learn that whoever was to know of a departure knows."""
        if change.departure is not None:
            self._told.append(change)
            self.send()

    def give_up(self, change: Change) -> None:
        """Learn that it could not be told: the claim on it ends, and it is handed out again."""
        self._telling.pop(change, None)

    def send(self) -> None:
        """Acknowledge what was told; also what could not be acknowledged before."""
        if self._told and not self._is_sending:
            self._is_sending = True
            self._background.start(self._send())

    def to_keep(self) -> Collection[Change]:
        """Return what the store shall know is still to be told; now and then, and otherwise nothing."""
        now = self._clock.monotonic()
        if not self._telling or now - self._kept_at < KEEP:
            return ()
        self._kept_at = now
        return tuple(self._telling)

    def __len__(self) -> int:
        return len(self._telling)

    async def _send(self) -> None:
        try:
            while self._told:
                told, self._told = self._told, []
                try:
                    await self._store.told(told)
                except Unavailable as error:
                    # Kept until it can be said: somebody else would tell it a second time.
                    self._told += told
                    logger.info("Departures that were told cannot be acknowledged yet: %s", error)
                    return
                for change in told:
                    self._telling.pop(change, None)
        finally:
            self._is_sending = False
