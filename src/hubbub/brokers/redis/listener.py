"""What is published, as one server sends it: over a connection of its own, which may be silent for hours.

Nothing that is published while it is broken ever arrives, so every break is told, and what was missed is read.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from types import TracebackType
from typing import Any, Self

from redis.exceptions import ResponseError

from hubbub.brokers.redis.errors import NotSent
from hubbub.brokers.redis.line import Dial, Line

CONFIRMATION = 5.0
"""Seconds in which a subscription is confirmed; a second more for each thousand at once."""

SUBSCRIBE, UNSUBSCRIBE = b"ssubscribe", b"sunsubscribe"


class Listener:
    """Holds subscriptions on one server.

    Args:
        dial: opens a connection.
        deliver: takes a channel and what was published to it; must not raise.
        moved: is told of a channel that this server does not carry, or no longer.
        interrupted: is told when messages may be missed from now on.
        resume: brings channels up to date once they are subscribed to again; may raise `NotSent`.
    """

    def __init__(
        self,
        dial: Dial,
        deliver: Callable[[bytes, bytes], None],
        moved: Callable[[bytes], None],
        interrupted: Callable[[], None],
        resume: Callable[[Collection[bytes]], Awaitable[None]],
    ) -> None:
        self._line = Line(dial, self._come_back, self._take, self._lost, "subscriptions")
        self._deliver = deliver
        self._moved = moved
        self._interrupted = interrupted
        self._resume = resume
        self._commands: deque[tuple[bytes, bytes]] = deque()
        """What was sent and is not confirmed: verb and channel, in order."""
        self._confirming: dict[bytes, asyncio.Future[None]] = {}
        self.channels: set[bytes] = set()
        """What shall be heard."""

    @property
    def problem(self) -> str | None:
        """Why something may not be heard; `None` while everything is."""
        return None if self._line.opened.is_set() else self._line.problem

    async def subscribe(self, channel: bytes) -> None:
        """Hear a channel; returns when the server has confirmed it.

        Raises:
            NotSent: it was not confirmed in time.
        """
        self.channels.add(channel)
        try:
            async with asyncio.timeout(CONFIRMATION):
                await asyncio.shield(self._confirmation(channel))
        except TimeoutError:
            self.unsubscribe(channel)
            raise NotSent(f"Redis does not confirm a subscription: {self.problem or 'it is slow'}") from None

    def unsubscribe(self, channel: bytes) -> None:
        """Hear a channel no longer."""
        self.channels.discard(channel)
        self._settle(channel)
        self._send(UNSUBSCRIBE, channel)

    def give_up(self, channel: bytes) -> None:
        """Leave a channel that this server does not carry; whoever waits for it is heard by another listener."""
        self.channels.discard(channel)
        self._settle(channel)

    def fail(self, reason: str) -> None:
        """Give this connection up and open another one."""
        self._line.fail(reason)

    async def ready(self) -> None:
        """Wait until there is no problem."""
        await self._line.opened.wait()

    async def __aenter__(self) -> Self:
        await self._line.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._line.__aexit__(exc_type, exc, traceback)

    async def _come_back(self) -> None:
        """Subscribe to everything, then have read what was missed."""
        channels = tuple(self.channels)
        async with asyncio.timeout(CONFIRMATION + len(channels) / 1000):
            for confirmed in [self._confirmation(channel, again=True) for channel in channels]:
                await asyncio.shield(confirmed)
        await self._resume(channels)

    def _confirmation(self, channel: bytes, *, again: bool = False) -> asyncio.Future[None]:
        """Subscribe, unless that is under way; return what tells of its confirmation."""
        confirmed = self._confirming.get(channel)
        if confirmed is None:
            confirmed = self._confirming[channel] = asyncio.get_running_loop().create_future()
            self._send(SUBSCRIBE, channel)
        elif again:  # it was under way on a connection that is no more
            self._send(SUBSCRIBE, channel)
        return confirmed

    def _send(self, verb: bytes, channel: bytes) -> None:
        if self._line.is_connected:  # else everything is subscribed to as soon as there is a connection
            self._line.send(verb, channel)
            self._commands.append((verb, channel))

    def _take(self, message: Any) -> None:
        if isinstance(message, ResponseError):
            self._refused(message)
        elif message[0] == b"smessage":
            self._deliver(message[1], message[2])
        else:
            self._confirmed(message[0], message[1])

    def _confirmed(self, verb: bytes, channel: bytes) -> None:
        if self._commands and self._commands[0] == (verb, channel):
            self._commands.popleft()
        elif verb == UNSUBSCRIBE:  # nobody asked for it: its slot went to another server
            self._moved(channel)
            return
        if verb == SUBSCRIBE:
            self._settle(channel)

    def _refused(self, error: ResponseError) -> None:
        verb, channel = self._commands.popleft() if self._commands else (b"", b"")
        if verb == SUBSCRIBE:
            self._moved(channel)
        elif verb != UNSUBSCRIBE:
            self.fail(str(error))

    def _settle(self, channel: bytes) -> None:
        confirmed = self._confirming.pop(channel, None)
        if confirmed is not None and not confirmed.done():
            confirmed.set_result(None)

    def _lost(self, reason: str) -> None:
        self._commands.clear()
        self._interrupted()
