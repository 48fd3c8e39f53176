"""Connections that end without a word, and who the others believe is there meanwhile."""

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from members import Witness, bystander, connected, fresh
from raw_socket import Opcode, RawSocket, frame, raw, text
from serving import FOLDER, Serving, application, bearer, eventually, hubbub_serve, token

HEARTBEAT = 1.0
GRACE = 1.0
SLACK = 1.5
"""Seconds for the sweep, which is twice a second, and for a machine with other things to do."""


@pytest.fixture(scope="module")
def lively(tmp_path_factory):
    """A server with a short heartbeat and grace."""
    folder = tmp_path_factory.mktemp("lively")
    settings = {"HEARTBEAT_INTERVAL": f"{HEARTBEAT:g}s", "PRESENCE_GRACE": f"{GRACE:g}s"}
    with hubbub_serve(folder, **settings) as serving:
        yield serving
        assert serving.complaints() == []


async def heard(witness: Witness, kind: str, user: str, within: float) -> float:
    """Wait until the listener hears this about a user; return how long it took."""
    begun = time.monotonic()
    await eventually(
        lambda: witness.of_type(kind, user=user), within=within, every=0.01, seen=lambda: witness.heard[-5:]
    )
    return time.monotonic() - begun


@asynccontextmanager
async def present(serving: Serving, witness: Witness, user: str) -> AsyncIterator[RawSocket]:
    """Join the witness's room with frames made by hand."""
    async with raw(serving.port, f"/ws/{witness.room}", headers=bearer(user)) as socket:
        await socket.expect("joined")
        # Who comes and goes within a tenth of a second is not told of at all.
        await eventually(
            lambda: witness.of_type("user_joined", user=user), every=0.01, seen=lambda: witness.heard[-5:]
        )
        yield socket


async def are_connected(serving: Serving, expected: int) -> None:
    """Wait until so many clients are connected."""

    async def reached() -> bool:
        return (await serving.counts())("hubbub_connections") == expected

    await eventually(reached)


@pytest.mark.parametrize(
    "end", [RawSocket.cut, RawSocket.close], ids=["a reset", "an end without a Close frame"]
)
async def test_a_lost_connection_leaves_the_room_after_the_grace_and_not_before(lively, end):
    user = fresh("ada")
    async with bystander(lively, fresh("room")) as witness, present(lively, witness, user) as socket:
        end(socket)
        assert await heard(witness, "user_left", user, GRACE + SLACK) > GRACE * 0.9
        await are_connected(lively, 2)
    assert [each["active_users"] for each in witness.of_type("user_joined", "user_left", user=user)] == [3, 2]


@pytest.mark.parametrize("payload", [b"\x03\xe8", b"", b"\x03\xe8bye"], ids=["1000", "no code", "1000 bye"])
async def test_whoever_says_goodbye_leaves_at_once(lively, payload):
    user = fresh("ada")
    async with bystander(lively, fresh("room")) as witness, present(lively, witness, user) as socket:
        await socket.send(frame(Opcode.CLOSE, payload))
        assert await heard(witness, "user_left", user, SLACK) < GRACE * 0.8
        assert (await socket.expect_close()).payload[:2] == payload[:2]


@pytest.mark.parametrize("code", [1001, 4999])
async def test_a_page_that_is_reloaded_has_the_grace_to_come_back(lively, code):
    user = fresh("ada")
    async with bystander(lively, fresh("room")) as witness:
        async with present(lively, witness, user) as socket:
            await socket.send(frame(Opcode.CLOSE, code.to_bytes(2, "big")))
            await socket.expect_close()
        async with present(lively, witness, user) as socket:
            await asyncio.sleep(GRACE + SLACK)
            assert len(witness.of_type("user_joined", "user_left", user=user)) == 1
            await socket.send(frame(Opcode.CLOSE, b"\x03\xe8"))
            await heard(witness, "user_left", user, SLACK)


async def test_cut_and_back_within_the_grace_nobody_notices_and_nothing_is_lost(lively):
    user = fresh("ada")
    async with bystander(lively, fresh("room")) as witness:
        since = None
        received: list[int] = []
        for _ in range(5):
            async with raw(lively.port, headers=bearer(user)) as socket:
                join = {"type": "join_room", "room_id": witness.room}
                await socket.say(join if since is None else {**join, "since": since})
                joined = await socket.expect("joined")
                assert joined.get("recovered") is (None if since is None else True)
                received += [each["offset"] for each in joined["messages"]]
                for _ in range(5):
                    message = await socket.expect("message")
                    received.append(message["offset"])
                since = {"epoch": joined["epoch"], "offset": message["offset"], "id": message["id"]}
                socket.cut()
            # Away for part of the grace, while the others talk on.
            said = len(witness.heard)
            await eventually(lambda said=said: len(witness.heard) > said + 5)
        assert len(witness.of_type("user_joined", user=user)) == 1
        assert witness.of_type("user_left", user=user) == []
        assert received == list(range(received[0], received[-1] + 1))
        await heard(witness, "user_left", user, GRACE + SLACK)
    assert len(witness.of_type("user_left", user=user)) == 1


async def test_two_devices_are_one_user(lively):
    user = fresh("ada")
    async with bystander(lively, fresh("room")) as witness, connected(lively, fresh("bob")) as bob:
        await bob.join(witness.room)
        async with present(lively, witness, user) as phone:
            joined = await bob.expect("user_joined", user_id=user)
            async with present(lively, witness, user) as laptop:
                async with connected(lively, user) as tablet:
                    assert (await tablet.join(witness.room))["active_users"] == joined["active_users"]
                # One said goodbye, one is cut: the third still holds the user in the room.
                laptop.cut()
                await asyncio.sleep(GRACE + SLACK)
                assert witness.of_type("user_left", user=user) == []
                roster = await bob.ask({"type": "presence", "channel": f"room:{witness.room}"})
                assert roster["members"].count(user) == 1
            phone.close()
            await heard(witness, "user_left", user, GRACE + SLACK)
        roster = await bob.ask({"type": "presence", "channel": f"room:{witness.room}"})
        assert user not in roster["members"]
    assert len(witness.of_type("user_joined", user=user)) == 1
    assert len(witness.of_type("user_left", user=user)) == 1


async def test_messages_to_a_user_reach_each_device_and_the_one_that_was_away(lively):
    user = fresh("ada")
    server = bearer("billing", scope="server")

    async def publish(number: int) -> None:
        body = {"event": "paid", "data": {"number": number}}
        response = await lively.request("POST", f"/api/v1/publish/user:{user}", headers=server, json=body)
        assert response.status_code == 200, response.text

    async with connected(lively, user) as phone, connected(lively, user, welcome=False) as laptop:
        welcome = await laptop.expect("welcome")
        await publish(1)
        for device in (phone, laptop):
            assert (await device.expect("event"))["data"] == {"number": 1}
    await publish(2)
    async with connected(lively, user) as phone:
        since = {"epoch": welcome["epoch"], "offset": welcome["offset"]}
        answer = await phone.ask({"type": "subscribe", "channel": f"user:{user}", "since": since})
        assert answer["type"] == "ack"
    async with connected(lively, user) as phone:
        await phone.send({"type": "subscribe", "channel": f"user:{user}", "since": since})
        subscribed = await phone.expect("subscribed")
        assert subscribed["recovered"] is True
        assert [each["data"]["number"] for each in subscribed["messages"]] == [1, 2]


async def test_a_client_that_answers_nothing_is_gone_within_two_heartbeats(lively):
    user = fresh("silent")
    async with bystander(lively, fresh("room")) as witness, present(lively, witness, user) as socket:
        begun = time.monotonic()
        closed = await socket.expect_close(2 * HEARTBEAT + SLACK)
        assert closed.close_code == 1011
        assert time.monotonic() - begun < 2 * HEARTBEAT + SLACK
        await heard(witness, "user_left", user, GRACE + SLACK)


async def test_a_client_that_only_answers_native_pings_stays(lively):
    user = fresh("quiet")
    async with bystander(lively, fresh("room")) as witness, present(lively, witness, user) as socket:
        asked = {"json": 0, "native": 0}
        end = time.monotonic() + 4 * HEARTBEAT
        while time.monotonic() < end:
            received = await socket.receive()
            assert received.opcode is not Opcode.CLOSE
            asked["json"] += b'"type":"ping"' in received.payload
            if received.opcode is Opcode.PING:
                asked["native"] += 1
                await socket.send(frame(Opcode.PONG, received.payload))
        assert asked["native"] >= 2
        assert asked["json"] >= 2
    assert witness.of_type("user_left", user=user) == []


async def test_a_client_that_only_sends_messages_stays(lively):
    user = fresh("chatty")
    async with bystander(lively, fresh("room")) as witness, present(lively, witness, user) as socket:
        end = time.monotonic() + 5 * HEARTBEAT
        while time.monotonic() < end:
            received = await socket.receive()
            assert received.opcode is not Opcode.CLOSE
            if b'"type":"ping"' in received.payload:
                await socket.send(text({"type": "pong"}))


async def test_a_process_that_hangs_is_gone_within_two_heartbeats(lively):
    """Its kernel still acknowledges every segment, as that of a phone behind a proxy would."""
    user = fresh("frozen")
    async with bystander(lively, fresh("room")) as witness:
        url = f"ws://127.0.0.1:{lively.port}/ws/{witness.room}"
        guest = await asyncio.create_subprocess_exec(
            sys.executable,
            str(FOLDER / "apps" / "guest.py"),
            url,
            token(user),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(20):
                assert await guest.stdout.readline() == b"joined\n"
            guest.send_signal(signal.SIGSTOP)
            took = await heard(witness, "user_left", user, 2 * HEARTBEAT + GRACE + SLACK)
            assert took > GRACE * 0.9
            await are_connected(lively, 2)
        finally:
            guest.kill()
            await guest.wait()


async def test_a_client_that_does_not_answer_the_close_is_forgotten_at_once(lively):
    user = fresh("rude")
    async with bystander(lively, fresh("room")) as witness, present(lively, witness, user) as socket:
        await socket.send(frame(Opcode.BINARY, b"x"))
        while (await socket.receive()).opcode is not Opcode.CLOSE:
            pass
        await are_connected(lively, 2)
        said = text({"type": "message", "content": "after the close"})
        await socket.send(said * 10)
        await heard(witness, "user_left", user, SLACK)
    assert "after the close" not in {each.get("content") for each in witness.heard}


async def test_a_user_without_connections_is_offline_once(tmp_path):
    with application("rooms", tmp_path, HUB='{"presence_grace": 0.5}') as serving:
        user = fresh("ada")
        async with connected(serving, user) as phone:
            async with raw(serving.port, headers=bearer(user)) as laptop:
                await laptop.expect("welcome")
                laptop.cut()
            assert (await serving.get(f"/online/{user}")).json() is True
            assert (await phone.ask({"type": "ping"}))["type"] == "ack"

        async def offline() -> list[str]:
            return (await serving.get("/offline")).json()

        assert await eventually(offline) == [user]
        assert (await serving.get(f"/online/{user}")).json() is False
        async with raw(serving.port, headers=bearer(user)) as laptop:
            await laptop.expect("welcome")
            laptop.cut()
        # Back within the grace: not offline, so not told.
        async with connected(serving, user):
            assert await offline() == [user]

        async def twice() -> bool:
            return await offline() == [user, user]

        await eventually(twice)
        assert serving.complaints() == []
