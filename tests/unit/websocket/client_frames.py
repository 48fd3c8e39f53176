"""A client's frames, made without the package: slow, plain, and able to break every rule."""

import itertools
import random
import zlib
from collections.abc import Iterable, Iterator, Sequence

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1, RSV2, RSV3 = 4, 2, 1
KEY = b"\x37\xfa\x21\x3d"
TAIL = b"\x00\x00\xff\xff"


def header(
    opcode: int, length: int, *, fin: bool = True, rsv: int = 0, masked: bool = True, length_bytes: int = -1
) -> bytes:
    """Write everything before the key; `length_bytes` is 0, 2 or 8 where it is not to be the usual one."""
    first = (128 if fin else 0) + 16 * rsv + opcode
    mask = 128 if masked else 0
    if length_bytes < 0:
        length_bytes = 0 if length <= 125 else 2 if length <= 65535 else 8
    if length_bytes == 0:
        return bytes([first, mask + length])
    return bytes([first, mask + (126 if length_bytes == 2 else 127)]) + length.to_bytes(length_bytes, "big")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    key: bytes = KEY,
    length_bytes: int = -1,
) -> bytes:
    """Make a frame."""
    head = header(opcode, len(payload), fin=fin, rsv=rsv, masked=masked, length_bytes=length_bytes)
    if not masked:
        return head + payload
    return head + key + bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))


def deflated(payload: bytes, window_bits: int = 15, level: int = 6) -> bytes:
    """Compress as RFC 7692 section 7.2.1 says."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -window_bits)
    whole = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
    assert whole.endswith(TAIL)
    return whole[:-4]


def message(opcode: int, parts: Sequence[bytes], *, rsv: int = 0) -> list[bytes]:
    """Make the frames of a message, one for each part."""
    last = len(parts) - 1
    return [
        frame(CONTINUATION if place else opcode, part, fin=place == last, rsv=0 if place else rsv)
        for place, part in enumerate(parts)
    ]


def cut(payload: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut at some places; the same place twice makes an empty part."""
    borders = [0, *sorted(place % (len(payload) + 1) for place in places), len(payload)]
    return [payload[start:end] for start, end in itertools.pairwise(borders)]


def frame_by_frame(stream: bytes) -> Iterator[bytes]:
    """Let each frame come by itself, as from a browser; what is cut off comes last."""
    while len(stream) >= 14:
        masked, length = divmod(stream[1], 128)
        size = 2
        if length >= 126:
            size += 2 if length == 126 else 8
            length = int.from_bytes(stream[2:size], "big")
        size += 4 * masked + length
        yield stream[:size]
        stream = stream[size:]
    yield stream


def at_once(stream: bytes) -> Iterator[bytes]:
    yield stream


def byte_by_byte(stream: bytes) -> Iterator[bytes]:
    for place in range(len(stream)):
        yield stream[place : place + 1]


def in_slices(stream: bytes, chance: random.Random) -> Iterator[bytes]:
    """Cut into pieces, most of them small."""
    place = 0
    while place < len(stream):
        size = chance.choice((1, 2, 3, 5, 8, 40, 130, 1000))
        yield stream[place : place + size]
        place += size
