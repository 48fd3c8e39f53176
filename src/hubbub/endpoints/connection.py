"""A connection on any ASGI server: the task that reads from it, and the outlet of its session."""

import asyncio
from collections.abc import Awaitable

from starlette.types import Receive, Send

from hubbub.endpoints.queued import QueuedOutlet, Writers
from hubbub.hub.node import Node
from hubbub.hub.session import Session


class QueuedConnection(QueuedOutlet):
    """Lives in the ASGI task that makes it, which reads from the client; that task's end is the session's.

    Args:
        node: whose session it carries.
        writers: runs the writer.
        receive: the ASGI callable.
        send: the ASGI callable.
    """

    __slots__ = ("_aborted", "_clean", "_node", "_receive", "_session", "_task")

    def __init__(self, node: Node, writers: Writers, receive: Receive, send: Send) -> None:
        super().__init__(send, self._cut_off, writers)
        self._node = node
        self._receive = receive
        self._task = asyncio.current_task()
        self._aborted = False
        self._session: Session | None = None
        self._clean = False
        """Whether the client said goodbye."""

    def carries(self, session: Session) -> None:
        """Name the session that ends with this connection."""
        self._session = session

    async def live(self, life: Awaitable[None]) -> None:
        """Do what this connection is for, until that is done or it is aborted, and clean up."""
        try:
            await life
        except asyncio.CancelledError:
            if not self._aborted or self._task is None:
                raise
            self._task.uncancel()
        finally:
            if self._session is not None:
                self._node.end(self._session, clean=self._clean)
            self.finish()

    def _cut_off(self) -> None:
        if self._task is not None:
            self._aborted = True
            self._task.cancel()
