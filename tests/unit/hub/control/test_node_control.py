"""Revocations and disconnections over several nodes, whatever becomes of these meanwhile."""

import asyncio

import pytest
from neighbours import Neighbour, Street
from stage import turns

from hubbub.exceptions import (
    BadRequest,
    LimitExceeded,
    PublishError,
    PublishUncertain,
    SessionClosed,
    TokenRevoked,
    Unavailable,
)
from hubbub.hub.control.node_control import MARGIN, check_id
from hubbub.hub.control.orders import CONTROL, LOG
from hubbub.hub.control.revocations import Subject
from hubbub.hub.identity import Identity
from hubbub.hub.publications import Draft, Kind
from hubbub.types import UserId

REVOKED = (4010, "Revoked")


def token(name, *, user="ada", issued_at=None, expires_at=None):
    return Identity(UserId(user), token_id=name, issued_at=issued_at, expires_at=expires_at)


async def is_refused(neighbour, identity):
    """Try to connect."""
    guest = neighbour.guest(identity)
    try:
        await neighbour.node.connections.open(guest.session)
    except TokenRevoked:
        return guest.session not in set(neighbour.node.connections)
    guest.session.detach()
    await guest.leave()
    return False


class TestRevoking:
    async def test_a_token_ends_its_sessions_on_every_node_and_opens_none(self):
        async with Street() as street:
            left, right = await street.two()
            here, there = await left.enter(token("t-1")), await right.enter(token("t-1"))
            other = await right.enter(token("t-2"))
            await left.control.revoke(Subject.TOKEN, "t-1")
            assert here.outlet.closed_with == REVOKED, "when it returns, it holds on this node"
            await turns(2)
            assert there.outlet.closed_with == REVOKED
            assert other.outlet.closed_with is None
            for neighbour in (left, right):
                assert await is_refused(neighbour, token("t-1"))
                assert not await is_refused(neighbour, token("t-2"))

    async def test_a_user_is_out_on_every_node_until_they_have_a_new_token(self):
        async with Street() as street:
            left, right = await street.two()
            now = street.clock.time()
            guests = [
                await neighbour.enter(token(f"t-{number}", issued_at=now - number or None))
                for number in range(10)
                for neighbour in (left, right)
            ]
            bob = await right.enter("bob")
            street.clock.advance(1)
            await left.control.revoke(Subject.USER, "ada")
            assert {guest.outlet.closed_with for guest in guests} == {REVOKED}
            assert bob.outlet.closed_with is None
            assert left.node.statistics.closes == right.node.statistics.closes == {4010: 10}
            for neighbour in (left, right):
                assert await is_refused(neighbour, token("t-20", issued_at=now))
                assert await is_refused(neighbour, token("t-21"))
                assert not await is_refused(neighbour, token("t-22", issued_at=now + 1))

    async def test_a_session_ends_with_its_token(self):
        async with Street() as street:
            left, right = await street.two()
            ends = street.clock.time() + 600
            ada = await right.enter(token("t-1", expires_at=ends))
            again = await left.enter(token("t-1", expires_at=ends))
            other = await right.enter(token("t-2"))
            await left.control.revoke(Subject.SESSION, ada.session.id)
            await street.settle()
            assert (ada.outlet.closed_with, again.outlet.closed_with) == (REVOKED, REVOKED)
            assert other.outlet.closed_with is None
            assert await is_refused(left, token("t-1"))
            (revocation,) = left.control.revocations._by_thing[Subject.TOKEN, "t-1"]
            assert revocation.until == ends + MARGIN

    async def test_a_session_without_a_token_id_ends_alone(self):
        async with Street() as street:
            left, right = await street.two()
            ada, again = await right.enter("ada"), await right.enter("ada")
            await left.control.revoke(Subject.SESSION, ada.session.id)
            await street.settle()
            assert (ada.outlet.closed_with, again.outlet.closed_with) == (REVOKED, None)

    async def test_its_token_is_refused_here_and_later_everywhere_where_the_log_could_not_take_it(self):
        async with Street() as street:
            left, right = await street.two()
            ada = await right.enter(token("t-1"))
            right.line.takes_nothing = True
            await left.control.revoke(Subject.SESSION, ada.session.id)
            await street.settle()
            assert ada.outlet.closed_with == REVOKED
            assert await is_refused(right, token("t-1"))
            assert not await is_refused(left, token("t-1"))
            right.line.takes_nothing = False
            await street.beats(1)
            assert await is_refused(left, token("t-1"))

    async def test_what_it_is_about_need_not_be_there(self):
        async with Street() as street:
            left, _ = await street.two()
            for subject in Subject:
                await left.control.revoke(subject, "nobody")

    @pytest.mark.parametrize("until", [0.0, -1.0, float("nan"), float("inf"), 1000.0, 9e9])
    async def test_its_end_is_in_the_future(self, until):
        async with Street() as street:
            left = await street.add()
            with pytest.raises(BadRequest):
                await left.control.revoke(Subject.TOKEN, "t", until)

    @pytest.mark.parametrize("value", ["", "x" * 1025, "\ud800"])
    async def test_ids_that_cannot_be(self, value):
        async with Street() as street:
            left = await street.add()
            with pytest.raises(BadRequest):
                await left.control.revoke(Subject.TOKEN, value)

    @pytest.mark.parametrize("value", ["x" * 1024, "\x00", "☃", "a/b", "'; --", "\x1fcontrol"])
    async def test_ids_that_are_odd_harm_nobody(self, value):
        check_id(value)
        async with Street() as street:
            left, right = await street.two()
            await left.control.revoke(Subject.TOKEN, value)
            assert await is_refused(right, token(value))

    async def test_when_as_many_are_known_as_can_be_there_is_an_error(self):
        async with Street() as street:
            left = await street.add()
            left.control.revocations._capacity = 2
            for number in range(2):
                await left.control.revoke(Subject.TOKEN, f"t-{number}")
            with pytest.raises(LimitExceeded, match="2 revocations"):
                await left.control.revoke(Subject.TOKEN, "t-2")

    async def test_a_broker_that_cannot_be_reached_is_an_error(self):
        async with Street() as street:
            left, _ = await street.two()
            ada = await left.enter(token("t-1"))
            left.cut()
            with pytest.raises(PublishError):
                await left.control.revoke(Subject.TOKEN, "t-1")
            assert ada.outlet.closed_with is None

    async def test_an_answer_that_is_lost_is_asked_for_again(self):
        async with Street() as street:
            left, right = await street.two()
            left.line.loses_answers = 2
            await left.control.revoke(Subject.TOKEN, "t-1")
            assert await is_refused(right, token("t-1"))
            assert left.control.orders.position.offset == 1, "recorded once"
            left.line.loses_answers = 3
            with pytest.raises(PublishUncertain):
                await left.control.revoke(Subject.TOKEN, "t-2")


class TestHandshakesAndRenewals:
    async def test_one_that_is_revoked_while_it_connects_does_not_get_in(self):
        """It was authenticated before; whatever follows, one of both steps sees the other."""
        async with Street() as street:
            left, right = await street.two()
            guest = right.guest(token("t-1"))
            await left.control.revoke(Subject.TOKEN, "t-1")
            with pytest.raises(TokenRevoked):
                await right.node.connections.open(guest.session)
            assert len(right.node.connections) == 0

    async def test_one_that_is_revoked_while_it_is_welcomed_is_closed(self):
        async with Street() as street:
            left, right = await street.two()
            right.line.may_read.clear()
            guest = right.guest(token("t-1"))
            opening = asyncio.ensure_future(right.node.connections.open(guest.session))
            await turns(2)
            assert len(right.node.connections) == 1
            await left.control.revoke(Subject.TOKEN, "t-1")
            right.line.may_read.set()
            with pytest.raises(SessionClosed):
                await opening
            assert guest.outlet.closed_with == REVOKED

    async def test_a_live_connection_cannot_renew_with_a_revoked_token(self):
        async with Street() as street:
            left, right = await street.two()
            street.tokens["renewed"] = token("t-2")
            ada = await right.enter(token("t-1"))
            await left.control.revoke(Subject.TOKEN, "t-2")
            (error,) = await ada.ask("auth", token="renewed", ref=1)
            assert (error["code"], error["ref"]) == ("unauthorized", 1)
            assert ada.outlet.closed_with == REVOKED

    async def test_a_visitor_cannot_become_a_revoked_user(self):
        async with Street() as street:
            left, right = await street.two()
            street.tokens["ada"] = token("t-1")
            visitor = await right.enter(Identity(UserId("")))
            await left.control.revoke(Subject.USER, "ada")
            await visitor.ask("auth", token="ada")
            assert visitor.outlet.closed_with == REVOKED

    async def test_one_that_renewed_in_time_stays(self):
        async with Street() as street:
            left, right = await street.two()
            street.tokens["renewed"] = token("t-2", issued_at=street.clock.time())
            ada = await right.enter(token("t-1", issued_at=street.clock.time() - 60))
            await ada.ask("auth", token="renewed")
            await left.control.revoke(Subject.TOKEN, "t-1")
            await left.control.revoke(Subject.USER, "ada")
            assert ada.outlet.closed_with is None


class TestBeingAway:
    async def test_a_node_that_starts_later_knows_what_was_revoked(self):
        async with Street() as street:
            left = await street.add()
            for number in range(3):
                await left.control.revoke(Subject.TOKEN, f"t-{number}")
            right = await street.add()
            assert await is_refused(right, token("t-0"))
            assert len(right.control.revocations) == 3

    async def test_a_node_that_was_cut_off_carries_it_out_when_it_is_back(self):
        async with Street() as street:
            left, right = await street.two()
            ada, bob = await right.enter("ada"), await right.enter(token("t-1", user="bob"))
            right.cut()
            street.clock.advance(1)
            await left.control.revoke(Subject.USER, "ada")
            await left.control.revoke(Subject.TOKEN, "t-1")
            assert (ada.outlet.closed_with, bob.outlet.closed_with) == (None, None)
            await right.reconnect()
            assert (ada.outlet.closed_with, bob.outlet.closed_with) == (REVOKED, REVOKED)
            assert await is_refused(right, token("t-1"))

    async def test_a_node_that_was_stopped_carries_it_out_when_it_goes_on(self):
        async with Street() as street:
            left, right = await street.two()
            ada = await right.enter("ada")
            right.stop()
            street.clock.advance(1)
            await left.control.revoke(Subject.USER, "ada")
            assert ada.outlet.closed_with is None
            await right.wake()
            assert ada.outlet.closed_with == REVOKED

    async def test_who_came_with_a_newer_token_meanwhile_stays(self):
        async with Street() as street:
            left, right = await street.two()
            right.line.is_deaf = True
            street.clock.advance(1)
            await left.control.revoke(Subject.USER, "ada")
            street.clock.advance(1)
            ada, old = await right.enter("ada"), await right.enter(token("t-1"))
            await right.reconnect()
            assert old.outlet.closed_with == REVOKED
            assert ada.outlet.closed_with is None

    async def test_a_node_that_was_away_for_longer_than_the_log_reaches_reads_all_of_it(self):
        async with Street() as street:
            left, right = await street.two()
            ends = street.clock.time() + 3 * LOG.ttl
            await left.control.revoke(Subject.TOKEN, "t-1", ends)
            right.cut()
            for number in range(3):
                street.clock.advance(LOG.ttl * 0.45)
                await left.control.revoke(Subject.TOKEN, f"t-{number + 2}", ends)
                await left.control.record_again()
            await right.reconnect()
            assert len(right.control.revocations) == 4
            later = await street.add()
            assert len(later.control.revocations) == 4, "none was let go of before its end"
            street.clock.advance(2 * LOG.ttl)
            assert {len(neighbour.control.revocations) for neighbour in street.neighbours} == {0}

    async def test_a_node_that_cannot_read_what_was_revoked_does_not_start(self):
        async with Street() as street:
            await street.add()
            right = Neighbour(street, "right")
            right.cut()
            with pytest.raises(Unavailable):
                await right.control.start()


class TestALogThatIsLost:
    async def test_the_nodes_put_back_what_they_know(self):
        async with Street() as street:
            left, right = await street.two()
            await left.control.revoke(Subject.TOKEN, "t-1")
            right.cut()
            await left.control.revoke(Subject.TOKEN, "t-2")
            right.line.is_cut = False
            street.streams.lose()
            await asyncio.gather(left.control.catch_up(), right.control.catch_up())
            await street.settle()
            assert await is_refused(right, token("t-2"))
            held = await street.streams.broker.history(CONTROL, limit=100)
            assert len(held.publications) == 2, "each once, although both nodes knew the first"
            later = await street.add()
            assert len(later.control.revocations) == 2

    async def test_it_is_found_without_being_told(self):
        async with Street() as street:
            left, right = await street.two()
            await left.control.revoke(Subject.TOKEN, "t-1")
            street.streams.lose()
            await right.control.revoke(Subject.TOKEN, "t-2")
            await street.settle()
            later = await street.add()
            assert len(later.control.revocations) == 2

    async def test_a_node_that_starts_before_anybody_noticed_makes_them_notice(self):
        async with Street() as street:
            left, _ = await street.two()
            await left.control.revoke(Subject.TOKEN, "t-1")
            street.streams.lose()
            later = await street.add()
            assert await is_refused(later, token("t-1"))

    async def test_what_ended_meanwhile_is_not_put_back(self):
        async with Street() as street:
            left = await street.add()
            await left.control.revoke(Subject.TOKEN, "t-1", street.clock.time() + 10)
            street.clock.advance(10)
            street.streams.lose()
            await left.control.catch_up()
            assert left.control.orders.position.offset == 0


class TestOrdersOfOtherVersions:
    @pytest.mark.parametrize(
        "data",
        [
            b'{"id":"r","subject":"planet","value":"x","at":1,"until":9e12}',
            b'{"id":"r","subject":"token","value":5,"at":1,"until":9e12}',
            b'{"id":"r","subject":"token","value":"t-1","at":1}',
        ],
    )
    async def test_a_revocation_that_is_not_understood_is_skipped(self, data, caplog):
        async with Street() as street:
            left = await street.add()
            draft = Draft(CONTROL, "revoke", data, "other-1", street.clock.time(), Kind.MESSAGE)
            await street.streams.broker.publish(draft, LOG)
            assert "was skipped" in caplog.text
            await left.control.revoke(Subject.TOKEN, "t-2")
            assert len(left.control.revocations) == 1

    async def test_a_close_code_that_is_not_known_closes_all_the_same(self):
        async with Street() as street:
            left = await street.add()
            ada = await left.enter("ada")
            data = b'{"id":"q","node":"n","topic":"disconnect","query":{"user_id":"ada","code":4999,"reason":"x"}}'
            draft = Draft(CONTROL, "ask", data, "other-1", street.clock.time(), Kind.EPHEMERAL)
            await street.streams.broker.publish(draft, LOG)
            assert ada.outlet.closed_with == (4003, "x")
