"""Connections to Redis, and which servers take writes."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from hubbub.brokers.redis.address import Address, Arrangement, Server
from hubbub.brokers.redis.errors import NotSent

CONNECT = 3.0
"""Seconds that a connection may take, its greeting included."""
SLOTS = 16384
"""Of a Redis Cluster; one server alone has them all."""

KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (
        ("TCP_KEEPIDLE", 5),
        ("TCP_KEEPINTVL", 2),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 10_000),
    )
    if hasattr(socket, name)
}
"""A server that vanished is noticed by the kernel within eleven seconds; the canary notices it sooner."""


@dataclass(frozen=True, slots=True)
class Primary:
    """A server that takes writes, and for which slots: the first and last of each range."""

    server: Server
    slots: tuple[tuple[int, int], ...] = ((0, SLOTS - 1),)


class Dialer:
    """Opens connections, and asks which servers are the primaries at the moment.

    Args:
        address: of the Redis.
        name: what the connections are called, for `CLIENT LIST`.
    """

    def __init__(self, address: Address, name: str) -> None:
        self.address = address
        self._name = name
        self._known = list(address.servers)

    async def dial(self, server: Server, use: str) -> Connection:
        """Connect to a server.

        Raises:
            NotSent: it cannot be reached, or turned the connection away.
        """
        address = self.address
        return await self._connect(
            server,
            db=address.database,
            username=address.username,
            password=address.password,
            client_name=f"{self._name}-{use}",
        )

    async def primaries(self) -> list[Primary]:
        """Find out which servers take writes.

        Raises:
            NotSent: nobody can tell.
        """
        match self.address.arrangement:
            case Arrangement.SINGLE:
                return [Primary(self.address.servers[0])]
            case Arrangement.SENTINEL:
                return [Primary(await self._ask_sentinels())]
            case Arrangement.CLUSTER:
                return await self._ask_cluster()

    async def _ask_sentinels(self) -> Server:
        problems = []
        for sentinel in self.address.servers:
            try:
                async with self._sentinel(sentinel) as connection:
                    found = await ask(connection, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.address.service)
            except NotSent as error:
                problems.append(str(error))
                continue
            if found:
                return Server(found[0].decode(), int(found[1]))
            problems.append(f"{sentinel} knows no service {self.address.service!r}")
        raise NotSent(f"No sentinel names a primary: {'; '.join(problems)}")

    @asynccontextmanager
    async def _sentinel(self, server: Server) -> AsyncIterator[Connection]:
        address = self.address
        connection = await self._connect(
            server, username=address.sentinel_username, password=address.sentinel_password
        )
        async with closing(connection):
            yield connection

    async def _ask_cluster(self) -> list[Primary]:
        problems = []
        for server in tuple(self._known):
            try:
                async with closing(await self.dial(server, "topology")) as connection:
                    rows = await ask(connection, "CLUSTER", "SLOTS")
            except NotSent as error:
                problems.append(str(error))
                continue
            slots: dict[Server, list[tuple[int, int]]] = {}
            for first, last, primary, *_ in rows:
                at = Server((primary[0] or b"").decode() or server.host, int(primary[1]))
                slots.setdefault(at, []).append((first, last))
            if slots:
                self._known = [*slots, *(each for each in self.address.servers if each not in slots)]
                return [Primary(at, tuple(sorted(ranges))) for at, ranges in slots.items()]
            problems.append(f"{server} serves no slots")
        raise NotSent(f"No server tells how the cluster is laid out: {'; '.join(problems)}")

    async def _connect(self, server: Server, **options: Any) -> Connection:
        kind = Connection
        if self.address.tls:
            kind = SSLConnection
            options["ssl_ca_certs"] = self.address.tls_ca
            options["ssl_cert_reqs"] = "required" if self.address.tls_verify else "none"
            options["ssl_check_hostname"] = self.address.tls_verify
        connection = kind(
            host=server.host,
            port=server.port,
            protocol=2,
            socket_timeout=None,  # what is read here may stay silent for hours; the canary finds out who is dead
            socket_connect_timeout=CONNECT,
            socket_keepalive_options=KEEPALIVE,
            retry=Retry(NoBackoff(), 0),
            **options,
        )
        try:
            async with asyncio.timeout(CONNECT):
                await connection.connect()  # type: ignore[no-untyped-call]
        except (RedisError, OSError, TimeoutError) as error:
            await hang_up(connection)
            raise NotSent(
                f"Redis at {server} cannot be reached: {str(error) or 'it does not answer'}"
            ) from error
        except BaseException:
            await hang_up(connection)
            raise
        return connection


async def ask(connection: Connection, *command: str) -> Any:
    """Ask one thing on a connection that nobody else uses.

    Raises:
        NotSent: there was no answer, or an error.
    """
    try:
        async with asyncio.timeout(CONNECT):
            await connection.send_command(*command)
            return await connection.read_response()
    except (RedisError, OSError, TimeoutError) as error:
        raise NotSent(f"{connection.host}:{connection.port}: {str(error) or 'no answer'}") from error


async def hang_up(connection: Connection) -> None:
    """Close a connection without a word."""
    with contextlib.suppress(RedisError, OSError):
        await connection.disconnect(nowait=True)


@asynccontextmanager
async def closing(connection: Connection) -> AsyncIterator[Connection]:
    """Hang up at the end."""
    try:
        yield connection
    finally:
        await hang_up(connection)
