"""Replies are found in a stream of bytes however it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from resp import RedisSaid, Replies, command, text, values

REPLIES = [
    b"+OK\r\n",
    b"-ERR no\r\n",
    b":12\r\n",
    b"$-1\r\n",
    b"*-1\r\n",
    b"$0\r\n\r\n",
    b"$4\r\n\r\n*9\r\n",
    b"*0\r\n",
    b"*2\r\n*2\r\n:1\r\n$1\r\na\r\n*1\r\n*0\r\n",
    b"_\r\n",
    b"#t\r\n",
    b",1.5\r\n",
    b"=7\r\ntxt:abc\r\n",
    b"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n",
    b"|1\r\n+ttl\r\n:3\r\n*1\r\n:2\r\n",
    b"~1\r\n+a\r\n",
    b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nd\r\n",
]


@given(st.lists(st.sampled_from(REPLIES)), st.integers(1, 9))
def test_replies_come_out_as_they_went_in(sent, size):
    stream, replies = b"".join(sent), Replies()
    found = [reply for at in range(0, len(stream), size) for reply in replies.feed(stream[at : at + size])]
    assert found == sent


def test_a_list_is_shown_as_lines():
    assert text(b"*3\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n+b\r\n") == "a\n1\n\nb"
    assert values(command("SET", "a", b"\xff", 1)) == [b"SET", b"a", b"\xff", b"1"]


@pytest.mark.parametrize("reply", [b"-ERR no\r\n", b"!6\r\nERR no\r\n"])
def test_an_error_is_raised(reply):
    with pytest.raises(RedisSaid, match=r"^ERR no$"):
        text(reply)
