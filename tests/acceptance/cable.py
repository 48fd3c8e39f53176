"""A connection that can be cut."""

import asyncio
from contextlib import asynccontextmanager, suppress


class Cable:
    """A TCP proxy that can be pulled out: nothing passes any more, and nobody is told."""

    def __init__(self, target):
        self._target = target
        self._passing = set()
        self._listener = None
        self._conversations = set()
        self.port = 0

    @asynccontextmanager
    async def plugged(self):
        """Pass everything on, until the block ends."""
        await self.mend()
        try:
            yield self
        finally:
            self.pull()
            await self._unplug()

    def pull(self):
        """Let nothing through; new connections are refused."""
        self._passing = set()
        self._listener.close()

    def deafen(self):
        """Let only through what is said to the server; its answers are lost."""
        self._passing = {"up"}

    async def mend(self):
        """Let new connections through; the old ones are gone for good."""
        await self._unplug()
        self._passing = {"up", "down"}
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _unplug(self):
        conversations, self._conversations = self._conversations, set()
        for conversation in conversations:
            conversation.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)

    def _connected(self, reader, writer):
        self._conversations.add(asyncio.create_task(self._converse(reader, writer)))

    async def _converse(self, reader, writer):
        ends = [writer]
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            ends.append(back)
            await asyncio.gather(self._copy(reader, back, "up"), self._copy(there, writer, "down"))
        finally:  # cancelled, or both have hung up where the other was not to hear it
            for end in ends:
                end.transport.abort()
            for end in ends:
                with suppress(OSError):
                    await end.wait_closed()

    async def _copy(self, source, sink, way):
        with suppress(OSError):
            while data := await source.read(65_536):
                if way in self._passing:
                    sink.write(data)
                    await sink.drain()
            if way in self._passing:
                sink.close()
