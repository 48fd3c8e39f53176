"""Publications as bytes in Redis."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.brokers.redis.wire import pack, unpack
from hubbub.hub.publications import Draft, Kind, Publication
from hubbub.types import Epoch, UserId

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DRAFTS = st.builds(
    Draft,
    channel=TEXT,
    event=TEXT,
    data=st.binary(max_size=50),
    id=TEXT,
    time=st.floats(allow_nan=False),
    kind=st.sampled_from(Kind),
    sender=st.none() | TEXT.map(UserId),
    exclude=st.frozensets(TEXT.map(UserId), max_size=3),
)


@given(DRAFTS, st.integers(0, 2**53))
def test_a_publication_comes_back_as_it_was(draft, offset):
    assert unpack(draft.channel, "e", offset, pack(draft)) == Publication.placed(draft, Epoch("e"), offset)


@given(DRAFTS)
def test_fields_that_a_later_version_adds_are_ignored(draft):
    later = msgspec.msgpack.encode([*msgspec.msgpack.decode(pack(draft)), "new", {"field": [1]}])
    assert unpack(draft.channel, "e", 1, later) == unpack(draft.channel, "e", 1, pack(draft))


@given(st.binary(max_size=40))
def test_junk_is_refused(payload):
    try:
        unpack("c", "e", 1, payload)
    except (msgspec.DecodeError, ValueError):
        return


def test_a_kind_that_is_not_known_is_refused():
    fields = msgspec.msgpack.decode(pack(Draft("c", "e", b"1", "i", 1.0)))
    fields[4] = 99
    with pytest.raises(ValueError, match="99"):
        unpack("c", "e", 1, msgspec.msgpack.encode(fields))
