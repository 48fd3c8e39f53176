"""What one node answers about its connections and channels: pages within a bound."""

import time

import pytest
from stage import Stage, quiet

from hubbub.endpoints.direct import Link
from hubbub.endpoints.websocket import Connection
from hubbub.hub.control.census import MAX_PAGE, ChannelsQuery, ConnectionsQuery, bounded
from hubbub.hub.ids import SecretIds, made_at


def test_an_id_tells_when_it_was_made():
    assert made_at(SecretIds().new()) == pytest.approx(time.time(), abs=5)


def test_outlets_say_how_their_clients_are_connected():
    assert Link.transport == Connection.transport == "websocket"


@pytest.mark.parametrize(("limit", "granted"), [(-1, 0), (0, 0), (7, 7), (10**9, MAX_PAGE)])
def test_another_node_cannot_ask_for_more_than_a_page(limit, granted):
    assert bounded(limit) == granted


async def test_connections_are_listed_page_by_page():
    async with Stage(quiet()) as stage:
        guests = [await stage.enter(name) for name in ("ada", "bob", "", "ada")]
        await guests[0].join("a")
        census = stage.node.control.census
        ids = sorted(guest.session.id for guest in guests)
        first = census.connections(ConnectionsQuery(3))
        rest = census.connections(ConnectionsQuery(3, first.rows[-1].session_id))
        assert ([row.session_id for row in (*first.rows, *rest.rows)], first.more, rest.more) == (
            ids,
            True,
            False,
        )
        of_ada = census.connections(ConnectionsQuery(9, user_id="ada")).rows
        assert {(row.user_id, row.channels, row.node) for row in of_ada} == {
            ("ada", 2, stage.node.control.node_id),
            ("ada", 1, stage.node.control.node_id),
        }
        assert census.connections(ConnectionsQuery(9, user_id="nobody")).rows == ()


async def test_slow_ones_are_listed_with_what_they_miss():
    async with Stage(quiet()) as stage:
        ada, bob = await stage.enter("ada"), await stage.enter("bob")
        await ada.join("a")
        await bob.join("a")
        ada.outlet.stall()
        for _ in range(3):
            await stage.say("room:a", "hi")
        (row,) = stage.node.control.census.connections(ConnectionsQuery(9, slow=True)).rows
        assert (row.session_id, row.slow) == (ada.session.id, True)
        assert row.behind > 0


async def test_one_that_is_being_closed_is_listed_no_more():
    async with Stage(quiet()) as stage:
        ada = await stage.enter("ada")
        stage.node.connections.close(ada.session, 4003, "away")
        census = stage.node.control.census
        assert census.connections(ConnectionsQuery(9)).rows == ()
        assert census.channels(ChannelsQuery(9)).rows == ()


async def test_channels_are_listed_with_who_reads_them():
    async with Stage(quiet()) as stage:
        for user, rooms in (("ada", "ab"), ("ada", "a"), ("bob", "a")):
            guest = await stage.enter(user)
            for room in rooms:
                await guest.join(room)
        census = stage.node.control.census
        first = census.channels(ChannelsQuery(2))
        assert [(row.channel, row.sessions, row.users) for row in first.rows] == [
            ("room:a", 3, 2),
            ("room:b", 1, 1),
        ]
        rest = census.channels(ChannelsQuery(2, "room:b"))
        assert [row.channel for row in rest.rows] == ["user:ada", "user:bob"]
        assert (first.more, rest.more) == (True, False)
        assert census.channels(ChannelsQuery(1, "", "room:b")).rows == first.rows[1:]
        assert census.channels(ChannelsQuery(1, "", "room:c")).rows == ()
