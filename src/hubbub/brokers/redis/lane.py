"""Commands to one server, over one connection.

Many who ask at once share the way there and back, and what one session asks is carried out as it was asked.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import ResponseError

from hubbub.brokers.redis.errors import NotSent, Unanswered
from hubbub.brokers.redis.line import Argument, Dial, Line

PATIENCE = 1.0
"""Seconds that a command waits for a server that is away at the moment."""


class Lane:
    """Asks one server.

    Args:
        dial: opens a connection.
        greet: is run on each new connection before the lane opens, and speaks by `tell`.
    """

    def __init__(self, dial: Dial, greet: Callable[[], Awaitable[None]]) -> None:
        self._line = Line(dial, greet, self._answered, self._given_up, "commands")
        self._asked: deque[asyncio.Future[Any]] = deque()

    @property
    def problem(self) -> str | None:
        """Why no command can be sent; `None` while the lane is open."""
        return None if self._line.opened.is_set() else self._line.problem

    @property
    def is_connected(self) -> bool:
        """Whether something can be told, if only to greet."""
        return self._line.is_connected

    async def ask(self, *command: Argument) -> Any:
        """Have a command carried out; wait a moment for a server that is away.

        Raises:
            NotSent: it was not carried out.
            Unanswered: it may have been.
            redis.exceptions.ResponseError: the server refused it.
        """
        if not self._line.opened.is_set():
            await self._wait()
        return await self.tell(*command)

    def tell(self, *command: Argument) -> asyncio.Future[Any]:
        """Send a command now, open or not; the future has its answer, and raises as `ask` does."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if not self._line.is_connected:
            answer.set_exception(NotSent(f"Redis cannot be reached: {self._line.problem}"))
        else:
            self._line.send(*command)
            self._asked.append(answer)
        return answer

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

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._line.opened.wait()
        except TimeoutError:
            raise NotSent(f"Redis cannot be reached: {self._line.problem}") from None

    def _answered(self, value: Any) -> None:
        answer = self._asked.popleft()
        if answer.done():  # whoever asked has gone
            return
        if isinstance(value, ResponseError):
            answer.set_exception(value)
        else:
            answer.set_result(value)

    def _given_up(self, reason: str) -> None:
        while self._asked:
            answer = self._asked.popleft()
            if not answer.done():
                # Whether it was written before the connection broke is not known.
                answer.set_exception(Unanswered(f"Redis did not answer: {reason}"))
                answer.exception()  # looked at, for those that nobody waits for any more
