"""The canary: about once a second a node publishes something to itself, and what does not come back is missed.

A connection that is open and dead looks as one that has nothing to say. Only what should have arrived tells them apart.
"""

import asyncio
import logging
from collections.abc import Callable

from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from hubbub.brokers.redis.complaints import Complaints
from hubbub.brokers.redis.errors import NotSent, Unanswered
from hubbub.brokers.redis.lane import Lane
from hubbub.brokers.redis.listener import Listener
from hubbub.brokers.redis.others import Peers
from hubbub.brokers.redis.scripts import Script

logger = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two canaries."""
DEADLINE = 2.5
"""Seconds in which one comes back: with the interval, deafness is found within 3.5 s."""

LEAVING = "leaving"

CANARY = Script("canary")
MOVING = (MovedError, AskError, TryAgainError, ClusterDownError)
"""Answers of a cluster in which the canaries' slot is on its way: others see to that."""


class Vigil:
    """Watches over the two connections to one server.

    Args:
        node: this node's id.
        written: the key that canaries write to, because a Redis may publish and refuse to write.
        lane: what canaries are published through.
        listener: what they come back through.
        peers: the other nodes, whose canaries are heard as well.
        compared: tells which life of the server this node has compared with.
        deaf: is told that canaries do not come back.
    """

    def __init__(
        self,
        node: str,
        written: str,
        lane: Lane,
        listener: Listener,
        peers: Peers,
        compared: Callable[[], str],
        deaf: Callable[[], None],
    ) -> None:
        self._node = node
        self._written = written
        self._lane = lane
        self._listener = listener
        self._peers = peers
        self._compared = compared
        self._deaf = deaf
        self._complaints = Complaints()
        self.refusal: str | None = None
        """Why Redis takes no writes at the moment, or `None`."""
        self._number = 0
        self._back = asyncio.Event()

    async def watch(self, channel: bytes) -> None:
        """Send canaries until cancelled."""
        while True:
            try:
                await self._send_one(channel)
            except Exception:
                logger.exception("A canary failed")
            await asyncio.sleep(INTERVAL)

    async def try_writing(self, channel: bytes) -> None:
        """Send a canary that nobody waits for.

        Raises:
            NoPermissionError: this user may not write; any other refusal may pass, and is told by those that follow.
        """
        try:
            await self._release(channel)
        except NoPermissionError:
            raise
        except ResponseError as error:
            logger.debug("Redis takes no writes yet: %s", error)

    async def say_goodbye(self, channel: bytes) -> None:
        """Tell the other nodes that this one leaves, if they can be told."""
        try:
            async with asyncio.timeout(INTERVAL):
                await self._lane.tell("SPUBLISH", channel, f"{self._node} 0 {LEAVING}")
        except (NotSent, Unanswered, RedisError, TimeoutError):
            logger.debug("The other nodes could not be told that this one leaves")

    def heard(self, payload: bytes) -> None:
        """Take a canary that arrived, of whichever node."""
        try:
            node, number, life = payload.decode().split(" ", 2)
            beat = int(number)
        except ValueError:
            logger.warning("Something that is no canary was published where canaries are")
            return
        if node == self._node:
            self._peers.listening()
            if beat == self._number:
                self._back.set()
        elif life == LEAVING:
            self._peers.gone(node)
        else:
            self._peers.heard(node, life)

    async def _send_one(self, channel: bytes) -> None:
        if not self._lane.is_connected:
            return  # it is being connected
        # Sent even where it need not come back: others want to know that this node is there, and an answer is due.
        is_due_back = self._listener.problem is None and self._lane.problem is None
        self._number += 1
        self._back.clear()
        is_answered = False
        try:
            async with asyncio.timeout(DEADLINE):
                await self._write_and_publish(channel)
                is_answered = True
                if is_due_back:
                    await self._back.wait()
        except (NotSent, Unanswered, RedisError):
            return  # the lane knows, and connects anew
        except TimeoutError:
            self._missed("a canary did not come back" if is_answered else "Redis does not answer")
            if not is_answered:
                self._lane.fail("Redis does not answer")

    def _missed(self, problem: str) -> None:
        if self._listener.problem is None:
            logger.error("Deaf: %s within %g s", problem, DEADLINE)
            self._deaf()
            self._listener.fail(problem)

    async def _write_and_publish(self, channel: bytes) -> None:
        if (
            self._lane.problem is not None
        ):  # it is being greeted, and whether the server is empty may be looked at
            await self._lane.tell("SPUBLISH", channel, self._words())
            return
        try:
            await self._release(channel)
            self.refusal = None
        except MOVING:
            raise
        except ResponseError as error:
            self.refusal = f"Redis refuses to write: {error}"
            self._complaints.complain("Redis refuses to write, so nothing can be published", error)
            await self._lane.tell("SPUBLISH", channel, self._words())

    async def _release(self, channel: bytes) -> None:
        # With its source, which is short: a server that forgot its scripts is no reason for a canary to fail.
        await self._lane.tell("EVAL", CANARY.source, 1, self._written, self._words(), channel)

    def _words(self) -> str:
        return f"{self._node} {self._number} {self._compared()}"
