"""What is published, as one server sends it: over a connection of its own, which may be silent for hours.

Nothing that is published while it is broken ever arrives, so every break is told, and what was missed is read.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from redis.exceptions import (
    AskError,
    ClusterDownError,
    NoPermissionError,
    ResponseError,
    TryAgainError,
)

from hubbub.brokers.redis.dialing import RIGHTS
from hubbub.brokers.redis.errors import Moved, NotSent, Refused
from hubbub.brokers.redis.line import Dial, Line

CONFIRMATION = 5.0
"""Seconds in which a subscription is confirmed; a second more for each thousand at once."""

ELSEWHERE = (AskError, ClusterDownError, TryAgainError)
"""Refusals of a server that does not carry a channel; redis-py's `MovedError` is an `AskError`."""

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
        self._commands: deque[tuple[bytes, bytes, asyncio.Future[None] | None]] = deque()
        """What was sent and is not confirmed, in order: verb, channel, and what its confirmation settles."""
        self._confirming: dict[bytes, asyncio.Future[None]] = {}
        """What those wait for who subscribe."""
        self.channels: set[bytes] = set()
        """What shall be heard."""

    @property
    def problem(self) -> str | None:
        """Why something may not be heard; `None` while everything is."""
        return None if self._line.opened.is_set() else self._line.problem

    async def subscribe(self, channel: bytes) -> None:
        """Hear a channel; returns when the server has confirmed it.

        Raises:
            Moved: this server does not carry it.
            NotSent: it was refused, or not confirmed in time.
        """
        self.channels.add(channel)
        try:
            async with asyncio.timeout(CONFIRMATION):
                await asyncio.shield(self._confirmation(channel))
        except TimeoutError:
            problem = self.problem or "it is slow"
            self.unsubscribe(channel)
            raise NotSent(f"Redis does not confirm a subscription: {problem}") from None
        except NotSent:
            self.give_up(channel)
            raise
        except asyncio.CancelledError:
            self.unsubscribe(channel)
            raise

    def unsubscribe(self, channel: bytes) -> None:
        """Hear a channel no longer."""
        self.channels.discard(channel)
        self._settle(channel)
        self._send(UNSUBSCRIBE, channel, None)

    def give_up(self, channel: bytes) -> None:
        """Leave a channel that this server does not carry; whoever waits for it is heard by another listener."""
        self.channels.discard(channel)
        self._settle(channel)

    def fail(self, reason: str) -> None:
        """Give this connection up and open another one."""
        self._line.fail(reason)

    async def ready(self) -> None:
        """Wait until there is no problem; raises `Refused` where there will be one until a setting is changed."""
        await self._line.ready()

    def start(self) -> None:
        """Begin to connect; `stop` ends it."""
        self._line.start()

    async def stop(self) -> None:
        """Hang up."""
        await self._line.stop()

    async def _come_back(self) -> None:
        """Subscribe to everything, then have read what was missed."""
        confirmations = {channel: self._confirmation(channel, again=True) for channel in self.channels}
        async with asyncio.timeout(CONFIRMATION + len(confirmations) / 1000):
            for channel, confirmed in confirmations.items():
                try:
                    await asyncio.shield(confirmed)
                except Moved:
                    self._leave(channel)
        await self._resume(confirmations.keys() & self.channels)

    def _confirmation(self, channel: bytes, *, again: bool = False) -> asyncio.Future[None]:
        """Subscribe, unless that is under way; return what tells of its confirmation."""
        confirmed = self._confirming.get(channel)
        if confirmed is None:
            confirmed = self._confirming[channel] = asyncio.get_running_loop().create_future()
            self._send(SUBSCRIBE, channel, confirmed)
        elif again:  # it was under way on a connection that is no more
            self._send(SUBSCRIBE, channel, confirmed)
        return confirmed

    def _send(self, verb: bytes, channel: bytes, confirmed: asyncio.Future[None] | None) -> None:
        if self._line.is_connected:  # else everything is subscribed to as soon as there is a connection
            self._line.send(verb, channel)
            self._commands.append((verb, channel, confirmed))

    def _take(self, message: Any) -> None:
        if isinstance(message, ResponseError):
            self._refused(message)
        elif message[0] == b"smessage":
            self._deliver(message[1], message[2])
        else:
            self._confirmed(message[0], message[1])

    def _confirmed(self, verb: bytes, channel: bytes) -> None:
        if self._commands and self._commands[0][:2] == (verb, channel):
            _, _, confirmed = self._commands.popleft()
            # One that was sent before an unsubscribe says nothing about the one that was sent after it.
            if confirmed is not None and self._confirming.get(channel) is confirmed:
                self._settle(channel)
        elif verb == UNSUBSCRIBE:  # nobody asked for it: its slot went to another server
            if channel in self.channels:
                self._leave(channel)
        else:
            self.fail("it confirmed what was not asked for")

    def _refused(self, error: ResponseError) -> None:
        if not self._commands:
            self.fail(str(error))
            return
        _, channel, confirmed = self._commands.popleft()
        if confirmed is not None and self._confirming.get(channel) is confirmed:
            del self._confirming[channel]
            if not confirmed.done():
                confirmed.set_exception(refusal(error))
                confirmed.exception()  # looked at, should nobody wait any more

    def _leave(self, channel: bytes) -> None:
        self.give_up(channel)
        self._moved(channel)

    def _settle(self, channel: bytes) -> None:
        confirmed = self._confirming.pop(channel, None)
        if confirmed is not None and not confirmed.done():
            confirmed.set_result(None)

    def _lost(self, reason: str) -> None:
        self._commands.clear()
        self._interrupted()


def refusal(error: ResponseError) -> NotSent:
    """Say what a refused subscription means."""
    if isinstance(error, ELSEWHERE):
        return Moved(str(error))
    if isinstance(error, NoPermissionError):
        return Refused(f"Redis refused a subscription: {error}. {RIGHTS}")
    return NotSent(f"Redis refused a subscription: {error}")
