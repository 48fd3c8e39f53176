"""Each publication is made into a frame once for all who share the encoding, and remembered for a while."""

from hubbub.dialects.plain import PlainJSON
from hubbub.endpoints.encoding import MEMO
from hubbub.endpoints.queued import TextEncoding
from hubbub.hub.commands import Ping
from hubbub.hub.publications import Draft, Publication
from hubbub.types import Epoch


def publication(number: int) -> Publication:
    return Publication.placed(
        Draft("room:a", "e", str(number).encode(), str(number), 0.0), Epoch("e"), number + 1
    )


def test_a_publication_is_encoded_once_for_all():
    encoding = TextEncoding(PlainJSON())
    assert encoding.publications([publication(1)]) is encoding.publications((publication(1),))


def test_several_become_one_frame_in_their_order():
    encoding = TextEncoding(PlainJSON())
    one, two = encoding.publications([publication(1)]), encoding.publications([publication(2)])
    both = encoding.publications([publication(1), publication(2)])
    assert list(both.messages) == [*one.messages, *two.messages]
    assert both.messages[0] is one.messages[0]
    assert len(both) == len(one) + len(two)


def test_as_many_are_remembered_as_it_says():
    encoding = TextEncoding(PlainJSON())
    frames = [encoding.publications([publication(number)]) for number in range(MEMO + 1)]
    assert len(encoding._memo) == MEMO
    assert encoding.publications([publication(MEMO)]) is frames[-1]
    again = encoding.publications([publication(0)])
    assert again is not frames[0]
    assert again.messages == frames[0].messages


def test_commands():
    assert TextEncoding(PlainJSON()).decode('{"type":"ping"}') == Ping()
