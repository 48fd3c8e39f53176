"""A proxy between clients and a server that does to their connections what networks do.

What it does is done to all connections, or to one of `Proxy.links`:

=============  ==================================================================================================
``stall``      nothing passes, nothing is lost, nobody is told; ``flow`` lets go
``half_open``  everything is discarded in both directions, for good, and neither side hears of the other's end
``cut``        both sides get a reset
=============  ==================================================================================================

and to new ones: they are *refused* (a reset), *ignored* (nothing answers, as if the cable were out: `connect` hangs),
*swallowed* (accepted, and never answered), or *accepted* again.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Self

from ports import steady_port
from resp import Replies, values

HOST = "127.0.0.1"
LINGER_AND_RESET = struct.pack("ii", 1, 0)
BACKLOG = 1024


class End(asyncio.Protocol):
    """One of the two sockets of a link."""

    transport: asyncio.Transport | None = None
    other: "End"

    def __init__(self, link: "Link", change: Callable[[bytes], bytes] | None = None) -> None:
        self.link = link
        self.change = change
        self.is_full = False
        self.is_over = False
        """It will send nothing more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.link.adjust()

    def data_received(self, data: bytes) -> None:
        if not self.link.is_half_open:
            self.other.write(self.change(data) if self.change else data)

    def eof_received(self) -> bool:
        self.is_over = True
        if not self.link.is_half_open:
            self.other.end()
            if self.other.is_over:
                self.close()
                self.other.close()
        return True  # this side may still be written to

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self.is_over = True
        if not self.link.is_half_open:
            self.other.reset() if error else self.other.close()
        self.link.lost()

    def pause_writing(self) -> None:
        self.is_full = True
        self.link.adjust()

    def resume_writing(self) -> None:
        self.is_full = False
        self.link.adjust()

    def write(self, data: bytes) -> None:
        if data and self.transport and not self.transport.is_closing():
            self.transport.write(data)

    def end(self) -> None:
        if self.transport and not self.transport.is_closing():
            self.transport.write_eof()

    def close(self) -> None:
        if self.transport:
            self.transport.close()

    def reset(self) -> None:
        if self.transport and not self.transport.is_closing():
            own = self.transport.get_extra_info("socket")
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_AND_RESET)
            self.transport.abort()

    def read(self, is_wanted: bool) -> None:
        if self.transport and not self.transport.is_closing():
            self.transport.resume_reading() if is_wanted else self.transport.pause_reading()


class Link:
    """A client's connection, and the proxy's own to the server."""

    def __init__(self, proxy: "Proxy") -> None:
        self.is_stalled = proxy.is_stalled
        self.is_half_open = proxy.is_swallowing
        self.client = End(self)
        self.server = End(self, proxy.change())
        self.client.other, self.server.other = self.server, self.client
        self._proxy = proxy
        self._flowing = asyncio.Event()
        if not self.is_stalled:
            self._flowing.set()
        proxy.began(self)
        self.calling = asyncio.create_task(self._call(*proxy.target))

    async def _call(self, host: str, port: int) -> None:
        await self._flowing.wait()
        if self.is_half_open:
            return
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.server, host, port)
        except OSError:
            self.client.reset()

    def stall(self) -> None:
        """Let nothing pass from now on."""
        self.is_stalled = True
        self._flowing.clear()
        self.adjust()

    def flow(self) -> None:
        """Let everything pass again, first what was sent meanwhile."""
        self.is_stalled = False
        self._flowing.set()
        self.adjust()

    def half_open(self) -> None:
        """Lose everything from now on, what was stalled too, and let neither side know."""
        self.is_half_open = True
        self.flow()

    def cut(self) -> None:
        """Reset both sides."""
        self.calling.cancel()
        self.client.reset()
        self.server.reset()

    def adjust(self) -> None:
        """Read from whom something may pass, or be lost."""
        is_joined = self.server.transport is not None and not self.is_stalled
        self.client.read(self.is_half_open or (is_joined and not self.server.is_full))
        self.server.read(self.is_half_open or (is_joined and not self.client.is_full))

    def lost(self) -> None:
        if self.client.transport is None and self.server.transport is None:
            self._proxy.ended(self)


class Proxy:
    """Listens on a port of its own and connects each client with the target.

    ``async with Proxy("127.0.0.1", server.port) as proxy`` begins by accepting; when the block is left, all links are cut.
    """

    def __init__(self, host: str, port: int) -> None:
        self.target = host, port
        self.port = steady_port()
        self.links: list[Link] = []
        self.is_idle = asyncio.Event()
        """There is no link."""
        self.is_idle.set()
        self.is_stalled = False
        self.is_swallowing = False
        self._listening: asyncio.Server | None = None
        self._deaf: list[socket.socket] = []

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *raised: object) -> None:
        await self.refuse()
        calling = [link.calling for link in self.links]
        self.cut()
        await asyncio.gather(*calling, return_exceptions=True)
        await self.is_idle.wait()

    def began(self, link: Link) -> None:
        self.links.append(link)
        self.is_idle.clear()

    def ended(self, link: Link) -> None:
        if link in self.links:
            self.links.remove(link)
        if not self.links:
            self.is_idle.set()

    def change(self) -> Callable[[bytes], bytes] | None:
        """Return what a new link does to what its server sends."""
        return None

    def stall(self) -> None:
        """Hold everything on all connections, also on those to come; senders fill their buffers, then wait."""
        self.is_stalled = True
        for link in self.links:
            link.stall()

    def flow(self) -> None:
        """Let go what is stalled."""
        self.is_stalled = False
        for link in self.links:
            link.flow()

    def half_open(self) -> None:
        """Discard everything on the connections there are; new ones work, unless they are kept from it too."""
        for link in self.links:
            link.half_open()

    def cut(self) -> None:
        """Reset the connections there are; new ones work, unless they are kept from it too."""
        for link in list(self.links):
            link.cut()

    async def accept(self) -> None:
        """Let new connections work again."""
        await self.refuse()
        self.is_swallowing = False
        await self._listen()

    async def swallow(self) -> None:
        """Accept new connections, and discard what they send."""
        await self.refuse()
        self.is_swallowing = True
        await self._listen()

    async def refuse(self) -> None:
        """Have new connections refused."""
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        while self._deaf:
            self._deaf.pop().close()

    async def ignore(self) -> None:
        """Leave new connections without any answer; whoever still waits when they are accepted again is connected then.

        Linux drops the first packet of a connection to a full queue, and its sender repeats it after 1, 3, 7 s.
        """
        await self.refuse()
        listener = self._bound()
        listener.listen(0)
        filling = socket.socket()
        self._deaf += [filling, listener]
        filling.connect((HOST, self.port))

    async def black_out(self) -> None:
        """Do what a pulled cable does, for good to the connections there are, and to new ones until they are accepted.

        For a network that comes back before the connections have given up: `stall` and `ignore`, then `flow` and `accept`.
        """
        self.half_open()
        await self.ignore()

    def _bound(self) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, self.port))
        return listener

    async def _listen(self) -> None:
        self._listening = await asyncio.get_running_loop().create_server(
            lambda: Link(self).client, sock=self._bound(), backlog=BACKLOG
        )


class RedisProxy(Proxy):
    """A proxy before a Redis that can lose single messages on the way to the client."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self._unwanted: list[tuple[Callable[[bytes], bool], asyncio.Future[bytes]]] = []

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    async def __aexit__(self, *raised: object) -> None:
        for _, lost in self._unwanted:
            lost.cancel()
        await super().__aexit__(*raised)

    def drop_next(self, is_meant: Callable[[bytes], bool]) -> asyncio.Future[bytes]:
        """Lose the next reply or push, on whatever connection, that is meant; everything around it arrives.

        Returns:
            What to await for the bytes that were lost.
        """
        lost = asyncio.get_running_loop().create_future()
        self._unwanted.append((is_meant, lost))
        return lost

    def drop_message(self, channel: bytes) -> asyncio.Future[bytes]:
        """Lose the next message of a channel with this in its name (PUBLISH)."""
        return self.drop_next(lambda reply: is_message(reply, b"message", channel))

    def drop_smessage(self, channel: bytes) -> asyncio.Future[bytes]:
        """Lose the next message of a sharded channel with this in its name (SPUBLISH)."""
        return self.drop_next(lambda reply: is_message(reply, b"smessage", channel))

    def change(self) -> Callable[[bytes], bytes]:
        """Cut a new link's bytes into replies, from its first one on."""
        replies = Replies()

        def without_the_unwanted(data: bytes) -> bytes:
            return b"".join(reply for reply in replies.feed(data) if not self._is_dropped(reply))

        return without_the_unwanted

    def _is_dropped(self, reply: bytes) -> bool:
        for each in self._unwanted:
            is_meant, lost = each
            if is_meant(reply):
                self._unwanted.remove(each)
                if not lost.done():
                    lost.set_result(reply)
                return True
        return False


def is_message(reply: bytes, kind: bytes, channel: bytes) -> bool:
    """Whether it is what a subscriber is sent, in RESP2 or RESP3, on a channel with this in its name."""
    if not reply.startswith((b"*3\r\n", b">3\r\n")):
        return False
    found = values(reply)
    return found[0] == kind and channel in found[1]
