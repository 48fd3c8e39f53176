"""SIGTERM while everybody is connected, and what clients find when they come back."""

import asyncio
import signal
import time
from contextlib import AsyncExitStack

import pytest
from members import connected, fresh
from raw_socket import Opcode, RawSocket, frame, raw
from serving import application, bearer, hubbub_serve

DRAIN = 2.0


async def test_a_stop_tells_everybody_to_come_back_and_ends_in_time_with_0(tmp_path):
    with hubbub_serve(tmp_path, DRAIN_TIME=f"{DRAIN:g}s") as serving:
        async with AsyncExitStack() as stack:
            members = [
                await stack.enter_async_context(connected(serving, fresh("member"))) for _ in range(20)
            ]
            for member in members:
                await member.join("general")
            begun = time.monotonic()
            stopping = asyncio.create_task(serving.terminate())
            for member in members:
                code, reason = await member.expect_close()
                assert (code, reason) == (1012, "The server is restarting")
            took = await stopping
            assert took < DRAIN + 3
            assert time.monotonic() - begun < DRAIN + 4
        assert serving.process.returncode == 0
        assert serving.complaints() == []


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
async def test_those_who_do_not_cooperate_cannot_hold_up_a_stop(tmp_path, signal_number):
    with hubbub_serve(tmp_path, DRAIN_TIME=f"{DRAIN:g}s", MESSAGE_RATE="0") as serving:
        async with AsyncExitStack() as stack:

            async def visitor(path: str = "/ws/general", **options) -> RawSocket:
                return await stack.enter_async_context(
                    raw(serving.port, path, headers=bearer(fresh("visitor")), **options)
                )

            rude = await visitor()
            await rude.expect("joined")
            in_a_message = await visitor()
            await in_a_message.send(frame(Opcode.TEXT, b'{"type":', final=False))
            stack.callback((half_a_handshake := await RawSocket.connect(serving.port)).close)
            await half_a_handshake.send(b"GET /ws HTTP/1.1\r\nHost: x\r\n")
            await stack.enter_async_context(raw(serving.port))  # never says who it is
            asleep = await visitor(receive_buffer=4096)
            await asleep.expect("joined")
            publisher = await stack.enter_async_context(connected(serving, fresh("publisher")))
            await publisher.join("general")
            for _ in range(20):
                await publisher.ask({"type": "message", "room_id": "general", "content": "x" * 60_000})

            begun = time.monotonic()
            serving.process.send_signal(signal_number)
            assert await asyncio.to_thread(serving.process.wait, DRAIN + 10) == 0
            assert time.monotonic() - begun < DRAIN + 5


async def test_after_a_restart_the_stream_is_another_and_clients_are_told(tmp_path):
    with hubbub_serve(tmp_path) as first:
        async with connected(first, "ada") as ada, connected(first, "bob") as bob:
            before = await ada.join("general")
            await bob.join("general")
            await bob.say("general", "before the restart")
            seen = await ada.expect("message")
            stopping = asyncio.create_task(first.terminate())
            assert (await ada.expect_close())[0] == 1012
            await stopping
    since = {"epoch": before["epoch"], "offset": seen["offset"], "id": seen["id"]}

    with hubbub_serve(tmp_path, first.port) as second:
        # The secret is the same, so the tokens still hold.
        async with connected(second, "ada") as ada, connected(second, "bob") as bob:
            joined = await ada.join("general", since=since)
            assert joined["epoch"] != before["epoch"]
            assert (joined["recovered"], joined["messages"], joined["offset"]) == (False, [], 0)
            # The user's own channel begins anew as well.
            answer = await ada.ask({"type": "history", "channel": "user:ada"})
            assert (answer["epoch"], answer["offset"]) == (joined["epoch"], 0)
            assert (await bob.join("general"))["members"] == ["ada", "bob"]
            await bob.say("general", "after the restart")
            assert (await ada.expect("message"))["offset"] == 1
            again = await ada.join("general", since={"epoch": joined["epoch"], "offset": 0})
            assert again["recovered"] is True
            assert [each["content"] for each in again["messages"]] == ["after the restart"]


async def test_a_server_that_was_killed_leaves_nothing_in_the_way_of_the_next(tmp_path):
    with hubbub_serve(tmp_path) as first:
        async with connected(first, "ada") as ada:
            await ada.join("general")
            first.process.kill()
            await asyncio.to_thread(first.process.wait, 10)
            assert await ada.expect_close() == (None, "")
    with hubbub_serve(tmp_path, first.port) as second:
        async with connected(second, "bob") as bob:
            assert (await bob.join("general"))["members"] == ["bob"]


async def test_plain_uvicorn_tells_them_too(tmp_path):
    with application("rooms", tmp_path, "--timeout-graceful-shutdown", "3") as serving:
        async with connected(serving, "ada") as ada, connected(serving, "bob") as bob:
            for member in (ada, bob):
                await member.join("general")
            stopping = asyncio.create_task(serving.terminate())
            for member in (ada, bob):
                assert (await member.expect_close())[0] == 1012
            assert await stopping < 6
        assert serving.complaints() == []
