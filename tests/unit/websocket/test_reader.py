"""The reader, one rule at a time."""

from hubbub.websocket.messages import Close, Ping
from hubbub.websocket.reader import FrameReader


def test_a_masked_text_frame():
    # RFC 6455 section 5.7.
    reader = FrameReader(1024, inflate=False)
    reader.feed(bytes.fromhex("818537fa213d7f9f4d5158"))
    assert (reader.read(), reader.read()) == ("Hello", None)


def test_a_fragmented_text_with_a_ping_inside():
    reader = FrameReader(1024, inflate=False)
    reader.feed(bytes.fromhex("01830000000048656c" + "898100000000ff" + "8082000000006c6f" + "888000000000"))
    assert [reader.read() for _ in range(4)] == [Ping(b"\xff"), "Hello", Close(None, ""), None]


def test_a_compressed_text():
    # RFC 7692 section 7.2.3.1.
    reader = FrameReader(1024, inflate=True)
    reader.feed(bytes.fromhex("c18700000000" + "f248cdc9c90700"))
    assert reader.read() == "Hello"
