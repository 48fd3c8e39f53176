"""The opening handshake as clients usually make it (RFC 6455 section 4.2.1), out of what uvicorn hands on."""

import binascii
from dataclasses import dataclass
from urllib.parse import unquote

from websockets.utils import accept_key

GET = b"GET "
VERSION = b" HTTP/1.1"
KEY_BYTES = 16

SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: "
)

ONCE = frozenset({b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version", b"origin"})
"""Headers that stand in a handshake once."""

Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Opening:
    """A client's opening handshake.

    Args:
        target: the path and query string, as they were sent.
        headers: in their order, names in lower case.
        key: what the answer proves to have read.
        offers: the extensions it can do, as its headers have them.
        subprotocols: in its order of preference.
    """

    target: bytes
    headers: Headers
    key: str
    offers: list[str]
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
    if not (line.startswith(GET) and line.endswith(VERSION) and line.isascii()):
        return None
    headers: Headers = []
    offers: list[str] = []
    subprotocols: list[str] = []
    seen: dict[bytes, bytes] = {}
    try:
        for field in rest.split(b"\r\n"):
            if not field:
                break
            name, separator, value = field.partition(b": ")
            if not separator or (name in ONCE and name in seen):
                return None
            seen[name] = value
            headers.append((name, value))
            if name == b"sec-websocket-extensions":
                offers.append(value.decode("ascii"))
            elif name == b"sec-websocket-protocol":
                subprotocols += [token.strip() for token in value.decode("ascii").split(",")]
        key = seen[b"sec-websocket-key"]
        usual = (
            seen[b"sec-websocket-version"] == b"13"
            and seen[b"upgrade"].lower() == b"websocket"
            and b"upgrade" in (token.strip() for token in seen[b"connection"].lower().split(b","))
            and len(binascii.a2b_base64(key, strict_mode=True)) == KEY_BYTES
        )
    except (KeyError, ValueError):  # binascii.Error and UnicodeDecodeError are ValueErrors
        return None
    if not usual:
        return None
    target = line[len(GET) : -len(VERSION)]
    return Opening(target, headers, key.decode("ascii"), offers, subprotocols)
