"""Limits that an operator set: who is over one is told, and those who are in stay in."""

from contextlib import AsyncExitStack

import pytest
from members import bystander, connected, fresh
from raw_socket import raw
from serving import bearer, eventually, hubbub_serve


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strict")
    (folder / "hubbub.toml").write_text("[namespaces.room]\nmax_message_bytes = 100\n")
    with hubbub_serve(
        folder,
        MAX_CONNECTIONS="8",
        MAX_CONNECTIONS_PER_USER="2",
        MAX_SUBSCRIPTIONS="3",
        MAX_MESSAGE_BYTES="1000",
    ) as serving:
        yield serving
        assert serving.complaints() == []


async def test_a_client_may_be_on_so_many_channels_and_no_more(strict):
    async with connected(strict, fresh("collector")) as collector:
        for number in range(3):
            assert (await collector.ask({"type": "subscribe", "channel": f"topic:{number}"}))["type"] == "ack"
        error = await collector.ask({"type": "subscribe", "channel": "topic:3"})
        assert (error["type"], error["code"]) == ("error", "limit_exceeded")
        # One that it is on already takes no more room, and one that it left makes some.
        assert (await collector.ask({"type": "subscribe", "channel": "topic:2"}))["type"] == "ack"
        assert (await collector.ask({"type": "unsubscribe", "channel": "topic:0"}))["type"] == "ack"
        assert (await collector.ask({"type": "subscribe", "channel": "topic:3"}))["type"] == "ack"


async def test_data_over_the_namespaces_size_is_refused(strict):
    room = fresh("room")
    async with bystander(strict, room), connected(strict, fresh("ada")) as ada:
        await ada.join(room)
        fitting = 100 - len('{"content":""}')
        for size, answer in ((fitting, "ack"), (fitting + 1, "error")):
            replied = await ada.ask({"type": "message", "room_id": room, "content": "x" * size})
            assert replied["type"] == answer
        assert replied["code"] == "too_large"


async def test_a_message_at_the_size_is_taken_and_one_over_it_closes(strict):
    room = fresh("room")
    async with bystander(strict, room), connected(strict, fresh("ada")) as ada:
        await ada.join(room)
        base = len('{"type":"ping","x":""}')
        await ada.connection.send('{"type":"ping","x":"' + "y" * (1000 - base) + '"}')
        await ada.expect("pong")
        await ada.connection.send('{"type":"ping","x":"' + "y" * (1001 - base) + '"}')
        assert (await ada.expect_close())[0] == 1009


async def test_a_user_with_too_many_connections_is_told_and_keeps_the_others(strict):
    user, room = fresh("user"), fresh("room")
    async with bystander(strict, room), connected(strict, user) as first, connected(strict, user) as second:
        async with connected(strict, user, welcome=False) as third:
            assert (await third.receive())["code"] == "limit_exceeded"
            assert await third.expect_close() == (1008, "Too many connections")
        for device in (first, second):
            assert (await device.ask({"type": "ping"}))["type"] == "ack"
    counts = await strict.counts()
    assert counts("hubbub_connections_refused_total", code="limit_exceeded") >= 1


async def test_a_full_server_asks_to_try_again_later_and_lets_in_when_somebody_left(strict):
    async def is_empty() -> bool:
        return (await strict.counts())("hubbub_connections") == 0

    await eventually(is_empty)
    room = fresh("room")
    async with bystander(strict, room), AsyncExitStack() as guests:
        # Who has yet to say who they are counts too, or silence would fill the server.
        for _ in range(3):
            await guests.enter_async_context(raw(strict.port))
        for _ in range(3):
            guest = await guests.enter_async_context(raw(strict.port, headers=bearer(fresh("guest"))))
            await guest.expect("welcome")
        async with connected(strict, fresh("late"), welcome=False) as late:
            assert (await late.receive())["code"] == "limit_exceeded"
            assert await late.expect_close() == (1013, "Server full")
        await guests.aclose()

        async def has_room() -> bool:
            async with connected(strict, fresh("late"), welcome=False) as late:
                return (await late.receive())["type"] == "welcome"

        await eventually(has_room)


async def test_where_one_connection_a_user_is_allowed_a_new_one_replaces_the_old(tmp_path):
    with hubbub_serve(tmp_path, CONNECTIONS_PER_USER_POLICY="replace") as serving:
        user, room = fresh("user"), fresh("room")
        async with bystander(serving, room) as witness, connected(serving, user) as old:
            await old.join(room)
            async with connected(serving, user) as new:
                assert await old.expect_close() == (1000, "Replaced by new connection")
                await new.join(room)
                assert (await new.ask({"type": "message", "room_id": room, "content": "hi"}))["type"] == "ack"
        said = [each["content"] for each in witness.of_type("message", user=user)]
        assert said == ["hi"]
