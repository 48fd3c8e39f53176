"""Sending a node's sessions away before it ends: each is told when to come back, and closed soon after that moment.

They come back in slots of ``1/rate`` seconds, one session in each, at a moment of its own within it. So whatever the
timers do, no second sees more than ``rate`` + 1 of them return, where::

    rate = max(GENTLE, sessions / (SHARE · seconds))        sessions a second

A few are sent away at a gentle pace, which is over in no time; thousands in two thirds of the time there is. Between
being told and the Close a session receives everything as before, so it is away for no longer than a handshake takes;
one that knows nothing of `reconnect` is closed half a second after its moment, and comes back as spread out.
"""

import asyncio
import logging

from hubbub.clock import Clock
from hubbub.codes import CloseCode
from hubbub.hub.connections import Connections
from hubbub.hub.replies import Reconnect
from hubbub.hub.session import Session
from hubbub.hub.wheel import Wheel

logger = logging.getLogger(__name__)

RESTARTING = "The server is restarting"

SHARE = 2 / 3
"""Of the time, in which everybody is told; the rest is for those who are slow to go."""
GENTLE = 100.0
"""Sessions a second that are sent away however many there are."""
LEAD = 0.5
"""Seconds from being told to the moment of coming back; at most a tenth of the time."""
LINGER = 0.5
"""Seconds from that moment to the Close; at most a twentieth of the time."""
STEP = 0.2
"""Seconds between two batches."""
AHEAD = 0.5
"""How many seconds of slots are given away at once: more than a step takes, so that none stays empty."""


class Draining:
    """Empties one node, once.

    Args:
        connections: the sessions; from the beginning on it takes in no more.
        wheel: for the batches and the closes.
        clock: what time it is.
        seconds: how long it takes at most.
    """

    def __init__(self, connections: Connections, wheel: Wheel, clock: Clock, seconds: float) -> None:
        self._connections = connections
        self._wheel = wheel
        self._clock = clock
        self._seconds = seconds
        self._lead = min(LEAD, seconds / 10)
        self._linger = min(LINGER, seconds / 20)
        self._rate = GENTLE
        self._slot = 0.0
        """When the next slot begins."""
        self._waiting: list[Session] = []
        """Who has not been told."""
        self._began_at = 0.0
        self._begun = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def is_begun(self) -> bool:
        """Whether sessions are being sent away, or were."""
        return self._begun.is_set()

    @property
    def is_over(self) -> bool:
        """Whether nobody is left, or the time is over and everybody was closed."""
        return self._over.is_set()

    async def until_begun(self) -> None:
        """Wait for the beginning: a response without an end ends then."""
        await self._begun.wait()

    async def run(self) -> None:
        """Send everybody away; return when they are gone, after the time at the latest.

        Cancelled, it closes those who are left at once.
        """
        self.begin()
        try:
            await self._over.wait()
        finally:
            self._end()

    def begin(self) -> None:
        """Take in no more sessions, and begin to send those away that are here; harmless when it has begun."""
        if self.is_begun:
            return
        self._begun.set()
        self._connections.refuse(self._next_return)
        self._waiting = list(self._connections)
        number = len(self._waiting)
        self._began_at = self._clock.monotonic()
        self._rate = max(GENTLE, number / (SHARE * self._seconds))
        if number:
            logger.info(
                "Draining: %d connections, over %.3g s, %.0f a second.",
                number,
                number / self._rate,
                self._rate,
            )
        self._wheel.after(self._seconds, self._end)
        self._step()

    def _step(self) -> None:
        if self.is_over:
            return
        if not len(self._connections):
            self._end()
            return
        now = self._clock.monotonic()
        while self._waiting and self._slot < now + self._lead + AHEAD:
            session = self._waiting.pop()
            after = self._tell(session)
            self._wheel.after(after + self._linger, self._close, session)
        self._wheel.after(STEP, self._step)

    def _tell(self, session: Session) -> float:
        """Tell a session when to come back; return after how many seconds."""
        after = self._next_return(jitter(session))
        if session.greeted and not session.closed:  # nothing comes before the welcome
            session.send(Reconnect(after=after))
        return after

    def _next_return(self, place: float = 0.5) -> float:
        """Give the next slot away; return how many seconds from now the moment is, at this place in the slot."""
        now = self._clock.monotonic()
        slot = max(self._slot, now + self._lead)
        self._slot = slot + 1 / self._rate
        return round(slot + place / self._rate - now, 3)

    def _close(self, session: Session) -> None:
        self._connections.close(session, CloseCode.SERVICE_RESTART, RESTARTING)

    def _end(self) -> None:
        if self.is_over:
            return
        self._over.set()
        left = list(self._connections)
        untold = set(self._waiting)
        self._waiting = []
        for session in left:
            if session in untold:
                self._tell(session)
            self._close(session)
        took = self._clock.monotonic() - self._began_at
        if left:
            logger.warning("Drained after %.1f s; %d connections were still there.", took, len(left))
        else:
            logger.info("Drained after %.1f s.", took)


def jitter(session: Session) -> float:
    """Return a place between 0 and 1 that is this session's own; ids are secret, so nobody can choose theirs."""
    return (hash(session.id) & 0xFFFF) / 0x10000
