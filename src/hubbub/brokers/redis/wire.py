"""Publications as bytes in Redis. Fields are only ever added at the end, so that nodes of two versions understand each other."""

import msgspec

from hubbub.hub.publications import Draft, Kind, Publication
from hubbub.types import Epoch, UserId

EVERYBODY: frozenset[UserId] = frozenset()


class Packed(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A publication without its channel and its place."""

    event: str
    data: bytes
    id: str
    time: float
    kind: int
    sender: str | None
    exclude: list[str]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Packed)


def pack(draft: Draft) -> bytes:
    """Make bytes of a draft."""
    return _encoder.encode(
        Packed(
            draft.event,
            draft.data,
            draft.id,
            draft.time,
            int(draft.kind),
            draft.sender,
            sorted(draft.exclude) if draft.exclude else [],
        )
    )


def unpack(channel: str, epoch: str, offset: int, payload: bytes) -> Publication:
    """Make a publication of bytes.

    Raises:
        msgspec.DecodeError: they are none, or of a version that this one does not understand.
        ValueError: its kind is unknown to this version.
    """
    packed = _decoder.decode(payload)
    return Publication(
        channel,
        packed.event,
        packed.data,
        packed.id,
        packed.time,
        Kind(packed.kind),
        None if packed.sender is None else UserId(packed.sender),
        frozenset(map(UserId, packed.exclude)) if packed.exclude else EVERYBODY,
        Epoch(epoch),
        offset,
    )
