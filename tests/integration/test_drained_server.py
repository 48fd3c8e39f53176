"""A stop under traffic: who is told what, in which order, and what reaches them until their Close."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from members import Member, connected, fresh
from raw_socket import raw
from serving import application, bearer, hubbub_serve
from websockets.exceptions import ConnectionClosed

CLIENTS = 240
GENTLE = 100
"""Clients a second, where the time suffices for them."""


@dataclass
class Watch:
    """What one client saw."""

    contents: list[str] = field(default_factory=list)
    after: float = 0.0
    told_at: float = 0.0
    told_behind: int = 0
    """How many publications it had seen when it was told."""
    code: int | None = None
    closed_at: float = 0.0

    @property
    def returns_at(self) -> float:
        return self.told_at + self.after


async def watch(member: Member) -> Watch:
    """Listen until the Close."""
    seen = Watch()
    try:
        while True:
            message: dict[str, Any] = json.loads(await member.connection.recv())
            if message["type"] == "message":
                seen.contents.append(message["content"])
            elif message["type"] == "reconnect":
                assert not seen.told_at, "told twice"
                seen.told_at, seen.after = time.monotonic(), message["after"]
                seen.told_behind = len(seen.contents)
    except ConnectionClosed as closed:
        seen.code, seen.closed_at = None if closed.rcvd is None else closed.rcvd.code, time.monotonic()
    return seen


async def talk(speaker: Member, room: str) -> int:
    """Say `0`, `1` and so on until the connection ends; return how many were acknowledged."""
    said = 0
    try:
        while True:
            await speaker.ask({"type": "message", "room_id": room, "content": str(said)})
            said += 1
            await asyncio.sleep(0.05)  # a pace; nothing waits for it
    except ConnectionClosed:
        return said


async def test_everybody_is_sent_away_in_slots_and_hears_everything_until_their_close(tmp_path):
    room = fresh("room")
    with hubbub_serve(tmp_path, DRAIN_TIME="10s", MESSAGE_RATE="0", LOG_FORMAT="console") as serving:
        async with AsyncExitStack() as stack:
            members = [
                await stack.enter_async_context(connected(serving, fresh("member"))) for _ in range(CLIENTS)
            ]
            speaker = await stack.enter_async_context(connected(serving, fresh("speaker")))
            for member in (*members, speaker):
                await member.join(room)
            watching = [asyncio.create_task(watch(member)) for member in members]
            talking = asyncio.create_task(talk(speaker, room))
            begun = time.monotonic()
            stopping = asyncio.create_task(serving.terminate())
            async with asyncio.timeout(20):
                seen = await asyncio.gather(*watching)
                said = await talking
                took = await stopping
        assert serving.process.returncode == 0
        assert serving.complaints() == []
        log = serving.said
    # The order, for each of them: told, then closed soon after the moment, then the end.
    assert {each.code for each in seen} == {1012}
    assert all(0 < each.after <= 1.2 for each in seen)
    assert all(each.returns_at <= each.closed_at < each.returns_at + 2 for each in seen)
    assert max(each.closed_at for each in seen) < begun + took
    # In batches, each at a moment of its own. That no second has more than the rate is shown with a clock that stands still;
    # here being told late, on a busy machine, moves the moments of a batch.
    moments = sorted(each.returns_at for each in seen)
    most = max(sum(1 for other in moments[index:] if other < each + 1) for index, each in enumerate(moments))
    assert most < CLIENTS * 0.8
    assert moments[-1] - moments[0] > CLIENTS / GENTLE * 0.75
    assert len({each.after for each in seen}) > CLIENTS / 10
    # What was published meanwhile reached them, without a hole.
    for each in seen:
        assert each.contents == [str(number) for number in range(len(each.contents))]
    assert said > 0
    assert any(len(each.contents) > each.told_behind for each in seen)
    # The log tells how it goes.
    assert f"Draining: {CLIENTS + 1} connections, over 2.41 s, {GENTLE} a second." in log
    assert log.index("Draining: ") < log.index("Drained after ") < log.index("Shutting down")


async def test_those_who_come_too_late_are_told_too(tmp_path):
    with hubbub_serve(tmp_path, DRAIN_TIME="20s") as serving:
        async with connected(serving, fresh("ada")) as ada, raw(serving.port) as late:
            stopping = asyncio.create_task(serving.terminate())
            await ada.expect("reconnect")
            await late.say({"type": "auth", "token": bearer(fresh("late"))["Authorization"].split()[1]})
            assert 0 < (await late.expect("reconnect"))["after"] < 2
            close = await late.expect_close()
            assert (close.close_code, close.reason) == (1012, "The server is restarting")
            assert await stopping < 10
        assert serving.complaints() == []


async def test_uvicorn_alone_waits_for_a_drain(tmp_path):
    with application("rooms", tmp_path, "--ws", "hubbub.uvicorn:DirectWebSocket") as serving:
        async with connected(serving, "ada") as ada, connected(serving, "bob") as bob:
            await ada.join("general")
            await bob.join("general")
            stopping = asyncio.create_task(serving.terminate())
            told = [(await each.expect("reconnect"))["after"] for each in (ada, bob)]
            assert len(set(told)) == 2
            await ada.say("general", "still here")
            assert (await bob.expect("message"))["content"] == "still here"
            for each in (ada, bob):
                assert (await each.expect_close())[0] == 1012
            assert await stopping < 6
        assert serving.complaints() == []
