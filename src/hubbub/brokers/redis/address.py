"""Where Redis is: what ``HUBBUB_REDIS_URL`` and ``Hub(broker=…)`` say."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from hubbub.exceptions import ConfigurationError

PORT, SENTINEL_PORT = 6379, 26379
OPTIONS = frozenset({"prefix", "sentinel_username", "sentinel_password", "tls_ca", "tls_verify"})

FORMS = (
    "redis://host:6379/0, rediss://… for TLS, redis+sentinel://host:26379,host:26379/service/0, "
    "redis+cluster://host:6379,host:6379"
)

ENCODE = "In a user or password, characters such as / ? # @ : are written percent-encoded."
PREFIX = re.compile(r"[A-Za-z0-9_.:-]+")
"""Braces would be a hash tag."""
SWITCH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Arrangement(StrEnum):
    """How Redis is run."""

    SINGLE = "redis"
    SENTINEL = "redis+sentinel"
    CLUSTER = "redis+cluster"


@dataclass(frozen=True, slots=True)
class Server:
    """One server."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """A Redis, however many servers it is.

    Args:
        arrangement: how it is run.
        servers: the server; the sentinels; some servers of the cluster.
        service: the name under which the sentinels know it.
        database: its number.
        username: for the servers.
        password: for the servers.
        sentinel_username: for the sentinels.
        sentinel_password: for the sentinels.
        tls: whether connections are encrypted.
        tls_ca: a file with the certificates to trust; `None` for the system's.
        tls_verify: whether the server's certificate is checked.
        prefix: what all keys begin with, so that several systems can share a Redis.
    """

    arrangement: Arrangement
    servers: tuple[Server, ...]
    service: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls: bool = False
    tls_ca: str | None = None
    tls_verify: bool = True
    prefix: str = "hubbub"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read an address.

        Raises:
            ConfigurationError: it is none; the message says what one looks like, and never shows the password.
        """
        try:
            return cls._parse(urlsplit(url))
        except ValueError:  # what it says may show the password
            raise ConfigurationError(f"This is no Redis address; one looks like {FORMS}. {ENCODE}") from None

    @classmethod
    def _parse(cls, parts: SplitResult) -> Self:
        tls = parts.scheme.partition("+")[0] == "rediss"
        scheme = parts.scheme.replace("rediss", "redis", 1) if tls else parts.scheme
        try:
            arrangement = Arrangement(scheme)
        except ValueError:
            raise ConfigurationError(
                f"A Redis address begins with redis://, rediss://, redis+sentinel:// or redis+cluster://, as in {FORMS}."
            ) from None
        if parts.fragment or "@" in parts.path:
            raise ConfigurationError(f"A Redis address has no # and no @ behind its host. {ENCODE}")
        login, _, hosts = parts.netloc.rpartition("@")
        servers = _servers(hosts, SENTINEL_PORT if arrangement is Arrangement.SENTINEL else PORT, arrangement)
        options = _options(parts)
        username, _, password = login.partition(":")
        service, database = _path(parts.path, arrangement)
        return cls(
            arrangement,
            servers,
            service,
            database,
            unquote(username) or None,
            unquote(password) or None,
            options.get("sentinel_username"),
            options.get("sentinel_password"),
            tls,
            options.get("tls_ca"),
            _switch(options.get("tls_verify", "true")),
            options.get("prefix", "hubbub"),
        )

    @property
    def names(self) -> str:
        """What all names in Redis begin with: the number of a database is part of it, because pub/sub knows no databases."""
        return f"{self.prefix}:{self.database}" if self.database else self.prefix

    def __str__(self) -> str:
        scheme = self.arrangement.value.replace("redis", "rediss", 1) if self.tls else self.arrangement.value
        service = f"/{self.service}" if self.service else ""
        return f"{scheme}://{','.join(map(str, self.servers))}{service}/{self.database}"


def _options(parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    known = ", ".join(sorted(OPTIONS))
    for name in sorted(options.keys() - OPTIONS):
        shown = f" {name!r}" if name.isidentifier() and "@" not in parts.query else ""
        raise ConfigurationError(f"A Redis address has no option{shown}; it may have {known}. {ENCODE}")
    if not PREFIX.fullmatch(options.get("prefix", "hubbub")):
        raise ConfigurationError("The prefix of a Redis address is made of ASCII letters, digits and -_.: .")
    return options


def _switch(value: str) -> bool:
    if value.lower() not in SWITCH:
        raise ConfigurationError("tls_verify of a Redis address is true or false.")
    return SWITCH[value.lower()]


def _servers(hosts: str, port: int, arrangement: Arrangement) -> tuple[Server, ...]:
    servers = []
    for each in hosts.split(","):
        try:
            parsed = urlsplit(f"//{each}")
            server = Server(parsed.hostname or "", port if parsed.port is None else parsed.port)
        except ValueError:
            raise ConfigurationError(f"A Redis address names hosts and ports: {FORMS}. {ENCODE}") from None
        if not server.host:
            raise ConfigurationError(f"A Redis address names a host: {FORMS}.")
        servers.append(server)
    if arrangement is Arrangement.SINGLE and len(servers) > 1:
        raise ConfigurationError(
            f"redis:// names one server; several are redis+sentinel or redis+cluster: {FORMS}."
        )
    return tuple(servers)


def _path(path: str, arrangement: Arrangement) -> tuple[str, int]:
    words = [unquote(word) for word in path.split("/") if word]
    service = words.pop(0) if arrangement is Arrangement.SENTINEL and words else ""
    if arrangement is Arrangement.SENTINEL and not service:
        raise ConfigurationError(
            f"A redis+sentinel address names the service that the sentinels watch: {FORMS}."
        )
    number = words.pop(0) if words else "0"
    if words or not (number.isascii() and number.isdecimal()):
        raise ConfigurationError(f"The database of a Redis address is a number: {FORMS}. {ENCODE}")
    if arrangement is Arrangement.CLUSTER and int(number):
        raise ConfigurationError("A Redis Cluster has database 0 only.")
    return service, int(number)
