"""The task that reads from a connection and the session's end: one goes with the other, whoever ends it."""

import asyncio

import pytest
from application import Application

from hubbub.endpoints.connection import QueuedConnection
from hubbub.endpoints.event_stream import EventEncoding
from hubbub.endpoints.queued import Writers
from hubbub.hub.identity import Identity
from hubbub.types import UserId


class Stage:
    """A connection that lives until it is ended."""

    def __init__(self, node) -> None:
        self.node = node
        self.begun = asyncio.Event()
        self.task = asyncio.create_task(self.run())

    async def run(self) -> str:
        self.connection = QueuedConnection(self.node, Writers(), self.wait, self.wait)
        session = self.node.session(Identity(UserId("ada")), EventEncoding(), self.connection)
        self.connection.carries(session)
        self.node.connections._register(session)
        await self.connection.live(self.life())
        return "cleaned up"

    async def life(self) -> None:
        self.begun.set()
        await self.wait()

    async def wait(self, *_) -> None:
        await asyncio.Event().wait()

    async def ended(self) -> None:
        async with asyncio.timeout(5):
            await asyncio.wait([self.task])
            await self.node.background.settle()
        assert len(self.node.connections) == 0


async def test_one_that_is_aborted_ends_as_if_by_itself():
    async with Application() as application:
        stage = Stage(application.node)
        await stage.begun.wait()
        stage.connection.abort()
        await stage.ended()
        assert stage.task.result() == "cleaned up"


async def test_one_that_somebody_else_cancels_is_cancelled():
    async with Application() as application:
        stage = Stage(application.node)
        await stage.begun.wait()
        stage.task.cancel()
        await stage.ended()
        assert stage.task.cancelled()


async def test_one_that_fails_raises():
    async with Application() as application:
        connection = QueuedConnection(application.node, Writers(), asyncio.sleep, asyncio.sleep)

        async def fail() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await connection.live(fail())
