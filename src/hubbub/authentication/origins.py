"""Which web pages may connect: the check of the Origin header (RFC 6454, RFC 6455 section 10.2).

CORS does not protect a WebSocket: a browser opens one to any server, with that server's cookies, and leaves
the decision to the server.
"""

import ipaddress
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Self

import httpx2

from hubbub.exceptions import ConfigurationError, Forbidden

_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}

_HOST = r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_~-][A-Za-z0-9._~-]*)(?::(?P<port>[0-9]{1,5}))?"
_ORIGIN = re.compile(rf"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://{_HOST}")
_AUTHORITY = re.compile(_HOST)

_AFTER_SCHEME = re.compile(r"(?P<scheme>[^:/?#]+://)(?P<name>[^:/?#@]+)")

_WILDCARD = "://*."

_REMEMBERED = 256
"""Pairs of Origin and Host that were allowed, which nearly all handshakes share; what was refused is not remembered."""
_LONGEST = 600
"""Bytes of a pair that is remembered: two names of 255, scheme and ports."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port, each in its one normal form."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read ``scheme://host[:port]`` and nothing more, or return `None`."""
        match = _ORIGIN.fullmatch(text)
        if match is None:
            return None
        scheme = match["scheme"].lower()
        host = _normal_host(match["host"])
        port = _port(match["port"], scheme)
        if host is None or port == -1:
            return None
        return cls(scheme, host, port)

    def is_at(self, authority: str) -> bool:
        """Tell whether a Host header names this host and port."""
        match = _AUTHORITY.fullmatch(authority)
        # Without a port the header means the default of the scheme that the browser used; ours may be
        # another, behind a proxy that ends TLS.
        return (
            match is not None
            and self.scheme in _DEFAULT_PORTS
            and _normal_host(match["host"]) == self.host
            and _port(match["port"], self.scheme) == self.port
        )

    def is_below(self, parent: "Origin") -> bool:
        """Tell whether this is a subdomain of `parent`, on the same scheme and port."""
        return (
            self.scheme == parent.scheme
            and self.port == parent.port
            and self.host.endswith(f".{parent.host}")
        )


class OriginPolicy:
    """Decides by the Origin header whether a handshake may go on.

    A request without one is allowed, as it comes from no web page; so is one from the server's own origin,
    which is the Origin whose host and port are those of the Host header. All others must be in the list.

    Args:
        allowed: ``https://app.example.com``, with a port where it is not the scheme's own;
            ``https://*.example.com`` for every subdomain, but not ``example.com`` itself; ``null`` for pages
            without an origin, such as local files and sandboxed frames; ``*`` for all, except ``null``.

    Raises:
        ConfigurationError: an entry is none of these; the message says how to write it.
    """

    __slots__ = ("_all", "_allowed", "_exact", "_null", "_parents")

    def __init__(self, allowed: Collection[str] = ()) -> None:
        if isinstance(allowed, str):
            raise ConfigurationError(f"The allowed origins are a list: write [{allowed!r}].")
        entries = [entry.strip() for entry in allowed]
        self._all = "*" in entries
        self._null = "null" in entries
        named = [_entry(entry) for entry in entries if entry not in {"*", "null"}]
        self._exact = frozenset(origin for origin, wildcard in named if not wildcard)
        self._parents = tuple(origin for origin, wildcard in named if wildcard)
        self._allowed: set[tuple[tuple[bytes, ...], tuple[bytes, ...]]] = set()

    def allows(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether a handshake with these headers (as in an ASGI scope) may go on."""
        return self._refused(headers) is None

    def check(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Let a handshake with these headers (as in an ASGI scope) go on.

        Raises:
            Forbidden: its Origin is not allowed; the message names it.
        """
        refused = self._refused(headers)
        if refused is not None:
            raise Forbidden(refused)

    def _refused(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        origins: tuple[bytes, ...] = ()
        hosts: tuple[bytes, ...] = ()
        for name, value in headers:
            if name == b"origin":
                origins += (value,)
            elif name == b"host":
                hosts += (value,)
        if not origins or (origins, hosts) in self._allowed:
            return None
        refused = self._judge(
            [value.decode("latin-1") for value in origins], [value.decode("latin-1") for value in hosts]
        )
        is_short = sum(map(len, origins + hosts)) <= _LONGEST
        if refused is None and is_short and len(self._allowed) < _REMEMBERED:
            self._allowed.add((origins, hosts))
        return refused

    def _judge(self, origins: list[str], hosts: list[str]) -> str | None:
        if origins == ["null"]:
            return (
                None
                if self._null
                else "The Origin null is not in allowed_origins, where * does not include it"
            )
        origin = Origin.parse(origins[0]) if len(origins) == 1 else None
        if origin is None:
            return "The Origin header is not one that a browser sends"
        allowed = (
            self._all
            or origin in self._exact
            or any(origin.is_below(parent) for parent in self._parents)
            or (len(hosts) == 1 and origin.is_at(hosts[0]))
        )
        return None if allowed else f"The Origin {origins[0]} is not in allowed_origins"


def _entry(entry: str) -> tuple[Origin, bool]:
    """Read an entry of the list: the origin, and whether it stands for its subdomains."""
    wildcard = _WILDCARD in entry
    plain = entry.replace(_WILDCARD, "://", 1)
    origin = Origin.parse(_ascii(plain))
    if origin is None or "*" in plain:
        raise ConfigurationError(f"The allowed origin {entry!r} {_advice(entry)}.")
    return origin, wildcard


def _advice(entry: str) -> str:
    scheme, separator, rest = entry.partition("://")
    if not separator:
        return f"has no scheme: write 'https://{entry}'" if entry else "is empty: remove it"
    if "/" in rest or "?" in rest or "#" in rest:
        host = re.split(r"[/?#]", rest)[0]
        return f"has something after the host, which an Origin never has: write '{scheme}://{host}'"
    if "*" in entry:
        return "may have a * only as the whole first label of the host: 'https://*.example.com'"
    if "@" in rest:
        return "has a user or password, which an Origin never has"
    return "is not scheme://host or scheme://host:port"


def _ascii(entry: str) -> str:
    """Write an international name as browsers do in an Origin: in Punycode."""
    match = _AFTER_SCHEME.match(entry)
    if match is None or match["name"].isascii():
        return entry
    try:
        name = httpx2.URL(f"https://{match['name']}").raw_host.decode("ascii")
    except httpx2.InvalidURL:
        return entry
    return f"{match['scheme']}{name}{entry[match.end() :]}"


def _normal_host(host: str) -> str | None:
    """Return a host in lower case, an IPv6 address in its shortest form, or `None` where it is none."""
    if not host.startswith("["):
        return host.lower()
    try:
        return f"[{ipaddress.IPv6Address(host[1:-1]).compressed}]"
    except ValueError:
        return None


def _port(digits: str | None, scheme: str) -> int | None:
    """Return the port, the scheme's own where none is written, or -1 where there is no such port."""
    if digits is None:
        return _DEFAULT_PORTS.get(scheme)
    port = int(digits)
    return port if 0 < port <= 65535 else -1
