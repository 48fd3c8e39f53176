"""What users of all nodes together see: who is connected where, and ending that everywhere."""

import pytest
from neighbours import Street

from hubbub.codes import CloseCode
from hubbub.exceptions import BadRequest, TokenRevoked, Unavailable
from hubbub.hub.control.census import Readers
from hubbub.hub.control.cluster import check_user, counted
from hubbub.hub.identity import Identity
from hubbub.hub.replies import PongSent
from hubbub.types import UserId

HOSTILE = ["", "x" * 256, "\x00", "\x1fcontrol", "\ud800"]


async def test_twenty_connections_of_one_user_are_found_and_closed_on_both_nodes():
    async with Street() as street:
        left, right = await street.two()
        guests = [await (left, right)[number % 2].enter("ada") for number in range(20)]
        bob = await right.enter("bob")
        found = await left.cluster.connections(user_id="ada", limit=500)
        assert {row.session_id for row in found.rows} == {guest.session.id for guest in guests}
        assert {row.node for row in found.rows} == {left.id, right.id}
        assert (found.cursor, found.is_whole) == (None, True)
        closed = await right.cluster.disconnect("ada", code=CloseCode.REVOKED, reason="away")
        assert (closed.connections, closed.unanswered) == (20, ())
        assert {guest.outlet.closed_with for guest in guests} == {(4010, "away")}
        assert bob.outlet.closed_with is None
        assert (await right.cluster.disconnect("ada")).connections == 0


async def test_nodes_are_listed_the_eldest_first():
    async with Street() as street:
        left = await street.add("left")
        street.clock.advance(10)
        right = await street.add("right")
        await street.beats()
        await right.enter("ada")
        for asking in (left, right):
            listing = await asking.cluster.nodes()
            assert [(node.name, node.connections) for node in listing.rows] == [("left", 0), ("right", 1)]
        assert left.cluster.node_id == left.id


async def test_a_node_that_is_stopped_is_told_to_be_missing():
    async with Street() as street:
        left, right = await street.two()
        await left.enter("ada")
        await right.enter("ada")
        right.stop()
        for ask in (
            left.cluster.nodes,
            lambda: left.cluster.connections(user_id="ada"),
            left.cluster.channels,
            lambda: left.cluster.readers("user:ada"),
            lambda: left.cluster.disconnect("ada"),
        ):
            answer = await street.after(2.2, ask())
            assert [state.name for state in answer.unanswered] == ["right"]
            await right.wake()
            right.stop()


async def test_connections_of_all_nodes_are_paged_in_one_order():
    async with Street() as street:
        left, right = await street.two()
        guests = [await (left, right)[number % 3 == 0].enter(f"u-{number}") for number in range(11)]
        seen, cursor = [], None
        for _ in range(10):
            page = await left.cluster.connections(limit=3, after=cursor)
            assert len(page.rows) <= 3
            seen += [row.session_id for row in page.rows]
            cursor = page.cursor
            if cursor is None:
                break
        assert seen == sorted(guest.session.id for guest in guests)


async def test_channels_of_all_nodes_are_paged_and_added_up():
    async with Street() as street:
        left, right = await street.two()
        for number in range(6):
            guest = await (left, right)[number % 2].enter("ada")
            await guest.join("all")
            await guest.join(f"own-{number}")
        seen, cursor = {}, None
        for _ in range(10):
            page = await right.cluster.channels(limit=2, after=cursor)
            seen |= {row.channel: (row.sessions, row.nodes) for row in page.rows}
            cursor = page.cursor
            if cursor is None:
                break
        own = {f"room:own-{number}": (1, 1) for number in range(6)}
        assert seen == {"room:all": (6, 2), **own, "user:ada": (6, 2)}


async def test_the_readers_of_one_channel():
    async with Street() as street:
        left, right = await street.two()
        for neighbour, users in ((left, ("ada", "ada", "bob")), (right, ("ada",))):
            for user in users:
                await (await neighbour.enter(user)).join("all")
        readers = await right.cluster.readers("room:all")
        assert readers.sessions == 4
        assert {node: (each.sessions, each.users) for node, each in readers.nodes.items()} == {
            left.id: (3, 2),
            right.id: (1, 1),
        }
        assert (await right.cluster.readers("room:none")).nodes == {}


async def test_slow_connections():
    async with Street() as street:
        left, right = await street.two()
        ada = await right.enter("ada")
        await left.enter("bob")
        ada.outlet.stall()
        ada.outlet.write(street.encoding.reply(PongSent()))
        (row,) = (await left.cluster.connections(slow=True)).rows
        assert (row.user_id, row.slow) == ("ada", True)


async def test_revoking_names_one_thing():
    async with Street() as street:
        left, right = await street.two()
        for wrong in ({}, {"user_id": "ada", "token_id": "t"}):
            with pytest.raises(ValueError, match="one thing"):
                await left.cluster.revoke(**wrong)
        revocation = await left.cluster.revoke(token_id="t", until=street.clock.time() + 60)
        assert revocation.until == street.clock.time() + 60
        with pytest.raises(TokenRevoked):
            await right.enter(Identity(UserId("ada"), token_id="t"))


@pytest.mark.parametrize("user", HOSTILE)
async def test_users_that_cannot_be_are_refused(user):
    async with Street() as street:
        left = await street.add()
        with pytest.raises(BadRequest):
            await left.cluster.disconnect(user)
        with pytest.raises(BadRequest):
            await left.cluster.revoke(user_id=user)
        if user:
            check_user("x" * 255)


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 501}, {"after": "\ud800"}, {"after": "x" * 2000}])
async def test_pages_that_cannot_be_are_refused(wrong):
    async with Street() as street:
        left = await street.add()
        for listing in (left.cluster.connections, left.cluster.channels):
            with pytest.raises(BadRequest):
                await listing(**wrong)


async def test_a_close_code_that_does_not_exist():
    async with Street() as street:
        left = await street.add()
        with pytest.raises(ValueError, match="4999"):
            await left.cluster.disconnect("ada", code=4999)


async def test_what_a_node_knows_without_asking():
    async with Street() as street:
        left, right = await street.two()
        await left.cluster.revoke(token_id="t")
        assert (right.cluster.known_nodes, right.cluster.revocations, right.cluster.is_behind) == (
            2,
            1,
            False,
        )
        right.cut()
        with pytest.raises(Unavailable):
            await right.control.catch_up()
        assert right.cluster.is_behind


def test_counts_are_added_up_by_name():
    pages = [Readers("b", 1, 1), Readers("a", 2, 2), Readers("b", 3, 1)]
    assert [(row.channel, row.sessions, row.nodes) for row in counted(pages)] == [("a", 2, 1), ("b", 4, 2)]
