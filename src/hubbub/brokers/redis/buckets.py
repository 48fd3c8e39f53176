"""Where presence is kept: in buckets, each with all of its keys in one slot, so that one script can use them together.

A single server has one. In a cluster there are several, so that its servers share the work; all of a channel is in one.
"""

from collections.abc import Iterator

from hubbub.brokers.redis.address import Address, Arrangement
from hubbub.brokers.redis.slots import slot_of

BUCKETS = 16
"""How many there are in a cluster. Nodes that do not agree on it do not see each other's users."""
KEPT = ("leases", "roster", "more", "gone", "ids", "meta", "left")
"""What each has, in the order in which the script takes it."""


class Bucket:
    """One of them.

    Args:
        prefix: what all keys begin with.
        number: which.
    """

    __slots__ = ("before", "born", "keys", "lost_at", "slot")

    def __init__(self, prefix: str, number: int) -> None:
        tag = f"p:{number}"
        self.slot = slot_of(tag.encode())
        self.keys = tuple(f"{prefix}:{{{tag}}}:{name}".encode() for name in KEPT)
        self.born = ""
        """The life of its data that this node knows; another one means that everything was lost."""
        self.before = ""
        """The one before that."""
        self.lost_at = 0.0
        """When this node learned that there is another one."""

    @property
    def roster(self) -> bytes:
        """The key of who is where."""
        return self.keys[1]

    def note(self, born: bytes, now: float) -> None:
        """Learn which life its data is in."""
        life = born.decode()
        if self.born and life != self.born:
            self.before, self.lost_at = self.born, now
        self.born = life


class Buckets:
    """All of them.

    Args:
        address: of the Redis that they are in.
    """

    def __init__(self, address: Address) -> None:
        count = BUCKETS if address.arrangement is Arrangement.CLUSTER else 1
        self._all = tuple(Bucket(address.names, number) for number in range(count))

    def of(self, channel: str) -> Bucket:
        """Return the one that a channel is in."""
        return self._all[slot_of(channel.encode()) % len(self._all)]

    def __iter__(self) -> Iterator[Bucket]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)
