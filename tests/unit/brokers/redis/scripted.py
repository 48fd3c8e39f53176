"""A server that speaks Redis's protocol and answers as the test says; real ones are in the integration tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from resp import Replies, values

from hubbub.brokers.redis import Address
from hubbub.brokers.redis.dialing import Dialer

OK = b"+OK\r\n"
DEADLINE = 5.0

Answer = Callable[[list[bytes]], bytes | None]


class Scripted:
    """Listens on a port of its own; answers `CLIENT` and what `answer` does not leave out."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.commands: list[list[bytes]] = []
        self.connections: list[asyncio.StreamWriter] = []
        self.port = 0
        self._changed = asyncio.Event()

    def dialer(self) -> Dialer:
        return Dialer(Address.parse(f"redis://127.0.0.1:{self.port}"), "test")

    async def dial(self):
        dialer = self.dialer()
        return await dialer.dial(dialer.address.servers[0], "test")

    def send(self, data: bytes) -> None:
        """Say something to the newest connection."""
        self.connections[-1].write(data)

    async def asked(self, number: int) -> list[list[bytes]]:
        """Wait until so many commands have come."""
        async with asyncio.timeout(DEADLINE):
            while len(self.commands) < number:
                self._changed.clear()
                await self._changed.wait()
        return self.commands

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        replies = Replies()
        try:
            while data := await reader.read(65536):
                for each in replies.feed(data):
                    command = values(each)
                    if command[0] == b"CLIENT":
                        writer.write(OK)
                        continue
                    self.commands.append(command)
                    self._changed.set()
                    if (reply := self.answer(command)) is not None:
                        writer.write(reply)
        except OSError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(answer: Answer) -> AsyncIterator[Scripted]:
    """Run one until the block is left."""
    own = Scripted(answer)
    server = await asyncio.start_server(own.serve, "127.0.0.1", 0)
    own.port = server.sockets[0].getsockname()[1]
    try:
        yield own
    finally:
        server.close()
        for writer in own.connections:
            writer.close()
        for writer in own.connections:
            try:
                await writer.wait_closed()
            except OSError:
                continue


async def soon(condition: Callable[[], object]) -> None:
    """Look until something is so."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 (it has no event)
            await asyncio.sleep(0.002)


def bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


def push(*parts: bytes | int) -> bytes:
    """Return a list, as subscriptions are confirmed and messages are sent."""
    body = b"".join(b":%d\r\n" % part if isinstance(part, int) else bulk(part) for part in parts)
    return b"*%d\r\n" % len(parts) + body
