"""The opening handshake as clients usually make it (RFC 6455 section 4.2.1), out of what uvicorn hands on."""

import binascii
from dataclasses import dataclass
from urllib.parse import unquote

from websockets.exceptions import InvalidHandshake
from websockets.headers import parse_connection, parse_subprotocol
from websockets.typing import ExtensionHeader
from websockets.utils import accept_key

from hubbub.uvicorn.negotiation import parse_offers

GET = b"GET "
VERSION = b" HTTP/1.1"
KEY_BYTES = 16

LINE_BYTES = 8_190
LINES = 128
"""What websockets reads of a head; beyond that it gives up."""

SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: "
)

PLAIN = bytes(byte for byte in range(256) if byte == 0x09 or (byte >= 0x20 and byte != 0x7F))
"""What a header's value is made of (RFC 9110 section 5.5); h11, unlike httptools, lets other characters pass."""

ONCE = frozenset(
    {
        b"upgrade",
        b"connection",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"origin",
        b"content-length",
    }
)
"""Headers that stand in a handshake once."""

UPGRADE = frozenset({b"upgrade", b"keep-alive, upgrade"})
"""What nearly every client says in `Connection`."""

Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Opening:
    """A client's opening handshake.

    Args:
        target: the path and query string, as they were sent.
        headers: in their order, names in lower case.
        key: what the answer proves to have read.
        offers: the extensions it can do, in its order of preference.
        subprotocols: in its order of preference.
    """

    target: bytes
    headers: Headers
    key: str
    offers: list[ExtensionHeader]
    subprotocols: list[str]

    @property
    def path(self) -> str:
        """The path without its query string, decoded."""
        return unquote(self.raw_path.decode("ascii"))

    @property
    def raw_path(self) -> bytes:
        """The path without its query string, as it was sent."""
        return self.target.partition(b"?")[0]

    @property
    def query_string(self) -> bytes:
        """What stands behind the question mark."""
        return self.target.partition(b"?")[2]

    def answer(self, headers: Headers, subprotocol: str | None, extensions: str | None) -> bytes:
        """Write the server's handshake (section 4.2.2)."""
        lines = [SWITCHING, accept_key(self.key).encode()]
        for name, value in headers:
            lines += (b"\r\n", name, b": ", value)
        if subprotocol is not None:
            lines += (b"\r\nsec-websocket-protocol: ", subprotocol.encode("latin-1"))
        if extensions is not None:
            lines += (b"\r\nsec-websocket-extensions: ", extensions.encode("ascii"))
        lines.append(b"\r\n\r\n")
        return b"".join(lines)


def read_opening(head: bytes) -> Opening | None:
    """Read a head that uvicorn's HTTP protocol has parsed and written down again, with names in lower case.

    Returns:
        `None` for one that is not as it should be, or unusual; whoever can tell what is wrong with it has to answer.
    """
    line, _, rest = head.partition(b"\r\n")
    fields = rest.split(b"\r\n")
    if not (
        line.startswith(GET)
        and line.endswith(VERSION)
        and line.isascii()
        and len(line) <= LINE_BYTES
        and len(fields) <= LINES + 2
        and max(map(len, fields)) <= LINE_BYTES
        and rest.translate(None, PLAIN) == b"\r\n" * (len(fields) - 1)
    ):
        return None
    headers: Headers = []
    offers: list[ExtensionHeader] = []
    subprotocols: list[str] = []
    seen: dict[bytes, bytes] = {}
    try:
        for field in fields:
            if not field:
                break
            name, separator, value = field.partition(b": ")
            if not separator or (name in ONCE and name in seen):
                return None
            seen[name] = value
            headers.append((name, value))
            if name == b"sec-websocket-extensions":
                offers += parse_offers(value.decode("ascii"))
            elif name == b"sec-websocket-protocol":
                subprotocols += parse_subprotocol(value.decode("ascii"))
        key = seen[b"sec-websocket-key"]
        usual = (
            seen[b"sec-websocket-version"] == b"13"
            and seen[b"upgrade"].lower() == b"websocket"
            and wants_upgrade(seen[b"connection"].lower())
            and seen.get(b"content-length", b"0") == b"0"
            and b"transfer-encoding" not in seen
            and len(binascii.a2b_base64(key, strict_mode=True)) == KEY_BYTES
        )
    except (KeyError, ValueError, InvalidHandshake):  # binascii.Error and UnicodeDecodeError are ValueErrors
        return None
    if not usual:
        return None
    target = line[len(GET) : -len(VERSION)]
    return Opening(target, headers, key.decode("ascii"), offers, subprotocols)


def wants_upgrade(connection: bytes) -> bool:
    """Tell whether a `Connection` header, in lower case, asks for an upgrade.

    Raises:
        InvalidHandshake: it cannot be read.
    """
    return connection in UPGRADE or "upgrade" in parse_connection(connection.decode("ascii"))
