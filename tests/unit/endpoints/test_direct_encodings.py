"""What leaves through the direct outlet: whole frames, compressed once for each window that was agreed on."""

import pytest
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from hubbub.dialects.plain import PlainJSON
from hubbub.endpoints.direct_encodings import DirectEncodings
from hubbub.hub.publications import Draft, Publication
from hubbub.types import Epoch
from hubbub.websocket.deflate import MIN_COMPRESSED_BYTES

LARGE = '"%s"' % ("words, words, ünd wörds " * 40)


def publication(number: int, data: str) -> Publication:
    return Publication.placed(Draft("room:a", "e", data.encode(), f"id-{number}", 0.0), Epoch("e"), number)


def read(frames: bytes, window_bits: int | None) -> list[tuple[str, bool]]:
    """Read frames as a client does: their texts, and whether they came compressed."""
    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN)
    compressed: list[bool] = []
    if window_bits is not None:
        deflate = PerMessageDeflate(True, True, window_bits, 15)
        decode = deflate.decode

        def noting(frame: Frame, *, max_size: int | None = None) -> Frame:
            compressed.append(frame.rsv1)
            return decode(frame, max_size=max_size)

        deflate.decode = noting  # type: ignore[method-assign]
        client.extensions = [deflate]
    client.receive_data(frames)
    events = client.events_received()
    assert client.parser_exc is None
    assert all(isinstance(each, Frame) and each.opcode is Opcode.TEXT for each in events)
    texts = [bytes(each.data).decode() for each in events]
    return list(zip(texts, compressed or [False] * len(texts), strict=True))


@pytest.mark.parametrize("window_bits", [None, 9, 12, 15])
def test_whoever_agreed_on_a_window_can_read_what_was_made_for_it(window_bits):
    encoding = DirectEncodings(PlainJSON()).agreed(window_bits)
    batch = [publication(1, "1"), publication(2, LARGE), publication(3, LARGE)]
    dialect = PlainJSON()
    expected = [dialect.encode_publication(each).decode() for each in batch]
    seen = read(encoding.publications(batch), window_bits)
    assert [text for text, _ in seen] == expected
    assert [was for _, was in seen] == [
        window_bits is not None and len(text.encode()) >= MIN_COMPRESSED_BYTES for text in expected
    ]


def test_one_encoding_serves_all_who_agreed_on_the_same():
    encodings = DirectEncodings(PlainJSON())
    assert encodings.agreed(12) is encodings.agreed(12)
    assert encodings.agreed(None) is encodings.agreed(None)
    assert len({id(encodings.agreed(bits)) for bits in (None, 9, 12)}) == 3


def test_a_publication_is_compressed_once():
    encoding = DirectEncodings(PlainJSON()).agreed(12)
    assert encoding.publications([publication(1, LARGE)]) is encoding.publications([publication(1, LARGE)])
