"""What travels in a channel."""

import pytest

from hubbub.hub.publications import Draft, Kind, Position, Publication, Shared
from hubbub.types import Epoch, UserId


def test_a_draft_that_is_given_its_place_keeps_everything():
    draft = Draft(
        "room:a", "message", b'{"n":1.10}', "id", 5.0, Kind.JOIN, UserId("ada"), frozenset({UserId("eve")})
    )
    publication = Publication.placed(draft, Epoch("e"), 7)
    for field in Draft.__struct_fields__:
        assert getattr(publication, field) == getattr(draft, field)
    assert publication.position == Position(Epoch("e"), 7, "id")
    assert publication.value() == {"n": 1.1}


def test_whom_it_is_for():
    publication = Publication.placed(
        Draft("room:a", "message", b"1", "id", 5.0, exclude=frozenset({UserId("eve")})), Epoch("e"), 1
    )
    assert publication.is_for(UserId("ada"))
    assert not publication.is_for(UserId("eve"))


def test_values_do_not_change():
    with pytest.raises(AttributeError):
        Position(Epoch("e"), 1).offset = 2  # type: ignore[misc]


def test_what_is_shared_is_a_tuple_that_remembers_how_it_was_written():
    publication = Publication.placed(Draft("room:a", "message", b"1", "id", 5.0), Epoch("e"), 1)
    first, second = Shared([publication]), Shared([publication])
    assert first == second == (publication,)
    first.written["plain"] = b"[]"
    assert not second.written
