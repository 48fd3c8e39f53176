"""What was said: everything that anybody published in a run, and the place that each publication was given.

A publication is known from the moment it is sent. The first one who is told its offset, be it the publisher by an `ack`
or a receiver, puts it in its place; everybody after that has to have been told the same.
"""

import itertools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NOBODY: frozenset[str] = frozenset()


class Wrong(AssertionError):
    """A promise that was not kept."""


@dataclass(slots=True)
class Said:
    """One publication."""

    key: str
    channel: str
    sender: str | None
    exclude: frozenset[str]
    content: str
    """Begins with the key; emptied once it is acknowledged, so that long runs fit into memory."""
    digest: int
    size: int
    offset: int = 0
    id: str = ""


@dataclass(slots=True)
class Skipped:
    """An offset that a receiver was not given while nobody knew yet what it was."""

    channel: str
    offset: int
    user: str
    told: str


class Stream:
    """One channel: what was said in it, by offset."""

    __slots__ = ("acknowledged", "epoch", "forgotten", "said", "top")

    def __init__(self) -> None:
        self.epoch = ""
        self.said: dict[int, Said] = {}
        self.top = 0
        """The highest offset that anybody was told."""
        self.acknowledged = 0
        """The highest that a publisher was told: whoever asks from now on must be shown it."""
        self.forgotten = 0
        """The highest that is no longer written down."""


class Ledger:
    """All streams of a run."""

    def __init__(self) -> None:
        self.streams: defaultdict[str, Stream] = defaultdict(Stream)
        self.broadcasts: dict[str, Said] = {}
        self.skipped: list[Skipped] = []
        self._keys = itertools.count(1)
        self._sent: dict[str, Said] = {}

    def intend(self, channel: str, text: str, sender: str | None, exclude: frozenset[str] = NOBODY) -> Said:
        """Write down what is about to be published."""
        key = f"{next(self._keys):x}"
        content = f"{key} {text}"
        said = Said(key, channel, sender, exclude, content, hash(content), len(content))
        self._sent[key] = said
        return said

    def broadcast(self, text: str, exclude: frozenset[str]) -> Said:
        """Write down what every connection is about to be told, at most once."""
        said = self.intend("", text, None, exclude)
        del self._sent[said.key]
        self.broadcasts[said.key] = said
        return said

    def acknowledged(self, said: Said, told: Mapping[str, Any]) -> None:
        """Hold what a publisher was told against what is known."""
        stream = self.streams[said.channel]
        self.check_epoch(said.channel, told["epoch"])
        self._place(stream, said, told["offset"], told["id"])
        stream.acknowledged = max(stream.acknowledged, said.offset)
        self._sent.pop(said.key, None)
        said.content = ""

    def check(self, channel: str, push: Mapping[str, Any]) -> Said:
        """Hold a publication, as somebody was given it, against what is known; return it."""
        stream, offset = self.streams[channel], push["offset"]
        content: str = push["content"] if "content" in push else push["data"]["content"]
        said = stream.said.get(offset)
        if said is None:
            said = self._sent.get(content.partition(" ")[0])
            if said is None:
                raise Wrong(f"{channel} has at {offset} what nobody says now: {content[:40]!r}")
            if said.channel != channel:
                raise Wrong(f"{channel} has at {offset} what was said in {said.channel}")
            self._place(stream, said, offset, push["id"])
        if said.id != push["id"] or said.digest != hash(content):
            raise Wrong(
                f"{channel} has {said.key!r} ({said.id}) at {offset}, not {content[:40]!r} ({push['id']})"
            )
        if push.get("user_id") != said.sender:
            raise Wrong(
                f"{said.key!r} at {offset} of {channel} is by {said.sender}, not {push.get('user_id')}"
            )
        return said

    def check_epoch(self, channel: str, epoch: str) -> None:
        """The server is never restarted, so that there is one epoch."""
        stream = self.streams[channel]
        stream.epoch = stream.epoch or epoch
        if stream.epoch != epoch:
            raise Wrong(f"{channel} has the epoch {stream.epoch}, not {epoch}")

    def check_skipped(self, channel: str, user: str, after: int, before: int, told: str) -> None:
        """See whether everything between two offsets excluded a user; what is not known yet is looked at later."""
        said = self.streams[channel].said
        for offset in range(after + 1, before):
            if offset in said:
                check_excluded(said[offset], user)
            else:
                self.skipped.append(Skipped(channel, offset, user, told))

    def settle(self) -> None:
        """Look at what was skipped before it was known."""
        unknown = []
        for each in self.skipped:
            said = self.streams[each.channel].said.get(each.offset)
            if said is None:
                unknown.append(each)
            else:
                try:
                    check_excluded(said, each.user)
                except Wrong as wrong:
                    raise Wrong(f"{wrong}\n{each.told}") from None
        self.skipped = unknown

    def forget(self, channel: str, up_to: int) -> None:
        """Cross out what is too old to be given to anybody."""
        stream = self.streams[channel]
        for offset in range(stream.forgotten + 1, up_to + 1):
            stream.said.pop(offset, None)
        stream.forgotten = max(stream.forgotten, up_to)

    def unacknowledged(self) -> list[Said]:
        """Return what nobody was told the place of by an `ack`."""
        return list(self._sent.values())

    def _place(self, stream: Stream, said: Said, offset: int, id: str) -> None:  # noqa: A002 (the field's name)
        if said.offset and (said.offset, said.id) != (offset, id):
            raise Wrong(
                f"{said.key!r} is in {said.channel} at {said.offset} ({said.id}) and at {offset} ({id}) too"
            )
        other = stream.said.setdefault(offset, said)
        if other is not said:
            raise Wrong(f"{said.channel} has {other.key!r} and {said.key!r} at {offset}")
        said.offset, said.id = offset, id
        stream.top = max(stream.top, offset)


def check_excluded(said: Said, user: str) -> None:
    """A publication that somebody was not given must have been for others."""
    if user not in said.exclude:
        raise Wrong(f"{user} was not given {said.key!r}, at {said.offset} of {said.channel}")
