"""Channel names: ``namespace:rest``, or a bare name in the namespace ``default``."""

import unicodedata
from dataclasses import dataclass

from hubbub.exceptions import UnknownChannel
from hubbub.types import UserId

MAX_NAME_BYTES = 255
DEFAULT_NAMESPACE = "default"
USER_NAMESPACE = "user"

EVERYONE = ""
"""The channel that every session of the cluster is on: broadcasts, and who is online. Clients cannot name it."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel's name, taken apart: ``room:a:b`` is namespace ``room``, rest ``a:b``."""

    name: str
    namespace: str
    rest: str

    def __str__(self) -> str:
        return self.name


def parse_channel(name: str) -> Channel:
    """Take a channel name apart.

    Raises:
        UnknownChannel: the name is empty, over 255 bytes of UTF-8, or has control characters.
    """
    problem = name_problem(name)
    if problem:
        raise UnknownChannel(f"The channel name {problem}.")
    namespace, colon, rest = name.partition(":")
    if not colon:
        return Channel(name, DEFAULT_NAMESPACE, name)
    if not rest:
        raise UnknownChannel(f"The channel name {name!r} has nothing after its colon.")
    return Channel(name, namespace, rest)


def name_problem(name: str) -> str | None:
    """Say what is wrong with a name that users choose (channel, user id), or `None`."""
    if not name:
        return "is empty"
    if len(name) > MAX_NAME_BYTES or len(name.encode(errors="surrogatepass")) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    # Cc: control characters; Cs: lone surrogates, which are not UTF-8 (RFC 3629 section 3).
    if not name.isprintable() and any(unicodedata.category(c) in {"Cc", "Cs"} for c in name):
        return "has control characters"
    return None


def user_channel(user_id: UserId) -> str:
    """Return the channel that reaches every device of one user."""
    return f"{USER_NAMESPACE}:{user_id}"
