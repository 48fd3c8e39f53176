"""Nodes know of each other by their signs of life."""

from neighbours import Street
from stage import Stage

from hubbub.brokers.memory import MemoryBroker
from hubbub.hub.control.node_control import Control
from hubbub.hub.control.revocations import Revocations
from hubbub.version import __version__


def names(neighbour):
    return sorted(state.name for state in neighbour.control.peers)


async def test_a_node_that_starts_is_known_to_the_others_and_knows_them_at_once():
    async with Street() as street:
        left = await street.add("left")
        right = await street.add("right")
        assert names(left) == names(right) == ["left", "right"]
        assert left.id in right.control.peers
        assert len(right.control.peers) == 2


async def test_it_says_how_it_is():
    async with Street() as street:
        left, right = await street.two()
        await right.enter("ada")
        right.node.draining.begin()
        await street.beats(1)
        (state,) = [state for state in left.control.peers if state.id == right.id]
        assert (state.name, state.version, state.connections, state.channels, state.draining) == (
            "right",
            __version__,
            1,
            1,
            True,
        )


async def test_it_has_listened_for_long_enough_after_a_beat():
    async with Street() as street:
        left = await street.add()
        assert not left.control.peers.are_settled
        await street.beats(1)
        assert left.control.peers.are_settled


async def test_one_that_stops_says_farewell():
    async with Street() as street:
        left, right = await street.two()
        await street.end(right)
        assert names(left) == ["left"]


async def test_one_that_cannot_say_farewell_stops_all_the_same():
    async with Street() as street:
        left, right = await street.two()
        right.cut()
        await street.end(right)
        assert names(left) == ["left", "right"]


async def test_one_that_is_silent_for_three_beats_is_gone_and_comes_back():
    async with Street() as street:
        left, right = await street.two()
        right.stop()
        await street.beats(3)
        assert names(left) == ["left", "right"]
        await street.beats(1)
        assert names(left) == ["left"]
        await right.wake()
        assert names(left) == ["left", "right"]


async def test_one_that_was_away_itself_does_not_think_that_it_is_alone():
    async with Street() as street:
        _, right = await street.two()
        right.stop()
        await street.beats(20)
        await right.wake()
        assert names(right) == ["left", "right"]
        right.cut()
        await street.beats(20)
        assert names(right) == ["left", "right"]


async def test_one_that_died_meanwhile_is_gone_after_three_beats_more():
    async with Street() as street:
        left, right = await street.two()
        right.stop()
        left.cut()
        await street.end(left)
        await right.wake()
        assert names(right) == ["left", "right"]
        await street.beats(4)
        assert names(right) == ["right"]


async def test_a_broker_in_memory_carries_no_signs_of_life():
    async with Stage() as stage:
        node, control = stage.node, stage.node.control
        broker = MemoryBroker(stage.clock)
        alone = Control(
            "n",
            "alone",
            broker,
            node.feeds,
            node.connections,
            Revocations(stage.clock),
            stage.clock,
            node.wheel,
            node.background,
        )
        broker.deliver_to(alone.orders)
        heard = []
        alone.orders.receive = heard.append
        await broker.subscribe("\x1fcontrol")
        for telling in (alone.peers.beat, alone.peers.leave, alone.beat, alone.stop):
            await telling()
        assert heard == []
        assert alone.peers.are_settled
        assert not control.peers.are_alone
