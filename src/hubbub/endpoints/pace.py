"""A pace for what comes in storms: a few in each turn of the event loop, so that everybody else has theirs."""

import asyncio
from collections import deque

AT_ONCE = 32
"""Handshakes a turn: some three milliseconds of it. After a deploy thousands come back in the same second."""


class Pace:
    """Lets some begin in each turn; those after them wait for the next turns, in their order.

    Args:
        at_once: how many a turn.
    """

    __slots__ = ("_at_once", "_begun", "_scheduled", "_waiting")

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._begun = 0
        self._scheduled = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def step(self) -> None:
        """Wait until there is room in a turn; at once where there is."""
        if self._begun < self._at_once and not self._waiting:
            self._count()
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _count(self) -> None:
        self._begun += 1
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._scheduled = False
        self._begun = 0
        while self._waiting and self._begun < self._at_once:
            turn = self._waiting.popleft()
            if not turn.done():  # or whoever waited was cancelled
                turn.set_result(None)
                self._count()
