"""Orders arrive, are read from the log when they were missed, and are skipped when nobody understands them."""

import msgspec
import pytest
from neighbours import Street

from hubbub.exceptions import Unavailable
from hubbub.hub.channels import name_problem
from hubbub.hub.control.orders import CONTROL, LOG, channel_of
from hubbub.hub.publications import Draft, Kind


class Note(msgspec.Struct):
    text: str
    more: int = 0


async def say(street, name, data, *, kind=Kind.EPHEMERAL, number=0):
    """Publish an order as another version would."""
    draft = Draft(CONTROL, name, data, f"other-{number}", street.clock.time(), kind)
    await street.streams.broker.publish(draft, LOG)


def notes(neighbour):
    """Collect the orders `note` that a node carries out."""
    found = []
    neighbour.control.orders.on("note", Note, lambda note, _: found.append(note.text))
    return found


def test_clients_cannot_name_its_channels():
    for channel in (CONTROL, channel_of("n")):
        assert name_problem(channel) == "has control characters"


async def test_every_node_carries_an_order_out_the_one_that_gave_it_included():
    async with Street() as street:
        left, right = await street.two()
        found = notes(left), notes(right)
        await left.control.orders.tell("note", Note("told"))
        await left.control.orders.record("note", Note("recorded"), "n-1")
        assert found == (["told", "recorded"], ["told", "recorded"])
        assert left.control.orders.position == right.control.orders.position
        await left.control.orders.tell("note", Note("for one"), right.control.orders.channel)
        assert (found[0][2:], found[1][2:]) == ([], ["for one"])


async def test_what_was_recorded_meanwhile_is_carried_out_by_a_node_that_was_away():
    async with Street() as street:
        left, right = await street.two()
        found = notes(right)
        right.cut()
        await left.control.orders.record("note", Note("recorded"), "n-1")
        await left.control.orders.tell("note", Note("told"))
        assert found == []
        await right.reconnect()
        assert found == ["recorded"]
        await right.control.catch_up()
        assert found == ["recorded"]


async def test_a_node_that_is_told_of_something_later_reads_what_it_lacks():
    async with Street() as street:
        left, right = await street.two()
        found = notes(right)
        right.line.is_cut = True
        await left.control.orders.record("note", Note("first"), "n-1")
        right.line.is_cut = False
        await left.control.orders.record("note", Note("second"), "n-2")
        await street.settle()
        assert sorted(set(found)) == ["first", "second"]
        assert left.control.orders.position == right.control.orders.position


async def test_a_beat_of_a_node_that_is_further_is_enough():
    async with Street() as street:
        left, right = await street.two()
        found = notes(right)
        right.line.is_cut = True
        await left.control.orders.record("note", Note("lost on the way"), "n-1")
        right.line.is_cut = False
        await street.beats(1)
        assert found == ["lost on the way"]


async def test_a_node_that_cannot_read_the_log_tries_again():
    async with Street() as street:
        left, right = await street.two()
        found = notes(right)
        right.cut()
        await left.control.orders.record("note", Note("recorded"), "n-1")
        with pytest.raises(Unavailable):
            await right.control.catch_up()
        assert right.control.orders.is_behind
        await street.beats(1)
        assert (found, right.control.orders.is_behind) == ([], True)
        right.line.is_cut = False
        await street.beats(1)
        assert (found, right.control.orders.is_behind) == (["recorded"], False)


async def test_a_long_log_is_read_page_by_page(monkeypatch):
    monkeypatch.setattr("hubbub.hub.control.orders.PAGE", 3)
    async with Street() as street:
        left = await street.add()
        for number in range(10):
            await left.control.orders.record("note", Note(str(number)), str(number))
        right = await street.add()
        found = notes(right)
        right.control.orders.position = None
        await right.control.catch_up()
        assert sorted(found, key=int) == [str(number) for number in range(10)]


async def test_a_log_that_is_lost_while_it_is_read_is_read_again(monkeypatch):
    monkeypatch.setattr("hubbub.hub.control.orders.PAGE", 1)
    async with Street() as street:
        left = await street.add()
        for number in range(4):
            await left.control.orders.record("note", Note(f"old {number}"), str(number))
        right = await street.add()
        found = []

        def first_one(note, _at):
            found.append(note.text)
            if len(found) == 1:
                street.streams.lose()

        right.control.orders.on("note", Note, first_one)
        right.control.orders.position = None
        await right.control.catch_up()
        await left.control.orders.record("note", Note("new"), "new")
        assert (found[0], found[-1]) == ("old 3", "new")
        assert right.control.orders.position.offset == 1


async def test_an_order_that_nobody_knows_is_skipped_and_logged_once(caplog):
    async with Street() as street:
        left, right = await street.two()
        found = notes(right)
        for number in range(3):
            await say(street, "conquer", b'{"by":"dawn"}', kind=Kind.MESSAGE, number=number)
        await left.control.orders.tell("note", Note("after"))
        assert found == ["after"]
        assert caplog.text.count("'conquer'") == 2, "once for each node"
        assert right.control.orders.position.offset == 3


@pytest.mark.parametrize(
    "data", [b'{"txt":1}', b'{"text":5}', b"[]", b"null", b"nonsense", b"[" * 100_000, b""]
)
async def test_an_order_that_cannot_be_read_is_skipped_and_logged(caplog, data):
    async with Street() as street:
        left = await street.add()
        found = notes(left)
        await say(street, "note", data)
        await left.control.orders.tell("note", Note("after"))
        assert found == ["after"]
        assert "was skipped" in caplog.text


async def test_fields_of_a_newer_version_are_passed_over():
    async with Street() as street:
        left = await street.add()
        found = notes(left)
        await say(street, "note", b'{"text":"hi","colour":"red"}')
        assert found == ["hi"]


async def test_one_that_fails_holds_nothing_up(caplog):
    async with Street() as street:
        left = await street.add()
        left.control.orders.on("note", Note, lambda note, _: 1 / note.more)
        await left.control.orders.record("note", Note("x"), "x")
        assert left.control.orders.position.offset == 1
        assert "could not be carried out" in caplog.text
