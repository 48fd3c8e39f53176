"""Where a handshake carries its credential. No I/O: the raw parts of an ASGI scope in, a value out."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import parse_qsl

from hubbub.exceptions import InvalidToken

SUBPROTOCOL = "hubbub"
"""The WebSocket subprotocol of the plain dialect."""

BEARER_SUBPROTOCOL = "hubbub.bearer."
"""What a token is offered behind, since a browser lets a page set no header of a WebSocket."""

_PRINTABLE = re.compile(r"[!-~]+")
_SPACE = " \t"


class CredentialKind(Enum):
    """Where it was found, and so what it is."""

    HEADER = "header"
    """A token in ``Authorization: Bearer`` (RFC 6750 section 2.1)."""
    SUBPROTOCOL = "subprotocol"
    """A token in the subprotocol ``hubbub.bearer.<token>``."""
    TICKET = "ticket"
    """A ticket in ``?ticket=``, to be redeemed once."""
    QUERY = "query"
    """A token in ``?token=``, which proxies and histories keep."""
    COOKIE = "cookie"
    """The session cookie. The browser sends it for any page that asks: check the Origin."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a handshake carries; its `repr` does not show the value."""

    kind: CredentialKind
    value: str = field(repr=False)


def find_credential(
    headers: Iterable[tuple[bytes, bytes]],
    query_string: bytes = b"",
    subprotocols: Sequence[str] = (),
    *,
    cookie: str | None = None,
) -> Credential | None:
    """Find the credential of a handshake, or `None` where it carries none.

    What a program sent on purpose comes before what a browser adds by itself: the ``Authorization`` header,
    the subprotocol, ``?ticket=``, ``?token=``, and last the cookie. The first that is there decides, and a
    bad one is not passed over for the next.

    Args:
        headers: as in an ASGI scope, names in lower case.
        query_string: as in an ASGI scope, still percent-encoded.
        subprotocols: which the client offers.
        cookie: the name of the session cookie; `None` looks at no cookie.

    Raises:
        InvalidToken: a credential that is there twice, empty, or not printable ASCII.
    """
    headers = list(headers)
    return (
        _from_authorization(headers)
        or _from_subprotocols(subprotocols)
        or _from_query(query_string)
        or _from_cookie(headers, cookie)
    )


def selected_subprotocol(offered: Sequence[str]) -> str | None:
    """Return the subprotocol to select: ``hubbub`` where it is offered, and never the one with the token."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def _from_authorization(headers: list[tuple[bytes, bytes]]) -> Credential | None:
    values = [value.decode("latin-1") for name, value in headers if name == b"authorization"]
    if not values:
        return None
    value = _only(values, "Authorization header")
    scheme, _, token = value.strip(_SPACE).partition(" ")
    if not scheme:
        raise InvalidToken("The Authorization header is empty")
    if scheme.lower() != "bearer":
        # `Basic` and others may be meant for a proxy before us.
        return None
    return Credential(CredentialKind.HEADER, _printable(token.strip(_SPACE), "Authorization header"))


def _from_subprotocols(offered: Sequence[str]) -> Credential | None:
    tokens = [
        name.removeprefix(BEARER_SUBPROTOCOL) for name in offered if name.startswith(BEARER_SUBPROTOCOL)
    ]
    if not tokens:
        return None
    token = _only(tokens, f"subprotocol {BEARER_SUBPROTOCOL}…")
    return Credential(CredentialKind.SUBPROTOCOL, _printable(token, f"subprotocol {BEARER_SUBPROTOCOL}…"))


def _from_query(query_string: bytes) -> Credential | None:
    if not query_string:
        return None
    parameters = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    for name, kind in (("ticket", CredentialKind.TICKET), ("token", CredentialKind.QUERY)):
        values = [value for key, value in parameters if key == name]
        if values:
            return Credential(kind, _printable(_only(values, f"?{name}="), f"?{name}="))
    return None


def _from_cookie(headers: list[tuple[bytes, bytes]], cookie: str | None) -> Credential | None:
    if cookie is None:
        return None
    values = set()
    # By hand, since `http.cookies` gives up at the first cookie of another application that it dislikes.
    for name, header in headers:
        if name == b"cookie":
            for pair in header.decode("latin-1").split(";"):
                key, _, value = pair.partition("=")
                if key.strip(_SPACE) == cookie:
                    values.add(value.strip(_SPACE).removeprefix('"').removesuffix('"'))
    values.discard("")  # how a signed-out browser may send it
    if not values:
        return None
    # A neighbouring subdomain can set a cookie of the same name: which of them is ours cannot be known.
    return Credential(
        CredentialKind.COOKIE, _printable(_only(list(values), f"cookie {cookie}"), f"cookie {cookie}")
    )


def _only(values: list[str], where: str) -> str:
    if len(values) > 1:
        raise InvalidToken(f"The credential is there {len(values)} times ({where}), and one is expected")
    return values[0]


def _printable(value: str, where: str) -> str:
    if not value:
        raise InvalidToken(f"The credential is empty ({where})")
    if not _PRINTABLE.fullmatch(value):
        raise InvalidToken(
            f"The credential has characters other than printable ASCII without spaces ({where})"
        )
    return value
