"""The canary: about once a second a node publishes something to itself, and what does not come back is missed.

A connection that is open and dead looks as one that has nothing to say. Only what should have arrived tells them apart.
"""

import asyncio
import logging
from collections.abc import Callable

from redis.exceptions import RedisError

from hubbub.brokers.redis.errors import NotSent, Unanswered
from hubbub.brokers.redis.lane import Lane
from hubbub.brokers.redis.listener import Listener
from hubbub.brokers.redis.others import Peers

logger = logging.getLogger(__name__)

INTERVAL = 1.0
"""Seconds between two canaries."""
DEADLINE = 2.5
"""Seconds in which one comes back: with the interval, deafness is found within 3.5 s."""

LEAVING = "leaving"


class Vigil:
    """Watches over the two connections to one server.

    Args:
        node: this node's id.
        lane: what canaries are published through.
        listener: what they come back through.
        peers: the other nodes, whose canaries are heard as well.
        compared: tells which life of the server this node has compared with.
        deaf: is told that canaries do not come back.
    """

    def __init__(
        self,
        node: str,
        lane: Lane,
        listener: Listener,
        peers: Peers,
        compared: Callable[[], str],
        deaf: Callable[[], None],
    ) -> None:
        self._node = node
        self._lane = lane
        self._listener = listener
        self._peers = peers
        self._compared = compared
        self._deaf = deaf
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
                await self._lane.tell("SPUBLISH", channel, self._words())
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

    def _words(self) -> str:
        return f"{self._node} {self._number} {self._compared()}"
