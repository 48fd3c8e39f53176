"""What was revoked is known until it has ended, within a bound."""

import pytest

from hubbub.codes import CloseCode, ErrorCode
from hubbub.exceptions import TokenRevoked
from hubbub.hub.control.revocations import Revocation, Revocations, Subject
from hubbub.hub.identity import ANONYMOUS_IDENTITY, Identity
from hubbub.testing import FakeClock
from hubbub.types import SessionId, UserId


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def revocations(clock):
    return Revocations(clock)


def ada(**fields):
    return Identity(UserId("ada"), **fields)


class Make:
    """Revocations by their age and end in seconds from now."""

    def __init__(self, clock):
        self._clock = clock
        self._made = 0

    def __call__(self, subject, value, at=0.0, until=100.0):
        self._made += 1
        now = self._clock.time()
        return Revocation(f"r-{self._made}", subject, value, now + at, now + until)


@pytest.fixture
def make(clock):
    return Make(clock)


def test_at_first_nothing_is_revoked(revocations):
    revocations.check(ada(token_id="t"))
    revocations.check(ANONYMOUS_IDENTITY)
    assert len(revocations) == 0


def test_a_token_is_revoked_by_its_id(revocations, make):
    assert revocations.add(make(Subject.TOKEN, "t-1"))
    with pytest.raises(TokenRevoked) as refused:
        revocations.check(ada(token_id="t-1"))
    assert (refused.value.code, refused.value.close_code) == (ErrorCode.UNAUTHORIZED, CloseCode.REVOKED)
    revocations.check(ada(token_id="t-2"))
    revocations.check(ada())


def test_a_session_is_revoked_by_its_id(revocations, make):
    revocations.add(make(Subject.SESSION, "s-1"))
    assert revocations.covers(ANONYMOUS_IDENTITY, SessionId("s-1"))
    assert not revocations.covers(ANONYMOUS_IDENTITY, SessionId("s-2"))
    assert not revocations.covers(ada(token_id="s-1"))


@pytest.mark.parametrize(("issued", "revoked"), [(-1.0, True), (None, True), (0.0, False), (1.0, False)])
def test_a_user_is_revoked_with_what_was_issued_before(revocations, make, clock, issued, revoked):
    revocations.add(make(Subject.USER, "ada"))
    issued_at = None if issued is None else clock.time() + issued
    assert revocations.covers(ada(issued_at=issued_at)) is revoked
    assert not revocations.covers(Identity(UserId("bob")))


def test_a_token_of_the_same_second_was_issued_before(revocations, make, clock):
    """`iat` is a whole second: one of the second in which the user was revoked may be older than that."""
    revocations.add(make(Subject.USER, "ada", at=0.5))
    assert revocations.covers(ada(issued_at=float(int(clock.time()))))


def test_nothing_is_taken_for_another_kind_of_thing(revocations, make):
    revocations.add(make(Subject.TOKEN, "ada"))
    revocations.add(make(Subject.SESSION, "ada"))
    assert not revocations.covers(ada())


def test_each_is_forgotten_at_its_end(revocations, make, clock):
    revocations.add(make(Subject.TOKEN, "late", until=100))
    revocations.add(make(Subject.TOKEN, "soon", until=10))
    clock.advance(10)
    assert not revocations.covers(ada(token_id="soon"))
    assert revocations.covers(ada(token_id="late"))
    assert len(revocations) == 1
    clock.advance(90)
    assert len(revocations) == 0
    assert (revocations._by_thing, revocations._ends, revocations._logged_at) == ({}, [], {})


def test_one_that_is_over_is_not_remembered(revocations, make):
    assert not revocations.add(make(Subject.TOKEN, "t", until=0))
    assert len(revocations) == 0


def test_the_same_one_again_changes_nothing(revocations, make):
    revocation = make(Subject.TOKEN, "t")
    assert revocations.add(revocation)
    assert not revocations.add(revocation)
    assert len(revocations) == 1


def test_a_later_one_takes_the_place_of_those_it_outdoes(revocations, make, clock):
    for number in range(50):
        revocations.add(make(Subject.USER, "ada", at=number, until=100 + number))
    assert len(revocations) == 1
    assert not revocations.add(make(Subject.USER, "ada", at=3, until=100))
    assert revocations.covers(ada(issued_at=clock.time() + 48))
    assert not revocations.covers(ada(issued_at=clock.time() + 49))
    clock.advance(149)
    assert (len(revocations), revocations._ends) == (0, [])


def test_one_that_ends_earlier_leaves_the_other_in_force(revocations, make, clock):
    revocations.add(make(Subject.USER, "ada", at=0, until=100))
    revocations.add(make(Subject.USER, "ada", at=50, until=60))
    between = ada(issued_at=clock.time() + 10)
    assert revocations.covers(between)
    clock.advance(60)
    assert not revocations.covers(between)
    assert revocations.covers(ada(issued_at=clock.time() - 70))


def test_above_the_bound_the_ones_that_end_first_go(clock, make, caplog):
    revocations = Revocations(clock, capacity=2)
    for name, until in (("b", 20), ("a", 10), ("c", 30), ("d", 40)):
        revocations.add(make(Subject.TOKEN, name, until=until))
    assert [name for name in "abcd" if revocations.covers(ada(token_id=name))] == ["c", "d"]
    assert revocations.is_full
    assert caplog.text.count("which is the bound") == 1


def test_it_knows_what_the_log_lacks(revocations, make, clock):
    now = clock.time()
    old, new, never = [make(Subject.TOKEN, name) for name in ("old", "new", "never")]
    revocations.add(old, now - 50)
    revocations.add(new, now)
    revocations.add(never)
    assert set(revocations.logged_before(now - 10)) == {old, never}
    revocations.add(old, now)
    assert set(revocations.logged_before(now - 10)) == {never}
    revocations.add(old, now - 90)
    assert set(revocations.logged_before(now - 10)) == {never}
    revocations.forget_the_log()
    assert set(revocations.logged_before(now - 10)) == {old, new, never}
