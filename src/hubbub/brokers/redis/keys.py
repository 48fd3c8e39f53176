"""What things are called in Redis.

Everything of one channel shares a hash tag, so that a script can use all of it in a cluster. The tag begins with a letter
of ours: an empty one would be none, and a channel's name may begin with anything. A name with a closing brace in it ends
the tag early, in all of its keys at the same place.
"""

from dataclasses import dataclass
from hashlib import blake2b

from hubbub.brokers.redis.slots import slot_of


@dataclass(frozen=True, slots=True)
class ChannelKeys:
    """The names of one channel.

    Args:
        channel: its name for those who publish and subscribe.
        meta: the hash with its epoch and top.
        stream: what is kept.
        slot: in which slot of a cluster all of them are.
    """

    channel: bytes
    meta: bytes
    stream: bytes
    slot: int

    def idempotency(self, key: str) -> bytes:
        """Return where a repeated publication is recognised; whatever the key says, no other name is like it."""
        return (
            self.channel
            + b":k:"
            + blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest().encode()
        )


class Keys:
    """Makes names.

    Args:
        prefix: what all of them begin with.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._before = f"{prefix}:{{c:".encode()

    def of(self, channel: str) -> ChannelKeys:
        """Return the names of a channel."""
        name = channel.encode()
        base = self._before + name + b"}"
        tag, _, _ = (b"c:" + name).partition(b"}")
        return ChannelKeys(base, base + b":m", base + b":s", slot_of(tag))

    def channel(self, name: bytes) -> str:
        """Return the channel that `ChannelKeys.channel` was made of."""
        return name[len(self._before) : -1].decode()

    def of_server(self, tag: str, what: str) -> str:
        """Return the name of something that belongs to one server, which has the slot of the tag."""
        return f"{self._prefix}:{{{tag}}}:{what}"

    def alone(self, name: str) -> tuple[bytes, int]:
        """Return what something is called that belongs to no channel, and its slot."""
        tag = name.encode()
        return f"{self._prefix}:{{".encode() + tag + b"}", slot_of(tag)
