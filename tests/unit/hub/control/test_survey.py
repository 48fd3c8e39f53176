"""Every node is asked, and an answer that is missing is told."""

import asyncio
import logging

import msgspec
import pytest
from neighbours import Street
from stage import turns

from hubbub.exceptions import LimitExceeded, PublishError
from hubbub.hub.control.survey import AT_ONCE, FOR_USERS


class Sum(msgspec.Struct):
    numbers: list[int]


class Total(msgspec.Struct):
    total: int


def can_add(*neighbours, off=0):
    for neighbour in neighbours:
        neighbour.control.surveys.on("add", Sum, lambda query: Total(sum(query.numbers) + off))


def ask(neighbour, *numbers, **options):
    return neighbour.control.surveys.ask("add", Sum(list(numbers)), Total, **options)


async def test_all_answer_and_nobody_waits_for_the_deadline():
    async with Street() as street:
        left, right = await street.two()
        can_add(left)
        can_add(right, off=100)
        survey = await ask(left, 1, 2)
        assert {node: found.total for node, found in survey.answers.items()} == {left.id: 3, right.id: 103}
        assert survey.unanswered == ()
        assert left.control.surveys._open == {}


async def test_a_node_that_is_stopped_is_named_at_the_deadline(caplog):
    async with Street() as street:
        left, right = await street.two()
        can_add(left, right)
        right.stop()
        survey = await street.after(2.2, ask(left, 1))
        assert survey.answers.keys() == {left.id}
        assert [state.name for state in survey.unanswered] == ["right"]
        assert right.id in caplog.text
        await right.wake()  # its answer comes too late, and harms nobody
        assert left.control.surveys._open == {}


async def test_a_node_that_says_it_stops_while_it_is_asked_is_named_too():
    async with Street() as street:
        left, right = await street.two()
        can_add(left, right)
        right.stop()
        task = asyncio.ensure_future(ask(left, 1))
        await turns()
        await right.control.peers.leave()
        await street.pass_time(2.2)
        assert [state.id for state in (await task).unanswered] == [right.id]


async def test_a_node_that_does_not_know_the_topic_is_named_without_waiting():
    async with Street() as street:
        left, right = await street.two()
        can_add(left)
        survey = await ask(left, 1)
        assert (survey.answers.keys(), [state.id for state in survey.unanswered]) == ({left.id}, [right.id])


async def test_a_node_that_fails_is_named_without_waiting(caplog):
    async with Street() as street:
        left, right = await street.two()
        can_add(left)
        right.control.surveys.on("add", Sum, lambda query: 1 / 0)
        survey = await ask(left, 1)
        assert [state.id for state in survey.unanswered] == [right.id]
        assert "could not be answered" in caplog.text


async def test_an_answer_that_cannot_be_read_is_none(caplog):
    async with Street() as street:
        left, right = await street.two()
        can_add(left)
        right.control.surveys.on("add", Sum, lambda query: Sum([1]))
        survey = await ask(left, 1)
        assert [state.id for state in survey.unanswered] == [right.id]
        assert "cannot be read" in caplog.text


async def test_a_node_that_has_just_started_waits_in_case_there_are_others():
    async with Street() as street:
        left = await street.add("left")
        right = await street.add("right")
        can_add(left, right)
        del right.control.peers._known[left.id]  # as if its answer to the greeting were lost
        left.stop()
        task = asyncio.ensure_future(ask(right, 1))
        await street.settle()
        assert not task.done()
        left.is_asleep = False
        left.node.wheel.turn()
        await left.control.peers.beat()
        await street.pass_time(2.2)
        survey = await task
        assert (survey.answers.keys(), [state.name for state in survey.unanswered]) == ({right.id}, ["left"])


async def test_a_broker_that_cannot_be_reached_is_an_error_at_once():
    async with Street() as street:
        left, _ = await street.two()
        left.cut()
        with pytest.raises(PublishError):
            await ask(left, 1)
        assert left.control.surveys._open == {}


async def test_what_users_ask_leaves_room_for_what_operators_ask():
    async with Street() as street:
        left, right = await street.two()
        can_add(left, right)
        right.stop()
        tasks = [asyncio.ensure_future(ask(left, number, for_user=True)) for number in range(FOR_USERS)]
        await asyncio.sleep(0)
        with pytest.raises(LimitExceeded):
            await ask(left, 0, for_user=True)
        tasks.append(asyncio.ensure_future(ask(left, 0)))
        await turns()
        await street.pass_time(2.2)
        assert len(await asyncio.gather(*tasks)) == FOR_USERS + 1


async def test_only_so_many_are_open_at_once(caplog):
    async with Street() as street:
        left, right = await street.two()
        can_add(left, right)
        right.stop()
        tasks = [asyncio.ensure_future(ask(left, number)) for number in range(AT_ONCE)]
        await asyncio.sleep(0)
        with pytest.raises(LimitExceeded):
            await ask(left, 0)
        await turns()
        with caplog.at_level(logging.WARNING):
            await street.pass_time(2.2)
        assert caplog.text.count("No answer") == 1
        surveys = await asyncio.gather(*tasks)
        assert {survey.answers[left.id].total for survey in surveys} == set(range(AT_ONCE))
        await right.wake()
        assert (await ask(left, 0)).unanswered == ()


async def test_one_that_is_cancelled_leaves_nothing():
    async with Street() as street:
        left, right = await street.two()
        right.stop()
        task = asyncio.ensure_future(ask(left, 1))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left.control.surveys._open == {}


async def test_a_node_that_stops_waits_for_no_answers():
    async with Street() as street:
        left, right = await street.two()
        can_add(left, right)
        right.stop()
        asking = asyncio.ensure_future(ask(left, 1))
        await turns()
        await street.end(left)
        assert [state.name for state in (await asking).unanswered] == ["right"]
        survey = await ask(left, 1)
        assert {state.name for state in survey.unanswered} == {"left", "right"}
