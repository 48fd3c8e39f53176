"""The vector of positions that is the id of a server-sent event, and comes back as `Last-Event-ID`.

An entry a channel, separated by ``~``: ``tag.offset.id.epoch``. The tag is a hash of the channel's name, since a name may
have 255 bytes; the id is a UUID in 22 characters, or nothing; the epoch is left out where it is that of the entry
before. All characters are unreserved in URLs (RFC 3986 section 2.3) and safe in headers. An entry has some 40
characters, and 50 with an epoch of its own.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from hashlib import blake2s
from typing import NamedTuple
from uuid import UUID

from hubbub.hub.publications import Position
from hubbub.types import Epoch

MAX_CHANNELS = 128
"""Channels of one vector. It comes back in a header line, for which servers and proxies have 8 KiB."""
MAX_LENGTH = 7_900
"""Characters of a vector that is read."""
LOST = Position(Epoch("lost"), 0)
"""Where a client stands that brought something unreadable: no stream has this epoch, so that it is told `recovered: false`."""

_TAG_LENGTH = 5
_ENTRY = re.compile(
    r"(?P<tag>[A-Za-z0-9_-]{5})\.(?P<offset>[0-9]{1,18})\.(?P<id>[A-Za-z0-9_-]{22})?(?:\.(?P<epoch>[A-Za-z0-9_-]+))?",
    re.ASCII,
)
_PLAIN_EPOCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*", re.ASCII)
_ENCODED = "-"
"""Begins an epoch with other characters, which stands there in base64url."""
_CLOSED = re.compile(r"closed\.([0-9]{4})", re.ASCII)


class Entry(NamedTuple):
    """One channel's part of a vector."""

    position: Position
    text: str
    """Without the epoch."""
    epoch: str


class Positions:
    """Where a client stands in each of its channels.

    Args:
        since: where it began.
    """

    __slots__ = ("_entries",)

    def __init__(self, since: Mapping[str, Position]) -> None:
        self._entries: dict[str, Entry] = {}
        for channel, position in since.items():
            self.move(channel, position)

    def move(self, channel: str, position: Position) -> None:
        """Note a channel's new position; one without an epoch is in the epoch that the channel has."""
        known = self._entries.get(channel)
        if known is None:
            text, epoch = tag(channel), ""
        else:
            text, epoch = known.text[:_TAG_LENGTH], known.epoch
            if not position.epoch:
                position = Position(known.position.epoch, position.offset, position.id)
        if known is None or position.epoch != known.position.epoch:
            epoch = _written_epoch(position.epoch)
        self._entries[channel] = Entry(position, f"{text}.{position.offset}.{_short_id(position.id)}", epoch)

    def __str__(self) -> str:
        parts, before = [], None
        for entry in self._entries.values():
            parts.append(entry.text if entry.epoch == before else f"{entry.text}.{entry.epoch}")
            before = entry.epoch
        return "~".join(parts)


def read_positions(text: str, channels: Iterable[str]) -> dict[str, Position] | None:
    """Read a vector: the positions of these channels, as far as it names them; `None` where it is none."""
    if not text or len(text) > MAX_LENGTH:
        return None
    found: dict[str, Position] = {}
    epoch: Epoch | None = None
    for part in text.split("~"):
        entry = _ENTRY.fullmatch(part)
        if entry is None:
            return None
        if entry["epoch"] is not None:
            epoch = _read_epoch(entry["epoch"])
        if epoch is None:
            return None
        found[entry["tag"]] = Position(epoch, int(entry["offset"]), _long_id(entry["id"]))
    return {channel: found[key] for channel in channels if (key := tag(channel)) in found}


def tag(channel: str) -> str:
    """Return what stands for a channel's name: 30 bits of its hash."""
    digest = blake2s(channel.encode(errors="surrogatepass"), digest_size=4).digest()
    return urlsafe_b64encode(digest)[:_TAG_LENGTH].decode()


def closed_id(code: int) -> str:
    """Return the id of the last event of a stream that its client is not to reconnect to."""
    return f"closed.{code}"


def is_closed_id(text: str) -> bool:
    """Whether an id is that of a stream's last event, after which its client is not to reconnect."""
    return _CLOSED.fullmatch(text) is not None


def _short_id(text: str | None) -> str:
    if text is None:
        return ""
    try:
        uuid = UUID(text)
    except ValueError:
        return ""
    # Another broker's ids are left out: the offset and the epoch have to do.
    return urlsafe_b64encode(uuid.bytes)[:22].decode() if str(uuid) == text else ""


def _long_id(text: str | None) -> str | None:
    return None if text is None else str(UUID(bytes=urlsafe_b64decode(f"{text}==")))


def _written_epoch(epoch: Epoch) -> str:
    if _PLAIN_EPOCH.fullmatch(epoch):
        return epoch
    encoded = urlsafe_b64encode(epoch.encode(errors="surrogatepass")).decode()
    return f"{_ENCODED}{encoded.rstrip('=')}"


def _read_epoch(text: str) -> Epoch | None:
    if not text.startswith(_ENCODED):
        return Epoch(text)
    encoded = text[len(_ENCODED) :]
    try:
        return Epoch(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode(errors="surrogatepass"))
    except ValueError:
        return None
