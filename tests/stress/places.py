"""What one client is told of one channel, held against what was said in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from house import policy
from ledger import Ledger, Wrong


@dataclass(frozen=True)
class Since:
    """A position that a client comes back with."""

    epoch: str
    offset: int
    id: str | None = None
    forged: bool = False
    """Whether there never was such a position."""

    def shown(self) -> dict[str, Any]:
        """Return it as it is sent."""
        known = {} if self.id is None else {"id": self.id}
        return {"epoch": self.epoch, "offset": self.offset, **known}


class Place:
    """Where a client stands in a channel.

    Args:
        channel: which one.
        user: for whom.
        ledger: what was said.
    """

    __slots__ = ("_ledger", "channel", "live", "offset", "policy", "seen", "since", "user", "wanted")

    def __init__(self, channel: str, user: str, ledger: Ledger) -> None:
        self.channel = channel
        self.user = user
        self.policy = policy(channel)
        self._ledger = ledger
        self.wanted = True
        """Whether the client has asked for it, and not to leave it since."""
        self.live = False
        """Whether the server has said that it is on it; otherwise nothing of the channel may come."""
        self.offset = 0
        self.since: Since | None = None
        """Where the client stopped reading; outlives its connections."""
        self.seen = 0
        """How many publications came in all."""

    def joined(self, message: Mapping[str, Any], since: Since | None, floor: int) -> bool | None:
        """Take what precedes everything of the channel.

        Args:
            message: `joined`, `subscribed` or `welcome`.
            since: what was asked for.
            floor: what had been acknowledged before it was asked for, which a top may not be below.
        """
        epoch, top = message["epoch"], message["offset"]
        self._ledger.check_epoch(self.channel, epoch)
        if top < floor:
            raise Wrong(f"{self.channel} is said to stand at {top}, when {floor} had been acknowledged")
        messages, recovered = message.get("messages", []), message.get("recovered")
        whole = None
        if since is not None:
            whole = not since.forged and top - self.policy.history <= since.offset <= top
        if recovered is not whole:
            raise Wrong(f"recovered is {recovered} for {since} of {self.channel}, whose top is {top}")
        if not whole and messages:
            raise Wrong(f"{len(messages)} messages that were not asked for, or are not all")
        self.live = True
        if whole and since is not None:
            # Whoever was on it already is answered from where they asked, with what came meanwhile once more.
            self.offset = since.offset
            for each in messages:
                self.publication(each)
            self._skip_to(top + 1)
        self._move(top, epoch, message.get("id"))
        said = self._ledger.streams[self.channel].said.get(top)
        if said is not None and message.get("id") != said.id:
            raise Wrong(f"{message.get('id')} is not the id at the top of {self.channel}, {top}: {said.id}")
        return whole

    def left(self) -> None:
        """Take it that nothing comes any more."""
        self.live = False

    def cut(self) -> None:
        """Forget the connection; where it stopped is kept."""
        self.live = False

    def publication(self, push: Mapping[str, Any]) -> None:
        """Take the next publication."""
        self.check_live(push)
        offset = push["offset"]
        if offset <= self.offset:
            raise Wrong(f"{offset} of {self.channel} comes after {self.offset}")
        if offset != self.offset + 1:
            self._skip_to(offset)
        said = self._ledger.check(self.channel, push)
        if self.user in said.exclude:
            raise Wrong(
                f"{self.user} was given what excludes them: {said.key!r} at {offset} of {self.channel}"
            )
        self._move(offset, None, push["id"])
        self.seen += 1

    def gap(self, message: Mapping[str, Any]) -> int:
        """Take it that some will not come; return how many."""
        self.check_live(message)
        first, last = message["from"], message["to"]
        if not self.policy.drops:
            raise Wrong(f"a gap in {self.channel}, which closes those who are slow")
        if not self.offset < first <= last:
            raise Wrong(f"a gap from {first} to {last} of {self.channel}, after {self.offset}")
        self._skip_to(first)
        self._move(last, None, None)
        return int(last - first + 1)

    def check_live(self, message: Mapping[str, Any]) -> None:
        """See whether the client is on the channel at all."""
        if not self.live:
            raise Wrong(f"not on {self.channel}, and told {str(dict(message))[:120]}")

    def missing(self) -> list[int]:
        """Return the offsets that have yet to come."""
        stream = self._ledger.streams[self.channel]
        return [
            offset
            for offset in range(self.offset + 1, stream.top + 1)
            if offset not in stream.said or self.user not in stream.said[offset].exclude
        ]

    def _skip_to(self, offset: int) -> None:
        self._ledger.check_skipped(self.channel, self.user, self.offset, offset, f"{self.user}, on its way")

    def _move(self, offset: int, epoch: str | None, id: str | None) -> None:  # noqa: A002 (the field's name)
        self.offset = offset
        if epoch is None:
            assert self.since is not None
            epoch = self.since.epoch
        self.since = Since(epoch, offset, id)
