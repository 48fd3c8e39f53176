"""Connections to Redis, and which servers take writes."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)

from hubbub.brokers.redis.address import Address, Arrangement, Server
from hubbub.brokers.redis.errors import NotSent, Refused
from hubbub.exceptions import ConfigurationError

CONNECT = 3.0
"""Seconds that a connection may take, its greeting included."""
SLOTS = 16384
"""Of a Redis Cluster; one server alone has them all."""

HOMES = 256
"""Every how many slots one is a server's home."""

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


RIGHTS = (
    "Hubbub's user in Redis needs ~hubbub:* &hubbub:* (or the prefix of the address) and +@read +@write +@pubsub +@scripting "
    "+@connection -@dangerous +info +dbsize +time, and in a cluster +cluster|slots +asking"
)


@dataclass(frozen=True, slots=True)
class Primary:
    """A server that takes writes, and for which slots: the first and last of each range."""

    server: Server
    slots: tuple[tuple[int, int], ...] = ((0, SLOTS - 1),)

    @property
    def home(self) -> int:
        """The slot of the keys that stand for this server, on which all nodes agree.

        It is one of few, so that it seldom changes while slots move one by one.
        """
        for first, last in self.slots:
            home = -(-first // HOMES) * HOMES
            if home <= last:
                return home
        return self.slots[0][0]


class Dialer:
    """Opens connections, and asks which servers are the primaries at the moment.

    Args:
        address: of the Redis.
        name: what the connections are called, for `CLIENT LIST`.

    Raises:
        ConfigurationError: the certificates that the address names are not there.
    """

    def __init__(self, address: Address, name: str) -> None:
        if address.tls_ca is not None and not Path(address.tls_ca).is_file():
            raise ConfigurationError(f"tls_ca={address.tls_ca} of the Redis address is no file.")
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
        problems: list[NotSent] = []
        for sentinel in self.address.servers:
            try:
                async with self._sentinel(sentinel) as connection:
                    found = await ask(connection, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.address.service)
            except NotSent as error:
                if isinstance(error.__cause__, ResponseError) and "unknown command" in str(error):
                    error = Refused(
                        f"{sentinel} is no sentinel; without one the address begins with redis://"
                    )
                problems.append(error)
                continue
            if found:
                return Server(found[0].decode(), int(found[1]))
            problems.append(Refused(f"{sentinel} knows no service {self.address.service!r}"))
        raise all_of("No sentinel names a primary", problems)

    @asynccontextmanager
    async def _sentinel(self, server: Server) -> AsyncIterator[Connection]:
        address = self.address
        connection = await self._connect(
            server, username=address.sentinel_username, password=address.sentinel_password
        )
        async with closing(connection):
            yield connection

    async def _ask_cluster(self) -> list[Primary]:
        problems: list[NotSent] = []
        for server in tuple(self._known):
            try:
                async with closing(await self.dial(server, "topology")) as connection:
                    rows = await ask(connection, "CLUSTER", "SLOTS")
            except NotSent as error:
                problems.append(error)
                continue
            slots: dict[Server, list[tuple[int, int]]] = {}
            for first, last, primary, *_ in rows:
                at = Server((primary[0] or b"").decode() or server.host, int(primary[1]))
                slots.setdefault(at, []).append((first, last))
            if slots:
                self._known = [*slots, *(each for each in self.address.servers if each not in slots)]
                return [Primary(at, tuple(sorted(ranges))) for at, ranges in slots.items()]
            problems.append(NotSent(f"{server} serves no slots"))
        raise all_of("No server tells how the cluster is laid out", problems)

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
            raise explain(server, error, tls=self.address.tls) from error
        except BaseException:
            await hang_up(connection)
            raise
        return connection


def all_of(what: str, problems: list[NotSent]) -> NotSent:
    """Make one error of several servers' errors; it is for good only if all of them are."""
    kind = Refused if all(isinstance(error, Refused) for error in problems) else NotSent
    return kind(f"{what}: {'; '.join(map(str, problems))}")


def explain(server: Server, error: Exception, *, tls: bool = False) -> NotSent:
    """Say why a server cannot be used, and what to do where somebody has to do something."""
    said = str(error) or ("it does not answer; does it speak TLS?" if tls else "it does not answer")
    cause = error.__cause__ or error.__context__
    if isinstance(error, AuthenticationError | AuthorizationError):
        return Refused(
            f"Redis at {server} refuses the login: {said.rstrip('.')}. Check user and password in the address"
        )
    if isinstance(error, NoPermissionError):
        return Refused(f"Redis at {server}: {said}. {RIGHTS}")
    if isinstance(error, ResponseError):
        return Refused(f"Redis at {server} refuses the connection: {said}")
    if isinstance(error, ssl.SSLCertVerificationError) or isinstance(cause, ssl.SSLCertVerificationError):
        return Refused(
            f"Redis at {server} has a certificate that is not trusted: {said}. Name its authority: ?tls_ca=file"
        )
    if isinstance(error, ssl.SSLError) or isinstance(cause, ssl.SSLError):
        return Refused(f"Redis at {server} does not speak TLS as rediss:// asks: {said}")
    return NotSent(f"Redis at {server} cannot be reached: {said}")


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
        raise explain(Server(connection.host, connection.port), error) from error


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
