"""The direct outlet: a link in the place of a web server's protocol, on a transport that the test moves."""

import asyncio
import logging
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from application import UNLIMITED, Application, rooms
from taken import DEADLINE, Peer, Transport
from websockets.frames import Frame, Opcode

from hubbub import CloseCode, Forbidden, Identity, Limits
from hubbub.endpoints.direct import MESSAGES_AT_ONCE, Link
from hubbub.hub.audience import CROWD
from hubbub.hub.outlet import Pulse
from hubbub.testing import Closed, connect
from hubbub.types import UserId


@pytest.fixture(autouse=True)
def nothing_is_written_to_a_closed_socket() -> Iterator[None]:
    Transport.offences.clear()
    yield
    assert Transport.offences == []


def application(**options: Any) -> Application:
    return Application(**{"limits": UNLIMITED, **options})


async def member(app: Application, user: str = "ada", room: str = "a", **options: Any) -> Peer:
    peer = Peer(app, f"/ws/{room}", token=user, **options)
    return await peer.connect().admitted("welcome", "joined")


async def turns(number: int = 12) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def settle(app: Application) -> None:
    async with asyncio.timeout(DEADLINE):
        await app.node.background.settle()
        await turns()
        await app.node.background.settle()


async def assert_empty(app: Application) -> None:
    """Nothing of any connection is left."""
    await settle(app)
    node = app.node
    assert (len(node.connections), len(node.feeds), len(node.background)) == (0, 0, 0)
    assert node.connections._waiting == 0
    assert (node.turn._feeds, node.turn._outlets, node.turn._overflown) == ([], [], [])
    names = {task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()}
    assert names <= {"hubbub wheel"}


def slow_room(app: Application) -> tuple[asyncio.Event, asyncio.Event]:
    """Define rooms; whoever wants into the one named `slow` waits. The first event tells that, the second lets them in."""
    handle = rooms(app)
    inside, go_on = asyncio.Event(), asyncio.Event()

    @handle.authorize
    async def slow(channel: Any) -> bool:
        if channel.rest == "slow":
            inside.set()
            await go_on.wait()
        return True

    return inside, go_on


def link_of(peer: Peer) -> Link:
    assert peer.link is not None
    return peer.link


def session_of(peer: Peer) -> Any:
    (session,) = peer.application.node.connections.of_user(UserId("ada"))
    return session


class TestAdmission:
    async def test_the_task_ends_and_the_connection_lives(self):
        async with application() as app:
            rooms(app)
            before = asyncio.all_tasks()
            peer = await member(app)
            assert asyncio.all_tasks() == before
            assert peer.connections == {peer.link}
            assert app.hub.statistics.outlet == "direct"
            peer.send({"type": "ping"})
            await turns(2)
            assert peer.types() == ["pong"]

    async def test_welcome_and_joined_are_one_write(self):
        async with application() as app:
            rooms(app)
            peer = await member(app)
            assert len(peer.transport.writes) == 1

    async def test_a_first_message_says_who_it_is(self):
        async with application() as app:
            rooms(app)
            peer = Peer(app, "/ws/a", token=None).connect()
            await turns()
            assert peer.news() == []
            peer.send({"type": "auth", "token": "ada", "ref": 1}, {"type": "ping"}, {"type": "ping"})
            await peer.admitted("welcome", "ack", "joined", "pong", "pong")

    async def test_what_comes_before_it_is_admitted_is_kept_in_order(self):
        checking, go_on = asyncio.Event(), asyncio.Event()

        async def slow(token: str) -> Identity:
            checking.set()
            await go_on.wait()
            return Identity(UserId(token))

        async with application(authenticate=slow) as app:
            rooms(app)
            peer = Peer(app, "/ws/a").connect()
            await checking.wait()
            peer.say("1", "2")
            peer.say("3")
            peer.say("4")
            assert not peer.transport.reading
            go_on.set()
            assert peer.admission is not None
            await peer.admission
            await turns()
            assert peer.contents() == ["1", "2", "3", "4"]
            assert peer.transport.reading

    @pytest.mark.parametrize(
        ("first", "close"),
        [
            ({"type": "ping"}, (4001, "Invalid token")),
            ("nonsense", (4001, "Invalid token")),
            ({"type": "auth", "token": "bad"}, (4001, "Invalid token")),
            (b"binary", (1003, "Binary frames are not supported")),
            ("x" * 2000, (1009, "Message is too big")),
        ],
    )
    async def test_a_first_message_that_says_nothing(self, first, close):
        async with application(limits=Limits(message_bytes=1000)) as app:
            peer = Peer(app, token=None).connect()
            await turns()
            peer.send(first)
            await peer.admitted("error")
            assert peer.closed == close
            assert sum(app.hub.statistics.refused_connections.values()) == 1
            peer.transport.arrive(peer.answer)
            if close[0] == 1009:  # of such a peer nothing more is read
                await app.pass_time(1.2)
            await turns()
            assert peer.transport.lost
            await assert_empty(app)

    async def test_none_in_time(self):
        async with application(auth_deadline=0.01) as app:
            peer = Peer(app, token=None).connect()
            await peer.admitted("error")
            assert peer.closed == (4001, "Invalid token")
            await app.pass_time(1.2)  # and no answer to the Close
            await turns()
            assert peer.transport.lost
            await assert_empty(app)

    async def test_turned_away_and_stalled_it_is_cut_off(self):
        async with application(limits=Limits(connections=1)) as app:
            rooms(app)
            await member(app)
            peer = Peer(app, token="bob", bound=10)
            peer.transport.stalled = True
            assert peer.connect().admission is not None
            async with asyncio.timeout(DEADLINE):
                await peer.admission
            await app.pass_time(1.2)
            await turns()
            assert peer.transport.aborted
            assert len(app.node.connections) == 1

    async def test_what_is_said_after_it_was_turned_away_is_passed_over(self):
        async with application(limits=Limits(connections=1)) as app:
            await member_without_room(app)
            peer = Peer(app, token="bob").connect()
            await peer.admitted("error")
            assert peer.closed == (1013, "Server full")
            writes = len(peer.transport.writes)
            peer.transport.arrive(Frame(Opcode.PING, b"?").serialize(mask=True))
            peer.transport.arrive(Frame(Opcode.TEXT, b'{"type":"ping"}').serialize(mask=True))
            await turns()
            assert len(peer.transport.writes) == writes


async def member_without_room(app: Application, user: str = "ada", **options: Any) -> Peer:
    return await Peer(app, token=user, **options).connect().admitted("welcome")


class TestCommands:
    async def test_carried_out_as_they_arrive_and_answered_in_one_write(self):
        async with application() as app:
            rooms(app)
            peer = await member(app)
            writes = len(peer.transport.writes)
            peer.say("hi", ref=True)
            assert len(peer.transport.writes) == writes
            await turns(2)
            assert len(peer.transport.writes) == writes + 1
            assert sorted(peer.types()) == ["ack", "message"]

    async def test_many_of_one_chunk_are_one_write_too(self):
        async with application() as app:
            rooms(app)
            ada, bob = await member(app), await member(app, "bob")
            ada.end_turn()
            ada.news()
            writes = [len(peer.transport.writes) for peer in (ada, bob)]
            ada.say(*"12345")
            await turns(2)
            assert [len(peer.transport.writes) for peer in (ada, bob)] == [each + 1 for each in writes]
            assert ada.contents() == bob.contents() == list("12345")

    async def test_one_that_waits_holds_up_the_later_ones(self):
        async with application() as app:
            inside, go_on = slow_room(app)
            peer = await member(app)
            peer.send(
                {"type": "message", "room_id": "a", "content": "before"},
                {"type": "join_room", "room_id": "slow"},
                {"type": "message", "room_id": "slow", "content": "after it"},
            )
            await inside.wait()
            assert peer.transport.reading  # nothing more has come yet
            peer.say("second chunk")
            peer.say("third chunk")
            await turns()
            assert not peer.transport.reading
            assert peer.contents() == ["before"]
            go_on.set()
            await settle(app)
            assert [message.get("content", "joined") for message in peer.news()] == [
                "joined",
                "after it",
                "second chunk",
                "third chunk",
            ]
            assert peer.transport.reading

    async def test_a_hook_that_hangs_is_given_up_wherever_it_was_begun(self):
        async with application(hook_timeout=0.01) as app:
            handle = rooms(app)

            @handle.authorize
            async def hangs(channel: Any) -> bool:
                if channel.rest == "hangs":
                    await asyncio.Event().wait()
                return True

            # The first is read by the task that admits it, the second where the transport calls.
            peer = Peer(app, "/ws/a", token=None).connect()
            await turns()
            join = {"type": "join_room", "room_id": "hangs", "ref": 1}
            peer.send({"type": "auth", "token": "ada"}, join)
            await peer.admitted("welcome", "joined")
            await settle(app)
            assert peer.types() == ["error"]
            peer.send(join)
            await settle(app)
            assert peer.types() == ["error"]
            peer.send({"type": "ping"})
            await turns(2)
            assert peer.types() == ["pong"]

    async def test_one_that_fails_is_told_and_the_next_is_carried_out(self, caplog):
        async with application() as app:
            handle = rooms(app)

            @handle.authorize
            async def hook(channel: Any) -> bool:
                if channel.rest == "broken":
                    raise ValueError("of the application")
                if channel.rest == "later":
                    await asyncio.sleep(0)
                    raise Forbidden("no")
                return True

            peer = await member(app)
            with caplog.at_level(logging.CRITICAL):
                peer.send(
                    {"type": "join_room", "room_id": "broken"},
                    {"type": "join_room", "room_id": "later"},
                    {"type": "ping"},
                )
                await settle(app)
            news = peer.news()
            assert [message.get("code", "pong") for message in news] == ["internal", "forbidden", "pong"]

    async def test_a_flood_in_one_chunk_lets_others_have_their_turn(self):
        async with application() as app:
            rooms(app)
            ada, bob = await member(app), await member(app, "bob")
            await turns(2)
            ada.news()
            number = 300
            ada.send(*({"type": "ping", "ref": each} for each in range(number)))
            bob.send({"type": "ping"})
            turn = 0
            answered: list[int] = []
            held_back: list[bool] = []
            others: list[str] = []
            while len(answered) < number:
                await asyncio.sleep(0)
                turn += 1
                refs = [message["ref"] for message in ada.news() if message["type"] == "ack"]
                assert len(refs) <= MESSAGES_AT_ONCE
                answered += refs
                others += bob.types()
                assert bool(others) >= (turn > 1)
                assert turn < 20
                held_back.append(not ada.transport.reading)
            assert any(held_back), "what has come is carried out before more is taken"
            assert ada.transport.reading
            assert answered == list(range(number))
            assert others == ["pong"]

    async def test_what_arrives_during_a_flood_comes_behind_it(self):
        async with application() as app:
            rooms(app)
            peer = await member(app)
            peer.send(*({"type": "ping", "ref": each} for each in range(200)))
            peer.send(*({"type": "ping", "ref": each} for each in range(200, 210)))
            await turns()
            assert [m["ref"] for m in peer.news() if m["type"] == "ack"] == list(range(210))

    @pytest.mark.parametrize("number", [MESSAGES_AT_ONCE - 1, MESSAGES_AT_ONCE, MESSAGES_AT_ONCE + 1])
    async def test_a_flood_before_one_that_waits(self, number):
        async with application() as app:
            inside, go_on = slow_room(app)
            peer = await member(app)
            peer.send(
                *({"type": "ping"} for _ in range(number)),
                {"type": "join_room", "room_id": "slow"},
                {"type": "ping", "ref": "behind it"},
            )
            peer.send({"type": "ping"})  # in the same turn
            await inside.wait()
            await turns()
            assert peer.types() == ["pong"] * number
            go_on.set()
            await settle(app)
            assert peer.types() == ["joined", "pong", "ack", "pong"]

    async def test_a_flood_that_makes_it_slow(self):
        async with application() as app:
            peer = await member_without_room(app, bound=100)
            peer.transport.stalled = True
            peer.send(*({"type": "ping", "ref": each} for each in range(300)))
            await turns(20)
            assert session_of(peer).slow
            assert app.hub.statistics.commands == MESSAGES_AT_ONCE
            peer.transport.take()
            await settle(app)
            assert [m["ref"] for m in peer.news() if m["type"] == "ack"] == list(range(300))

    async def test_of_a_client_that_has_gone_nothing_more_is_read(self):
        async with application() as app:
            rooms(app)
            peer = await member(app)
            peer.send(*({"type": "ping"} for _ in range(1000)))
            await asyncio.sleep(0)
            peer.transport.lose()
            carried_out = app.hub.statistics.commands
            await turns(20)
            assert app.hub.statistics.commands == carried_out < 1000
            assert link_of(peer)._reader.read() is not None, "there was more"

    async def test_two_that_wait_at_the_end_of_a_full_turn(self):
        async with application() as app:
            handle = rooms(app)
            inside, most, go_on = [0], [0], asyncio.Event()

            @handle.authorize
            async def slow(channel: Any) -> bool:
                if channel.rest != "a":
                    inside[0] += 1
                    most[0] = max(most)
                    most.append(inside[0])
                    await go_on.wait()
                    inside[0] -= 1
                return True

            peer = await member(app)
            for number in range(4):
                peer.send(
                    *({"type": "ping"} for _ in range(MESSAGES_AT_ONCE - 1)),
                    {"type": "join_room", "room_id": f"slow {number}"},
                )
            await turns(30)
            assert inside == [1]
            go_on.set()
            await settle(app)
            assert max(most) == 1
            assert [m["room_id"] for m in peer.news() if m["type"] == "joined"] == [
                f"slow {number}" for number in range(4)
            ]

    async def test_a_connection_lost_during_a_flood(self):
        async with application() as app:
            rooms(app)
            peer = await member(app)
            peer.send(*({"type": "ping"} for _ in range(300)))
            peer.send({"type": "ping"})
            peer.transport.lose()
            await assert_empty(app)

    @pytest.mark.parametrize("size", [1, 2, 7, 1000])
    async def test_in_whatever_slices_it_arrives(self, size):
        async with application() as app:
            rooms(app)
            peer = await member(app)
            data = peer.frames(
                *({"type": "message", "room_id": "a", "content": c * 50} for c in "äb😀"),
                lambda protocol: protocol.send_ping(b"?"),
            )
            for start in range(0, len(data), size):
                peer.transport.arrive(data[start : start + size])
            await turns(2)
            assert peer.contents() == [c * 50 for c in "äb😀"]
            assert peer.pongs == [b"?"]

    async def test_a_message_in_fragments_with_a_ping_in_between(self):
        async with application() as app:
            rooms(app)
            peer = await member(app)
            for frame in (
                Frame(Opcode.TEXT, b'{"type":"ping",', fin=False),
                Frame(Opcode.PING, b"in between"),
                Frame(Opcode.CONT, b'"ref":1}', fin=True),
            ):
                peer.transport.arrive(frame.serialize(mask=True))
            await turns(2)
            assert peer.types() == ["pong", "ack"]
            assert peer.pongs == [b"in between"]

    async def test_compressed_in_both_directions(self):
        async with application() as app:
            rooms(app)
            ada, bob = await member(app, window_bits=12), await member(app, "bob")
            await turns(2)
            ada.news()
            ada.say("x" * 1000, "short")
            await turns(2)
            assert len(b"".join(ada.transport.writes[2:])) < 1200
            assert ada.contents() == bob.contents() == ["x" * 1000, "short"]


class TestControl:
    async def test_a_ping_is_answered_with_its_payload(self):
        async with application() as app:
            peer = await member_without_room(app)
            peer.send(lambda protocol: protocol.send_ping(b"1"), lambda protocol: protocol.send_ping(b"2"))
            await turns(2)
            assert peer.news() == []
            assert peer.pongs == [b"1", b"2"]

    @pytest.mark.parametrize("code", [None, 1000, 1001, 4000])
    async def test_a_goodbye_is_answered_and_the_socket_closed(self, code):
        async with application(presence_grace=5) as app:
            rooms(app)
            ada, bob = await member(app), await member(app, "bob")
            await turns(2)
            ada.news()
            ada.send({"type": "ping"}, lambda protocol: protocol.send_close(code, "bye" if code else ""))
            assert ada.types() == ["pong"]
            assert ada.closed == (code, "")
            assert ada.transport.calls == ["close"]
            await turns()
            assert ada.transport.lost
            assert ada.connections == set()
            assert len(app.node.connections) == 1
            is_clean = code in {None, 1000}
            await settle(app)
            await app.pass_time(2)
            await turns(2)
            assert bob.types() == (["user_left"] if is_clean else [])
            await app.pass_time(6)
            await turns(2)
            assert bob.types() == ([] if is_clean else ["user_left"])

    async def test_what_follows_a_goodbye_is_passed_over(self):
        async with application() as app:
            rooms(app)
            ada, bob = await member(app), await member(app, "bob")
            data = ada.frames(lambda protocol: protocol.send_close(1000))
            late = Frame(Opcode.TEXT, b'{"type":"message","room_id":"a","content":"late"}').serialize(
                mask=True
            )
            ada.transport.arrive(data + late)
            await turns()
            assert bob.contents() == []
            assert ada.transport.lost

    async def test_a_goodbye_behind_a_command_that_waits(self):
        async with application() as app:
            inside, go_on = slow_room(app)
            ada, bob = await member(app), await member(app, "bob")
            ada.send({"type": "join_room", "room_id": "slow"})
            await inside.wait()
            ada.send(
                {"type": "message", "room_id": "a", "content": "last"},
                lambda protocol: protocol.send_close(1000),
            )
            await turns()
            assert bob.contents() == []
            go_on.set()
            await settle(app)
            assert bob.contents() == ["last"]
            assert ada.transport.lost
            assert len(app.node.connections) == 1

    async def test_a_peer_that_takes_nothing_of_the_answer_is_cut_off(self):
        async with application() as app:
            peer = await member_without_room(app)
            peer.transport.stalled = True
            peer.send(lambda protocol: protocol.send_close(1000))
            await turns()
            assert not peer.transport.lost
            await app.pass_time(1.2)
            await turns()
            assert (peer.transport.aborted, peer.transport.lost) == (True, True)
            await assert_empty(app)

    async def test_the_answer_to_our_own_close_ends_it(self):
        async with application() as app:
            peer = await member_without_room(app)
            app.node.connections.close(session_of(peer), CloseCode.REVOKED, "out")
            assert peer.news() == []
            assert peer.closed == (4010, "out")
            assert not peer.transport.is_closing()
            peer.transport.arrive(peer.answer)
            assert peer.transport.is_closing()
            await turns()
            await assert_empty(app)
            assert len(peer.transport.writes) == 2

    async def test_closed_before_it_was_served_it_still_takes_the_answer(self):
        async with application() as app:
            handle = rooms(app)

            @handle.authorize
            async def out(channel: Any) -> bool:
                app.node.connections.close(session_of(peer), CloseCode.REVOKED, "out")
                return True

            peer = Peer(app, "/ws/a").connect()
            await peer.admitted("welcome")
            assert peer.closed == (4010, "out")
            peer.transport.arrive(peer.answer)
            await turns()
            assert peer.transport.lost
            await assert_empty(app)

    async def test_nothing_follows_our_close(self):
        async with application() as app:
            rooms(app)
            ada, bob = await member(app), await member(app, "bob")
            await turns(2)
            ada.news()
            bob.say("before")
            app.node.connections.close(session_of(ada), CloseCode.REVOKED, "out")
            bob.say("after")
            ada.say("is not heard")
            ada.send(lambda protocol: protocol.send_ping(b"?"))
            link_of(ada).close(1000, "again")
            link_of(ada).write(b"late")
            await turns()
            await app.hub.broadcast("news", 1)
            await turns()
            assert ada.contents() == ["before"]
            assert ada.closed == (4010, "out")
            assert [each for each in bob.contents() if each != "before"] == ["after"]

    async def test_an_answer_that_does_not_come_is_not_waited_for(self):
        async with application() as app:
            peer = await member_without_room(app)
            app.node.connections.close(session_of(peer), CloseCode.REVOKED, "out")
            await app.pass_time(1.2)
            await turns()
            assert (peer.transport.lost, peer.transport.aborted) == (True, False)
            await assert_empty(app)

    async def test_a_goodbye_behind_what_ends_it_is_not_heard_first(self):
        frames = Frame(Opcode.BINARY, b"x"), Frame(Opcode.CLOSE, struct.pack("!H", 1000))
        async with application() as app:
            peer = await member_without_room(app)
            peer.transport.arrive(b"".join(each.serialize(mask=True) for each in frames))
            await turns()
            assert peer.types() == ["error"]
            assert peer.closed == (1003, "Binary frames are not supported")
            assert app.hub.statistics.closes == {1003: 1}
            await assert_empty(app)


VIOLATIONS = {
    "not masked": (b"\x81\x02{}", 1002, "bad_request"),
    "reserved bits": (b"\xf1\x80\0\0\0\0", 1002, "bad_request"),
    "unknown opcode": (b"\x83\x80\0\0\0\0", 1002, "bad_request"),
    "close code 1005": (
        Frame(Opcode.CLOSE, struct.pack("!H", 1005)).serialize(mask=True),
        1002,
        "bad_request",
    ),
    "no UTF-8": (Frame(Opcode.TEXT, b"\xff").serialize(mask=True), 1007, "bad_request"),
    "no UTF-8, long": (Frame(Opcode.TEXT, b"x" * 300 + b"\xff").serialize(mask=True), 1007, "bad_request"),
    "too big": (Frame(Opcode.TEXT, b"x" * 1001).serialize(mask=True), 1009, "too_large"),
    "going to be too big": (b"\x81\xff" + struct.pack("!Q", 1 << 40), 1009, "too_large"),
    "binary": (Frame(Opcode.BINARY, b"x").serialize(mask=True), 1003, "bad_request"),
}


class TestViolations:
    @pytest.mark.parametrize("what", VIOLATIONS)
    async def test_it_is_told_and_closed(self, what):
        data, code, error = VIOLATIONS[what]
        async with application(limits=Limits(message_rate=0, message_bytes=1000)) as app:
            rooms(app)
            ada, bob = await member(app), await member(app, "bob")
            await turns(2)
            ada.news()
            good = ada.frames({"type": "message", "room_id": "a", "content": "good"})
            ada.transport.arrive(good + data + good)
            await turns()
            failed, message = sorted(ada.news(), key=lambda message: message["type"])
            assert (message["content"], failed["type"], failed["code"]) == ("good", "error", error)
            assert ada.closed is not None
            assert ada.closed[0] == code
            assert ada.closed[1]
            assert bob.contents() == ["good"]
            ada.transport.arrive(good)
            await turns()
            assert bob.contents() == []
            await app.pass_time(1.2)
            await turns()
            assert ada.transport.lost
            assert len(app.node.connections) == 1
            assert app.hub.statistics.closes == {code: 1}

    @pytest.mark.parametrize("size", [0, 1])
    async def test_as_many_bytes_as_it_says(self, size):
        async with application(limits=Limits(message_rate=0, message_bytes=1000)) as app:
            peer = await member_without_room(app)
            peer.send('{"type":"ping"}'.ljust(1000 + size))
            await turns(2)
            assert peer.types() == (["error"] if size else ["pong"])

    async def test_too_many_messages(self):
        async with application(limits=Limits(message_rate=10)) as app:
            peer = await member_without_room(app)
            for _ in range(8):
                peer.send(*({"type": "ping"} for _ in range(100)))
            await turns(20)
            kinds = peer.types()
            assert set(kinds) == {"pong", "error"}
            assert peer.closed == (1008, "Too many messages")


class TestSlow:
    async def test_it_lags_is_not_read_from_and_catches_up(self):
        async with application() as app:
            rooms(app, overflow_bytes=10**6)
            ada, bob = await member(app, bound=1000), await member(app, "bob")
            await turns(2)
            ada.news()
            ada.transport.stalled = True
            for number in range(10):
                bob.say(f"{number}".ljust(600))
                await turns(2)
            assert session_of(ada).slow
            assert len(ada.transport.waiting) < 3000
            ada.say("from the slow one")
            ada.say("and more")
            await turns()
            assert not ada.transport.reading
            assert len(bob.contents()) == 10
            ada.transport.take()
            await settle(app)
            assert not session_of(ada).slow
            assert [content.strip() for content in ada.contents()] == [
                *(str(number) for number in range(10)),
                "from the slow one",
                "and more",
            ]
            assert bob.contents() == ["from the slow one", "and more"]
            assert ada.transport.reading
            assert (app.hub.statistics.pauses, app.hub.statistics.catch_ups) == (1, 1)

    async def test_the_rest_of_a_chunk_waits_too(self):
        async with application() as app:
            rooms(app)
            ada, bob = await member(app, bound=1000), await member(app, "bob")
            ada.transport.stalled = True
            big = {"type": "message", "room_id": "a", "content": "x" * 900}
            ada.send(*([big] * 3))
            await turns()
            assert len(bob.contents()) == 3  # one chunk, one turn
            assert session_of(ada).slow
            ada.say("waits")
            await turns()
            assert bob.contents() == []
            ada.transport.take()
            await settle(app)
            assert bob.contents() == ["waits"]

    async def test_again_and_again(self):
        async with application() as app:
            rooms(app, overflow_bytes=10**6)
            ada, bob = await member(app, bound=1000), await member(app, "bob")
            await turns(2)
            ada.news()
            ada.transport.stalled = True
            got: list[str] = []
            for number in range(60):
                bob.say(f"{number}".ljust(400))
                await turns(3)
                ada.transport.take(350)
                await settle(app)
                got += ada.contents()
            ada.transport.take()
            await settle(app)
            got += ada.contents()
            assert [content.strip() for content in got] == [str(number) for number in range(60)]
            assert app.hub.statistics.pauses > 2

    async def test_too_far_behind(self):
        async with application() as app:
            rooms(app, overflow_bytes=2000)
            ada, bob = await member(app, bound=1000), await member(app, "bob")
            ada.transport.stalled = True
            for _ in range(10):
                bob.say("x" * 600)
                await turns(2)
            assert app.hub.statistics.closes == {4008: 1}
            await app.pass_time(1.2)
            await turns()
            assert ada.transport.aborted
            assert len(app.node.connections) == 1

    async def test_slow_before_it_is_a_session(self):
        async with application() as app:
            rooms(app)
            peer = Peer(app, "/ws/a", token=None, bound=1000).connect()
            await turns()
            peer.send({"type": "auth", "token": "ada"})
            link_of(peer).pause_writing()
            await turns()
            assert peer.admission is not None
            await peer.admission
            assert session_of(peer).slow
            link_of(peer).resume_writing()
            await settle(app)
            assert not session_of(peer).slow

    async def test_what_is_said_before_there_is_a_session_waits_where_the_answers_are_not_taken(self):
        async with application() as app:
            rooms(app)
            peer = Peer(app, token=None, bound=1000).connect()
            await turns()
            peer.transport.stalled = True
            for _ in range(100):
                peer.send(*(lambda protocol: protocol.send_ping(b"x" * 100) for _ in range(20)))
                await turns(3)
                peer.end_turn()
            assert len(peer.transport.waiting) < 10_000
            assert not peer.transport.reading
            peer.transport.take()
            peer.send({"type": "auth", "token": "ada"})
            for _ in range(100):
                await turns(3)
                peer.end_turn()
            assert peer.admission is not None
            await peer.admission
            peer.end_turn()
            assert peer.types() == ["welcome"]
            assert len(peer.pongs) == 2000

    async def test_slow_for_a_while_before_it_is_a_session(self):
        async with application() as app:
            peer = Peer(app, token=None).connect()
            await turns()
            link_of(peer).pause_writing()
            link_of(peer).resume_writing()
            peer.send({"type": "auth", "token": "ada"})
            await peer.admitted("welcome")
            assert not session_of(peer).slow

    async def test_closed_while_it_is_slow_its_answer_is_read(self):
        async with application() as app:
            peer = await member_without_room(app, bound=100)
            peer.transport.stalled = True
            peer.send(*({"type": "ping"} for _ in range(20)))
            await turns()
            peer.send({"type": "ping"})
            assert not peer.transport.reading
            app.node.connections.close(session_of(peer), CloseCode.REVOKED, "out")
            peer.transport.take()
            assert set(peer.types()) == {"pong"}
            assert peer.closed == (4010, "out")
            assert peer.transport.reading
            peer.transport.arrive(peer.answer)
            await turns()
            assert peer.transport.lost
            await assert_empty(app)

    async def test_in_a_crowd(self):
        async with application() as app:
            rooms(app, overflow_bytes=10**6, join_leave=False)
            crowd = [await member(app, f"u{number}") for number in range(CROWD)]
            ada = await member(app, bound=1000)
            ada.transport.stalled = True
            for number in range(6):
                crowd[0].say(f"{number}".ljust(600))
                await turns(2)
            assert session_of(ada).slow
            ada.transport.take()
            await settle(app)
            crowd[0].say("6")
            await turns(2)
            expected = [str(number) for number in range(7)]
            assert [content.strip() for content in ada.contents()] == expected
            for peer in crowd:
                assert [content.strip() for content in peer.contents()] == expected

    async def test_one_that_is_gone_harms_nobody_in_a_crowd(self, caplog: pytest.LogCaptureFixture):
        async with application() as app:
            rooms(app, join_leave=False)
            crowd = [await member(app, f"u{number}") for number in range(CROWD + 2)]
            crowd[5].say("one")
            await turns(2)
            crowd[5].say("two")
            crowd[3].transport.lose(ConnectionResetError())
            crowd[4].transport.hang_up()
            await turns(2)
            crowd[5].say("three")
            await turns(2)
            assert [peer.contents() for peer in crowd[5:]] == [["one", "two", "three"]] * (CROWD - 3)
            assert all("could not" not in record.getMessage() for record in caplog.records)


class TestLost:
    """Whenever a connection is lost, nothing of it is left and nothing more is written."""

    async def test_while_its_token_is_checked(self):
        checking, go_on = asyncio.Event(), asyncio.Event()

        async def slow(token: str) -> Identity:
            checking.set()
            await go_on.wait()
            return Identity(UserId(token))

        async with application(authenticate=slow) as app:
            rooms(app)
            peer = Peer(app, "/ws/a").connect()
            await checking.wait()
            peer.say("1")
            peer.transport.lose()
            go_on.set()
            assert peer.admission is not None
            await peer.admission
            assert peer.transport.writes == []
            assert peer.connections == set()
            await assert_empty(app)

    @pytest.mark.parametrize("way", ["lost", "goodbye", "cancelled"])
    async def test_while_its_first_message_is_waited_for(self, way):
        async with application() as app:
            peer = Peer(app, token=None).connect()
            await turns()
            assert app.node.connections._waiting == 1
            assert peer.admission is not None
            if way == "lost":
                peer.transport.lose()
            elif way == "goodbye":
                peer.send(lambda protocol: protocol.send_close(1001))
            else:
                peer.admission.cancel()
            await asyncio.wait([peer.admission])
            if way == "cancelled":
                peer.transport.lose()
            await turns()
            assert peer.transport.lost
            assert peer.news() == []
            await assert_empty(app)
            assert app.hub.statistics.refused_connections == {}

    async def test_in_the_turn_of_its_first_message(self):
        async with application() as app:
            peer = Peer(app, token=None).connect()
            await turns()
            peer.send({"type": "auth", "token": "ada"})
            peer.transport.lose()
            assert peer.admission is not None
            await peer.admission
            await assert_empty(app)

    async def test_while_it_is_taken_in(self):
        async with application() as app:
            rooms(app)
            entering, go_on = asyncio.Event(), asyncio.Event()
            store = app.node._presence
            enter = store.enter

            async def slow(*args: Any) -> Any:
                entering.set()
                await go_on.wait()
                return await enter(*args)

            store.enter = slow
            peer = Peer(app, "/ws/a").connect()
            await entering.wait()
            peer.transport.lose()
            await turns()
            go_on.set()
            assert peer.admission is not None
            await peer.admission
            assert peer.transport.writes == []
            await assert_empty(app)
            await app.pass_time(60)
            assert await app.hub.online({"ada"}) == set()

    async def test_while_it_joins_the_room_of_its_path(self):
        async with application() as app:
            handle = rooms(app)
            inside, go_on = asyncio.Event(), asyncio.Event()

            @handle.authorize
            async def slow() -> bool:
                inside.set()
                await go_on.wait()
                return True

            peer = Peer(app, "/ws/a").connect()
            await inside.wait()
            await turns(2)
            peer.transport.lose()
            go_on.set()
            assert peer.admission is not None
            await peer.admission
            await assert_empty(app)

    async def test_while_it_signs_in_anew(self):
        entered, go_on = asyncio.Event(), asyncio.Event()

        async def authenticate(token: str) -> Identity:
            entered.set()
            await go_on.wait()
            return Identity(UserId(token))

        async with application(authenticate=authenticate, allow_anonymous=True) as app:
            peer = await Peer(app, token=None).connect().admitted("welcome")
            peer.send({"type": "auth", "token": "ada"})
            await entered.wait()
            peer.transport.lose()
            go_on.set()
            await assert_empty(app)
            assert await app.hub.online({"ada"}) == set()

    async def test_in_the_middle_of_a_command(self):
        async with application() as app:
            inside, go_on = slow_room(app)
            peer = await member(app)
            peer.send({"type": "join_room", "room_id": "slow"}, {"type": "ping"})
            await inside.wait()
            peer.send({"type": "ping"})
            writes = len(peer.transport.writes)
            peer.transport.lose()
            await turns()
            go_on.set()
            await assert_empty(app)
            assert len(peer.transport.writes) == writes

    async def test_while_it_is_slow(self):
        async with application() as app:
            rooms(app, overflow_bytes=10**6)
            ada, bob = await member(app, bound=100), await member(app, "bob")
            ada.transport.stalled = True
            for _ in range(3):
                bob.say("x" * 200)
                await turns(2)
            ada.say("kept")
            assert session_of(ada).slow
            ada.transport.lose()
            bob.say("later")
            await turns()
            bob.transport.lose()
            await assert_empty(app)

    async def test_while_it_is_brought_up_to_date(self):
        async with application() as app:
            rooms(app, overflow_bytes=10**6)
            ada, bob = await member(app, bound=100), await member(app, "bob")
            ada.transport.stalled = True
            for _ in range(3):
                bob.say("x" * 200)
                await turns(2)
            ada.transport.take()
            ada.transport.lose()
            await settle(app)
            bob.transport.lose()
            await assert_empty(app)

    async def test_with_something_gathered(self):
        async with application() as app:
            rooms(app)
            ada, bob = await member(app), await member(app, "bob")
            await turns(2)
            ada.news()
            bob.say("is not written any more")
            ada.send({"type": "ping"})
            ada.transport.lose()
            await turns()
            assert ada.news() == []
            assert bob.contents() == ["is not written any more"]

    async def test_within_a_crowds_turn(self):
        async with application() as app:
            rooms(app, join_leave=False)
            crowd = [await member(app, f"u{number}") for number in range(CROWD)]
            ada = await member(app)
            crowd[0].say("one")
            ada.transport.lose()
            crowd[0].say("two")
            await turns()
            assert [peer.contents() for peer in crowd] == [["one", "two"]] * CROWD

    async def test_twice_is_harmless(self):
        async with application() as app:
            peer = await member_without_room(app)
            peer.transport.lose()
            link_of(peer).connection_lost(None)
            link_of(peer).abort()
            link_of(peer).proceed()
            await assert_empty(app)


class TestShutdown:
    async def test_of_sessions_is_a_drain_for_which_uvicorn_waits(self):
        async with application() as app:
            rooms(app)
            ada, bob = await member(app), await member(app, "bob")
            await turns(2)
            ada.news()
            for peer in (ada, bob):
                link_of(peer).shutdown()
            bob.say("last")
            bob.end_turn()
            assert [each["type"] for each in ada.news()] == ["reconnect", "message"]
            assert ada.closed is None
            assert ada.connections == {link_of(ada)}
            await app.pass_time(2)
            ada.end_turn()
            assert ada.news() == []
            assert ada.closed == (1012, "The server is restarting")
            ada.transport.arrive(ada.answer)
            await turns()
            assert ada.connections == set()

    async def test_after_a_drain_nobody_is_waited_for(self):
        async with application() as app:
            rooms(app)
            ada, bob = await member(app), await member(app, "bob")
            await turns(2)
            ada.news()
            bob.say("last")
            draining = asyncio.ensure_future(app.hub.drain())
            await turns()
            draining.cancel()
            await turns()
            assert [each["type"] for each in ada.news()] == ["message", "reconnect"]
            assert ada.closed == (1012, "The server is restarting")
            for _ in range(2):
                link_of(ada).shutdown()
            ada.transport.arrive(ada.answer)
            await turns()
            assert ada.connections == set()

    async def test_who_comes_during_a_drain_is_told_when_to_come_back(self):
        async with application() as app:
            await app.hub.drain()
            peer = await Peer(app).connect().admitted("reconnect")
            assert peer.closed == (1012, "The server is restarting")
            assert app.hub.statistics.refused_connections == {"unavailable": 1}

    async def test_before_it_is_a_session(self):
        async with application() as app:
            peer = Peer(app, token=None).connect()
            await turns()
            link_of(peer).shutdown()
            assert peer.news() == []
            assert peer.closed == (1012, "The server is restarting")
            await turns()
            assert peer.transport.lost
            await assert_empty(app)

    async def test_the_end_of_the_hub(self, caplog: pytest.LogCaptureFixture):
        app = application()
        rooms(app)
        with caplog.at_level(logging.WARNING):
            async with app.hub.lifespan(app.app):
                peer = await member(app)
            assert peer.news() == []
            assert peer.closed == (1012, "The server is restarting")
            peer.transport.arrive(peer.answer)
            await turns()
            assert peer.transport.lost
        assert caplog.records == []


class TestPulse:
    async def test_one_that_answers_is_well(self):
        async with application() as app:
            peer = await member_without_room(app)
            link = link_of(peer)
            for number in range(3):
                assert link.pulse() is Pulse.WELL
                peer.end_turn()
                assert peer.news() == []
                assert peer.pings == number + 1
                peer.transport.arrive(peer.answer)

    @pytest.mark.parametrize("sign", [{"type": "ping"}, {"type": "pong"}, "half a frame"])
    async def test_any_byte_is_a_sign_of_life(self, sign):
        async with application() as app:
            peer = await member_without_room(app)
            for _ in range(3):
                assert link_of(peer).pulse() is Pulse.WELL
                peer.transport.arrive(b"\x81" if isinstance(sign, str) else peer.frames(sign))
                if isinstance(sign, str):
                    break
            assert link_of(peer).pulse() is Pulse.WELL

    async def test_one_that_says_nothing_is_silent(self):
        async with application() as app:
            peer = await member_without_room(app)
            assert link_of(peer).pulse() is Pulse.WELL
            assert link_of(peer).pulse() is Pulse.SILENT

    async def test_one_that_is_not_read_from_is_not_called_silent(self):
        async with application() as app:
            inside, go_on = slow_room(app)
            peer = await member(app)
            peer.send({"type": "join_room", "room_id": "slow"})
            await inside.wait()
            peer.send({"type": "ping"})
            assert not peer.transport.reading
            for _ in range(3):
                assert link_of(peer).pulse() is Pulse.WELL
            go_on.set()
            await settle(app)

    async def test_one_that_takes_nothing_is_stuck(self):
        async with application() as app:
            rooms(app)
            peer = await member(app, bound=100)
            peer.transport.stalled = True
            peer.say("x" * 200)
            await turns()
            assert session_of(peer).slow
            peer.say("sign of life")
            assert link_of(peer).pulse() is Pulse.WELL
            peer.end_turn()
            assert link_of(peer).pulse() is Pulse.STUCK

    async def test_one_that_takes_a_little_is_not(self):
        async with application() as app:
            rooms(app)
            peer = await member(app, bound=100)
            peer.transport.stalled = True
            peer.say("x" * 400)
            await turns()
            for _ in range(5):
                assert link_of(peer).pulse() is Pulse.WELL
                peer.end_turn()
                peer.transport.take(20)
                peer.say("kept")
            assert session_of(peer).slow

    async def test_one_that_takes_a_little_and_cannot_answer_yet_is_not_silent(self):
        async with application() as app:
            rooms(app)
            peer = await member(app, bound=100)
            peer.transport.stalled = True
            peer.say("x" * 400)
            await turns()
            for _ in range(5):
                assert link_of(peer).pulse() is Pulse.WELL
                peer.end_turn()
                peer.transport.take(20)
            peer.transport.take()
            await settle(app)
            assert link_of(peer).pulse() is Pulse.WELL, "it has only just been asked"
            assert link_of(peer).pulse() is Pulse.SILENT

    async def test_one_that_is_read_from_again_is_not_silent(self):
        async with application() as app:
            inside, go_on = slow_room(app)
            peer = await member(app)
            peer.send({"type": "join_room", "room_id": "slow"})
            await inside.wait()
            peer.send({"type": "ping"})
            assert link_of(peer).pulse() is Pulse.WELL
            go_on.set()
            await settle(app)
            assert peer.transport.reading
            assert link_of(peer).pulse() is Pulse.WELL
            assert link_of(peer).pulse() is Pulse.SILENT

    async def test_stuck_again_after_it_had_caught_up(self):
        async with application() as app:
            rooms(app)
            peer = await member(app, bound=100)
            for _ in range(2):
                peer.transport.stalled = True
                peer.say("x" * 300)
                await turns()
                assert link_of(peer).pulse() is Pulse.WELL
                peer.end_turn()
                peer.transport.take()
                await settle(app)
                peer.news()
                peer.transport.arrive(peer.answer)
                await settle(app)

    async def test_more_than_once_waited_is_no_sign_of_being_stuck(self):
        async with application() as app:
            rooms(app)
            peer = await member(app, bound=400)
            peer.transport.stalled = True
            peer.say("x" * 400)
            await turns()
            link_of(peer).pulse()
            peer.end_turn()
            assert link_of(peer)._waiting is not None
            peer.transport.take(len(peer.transport.waiting) - 50)
            peer.transport.take()
            await settle(app)
            peer.transport.stalled = True
            peer.transport.waiting += b"x" * 10_000  # within the transport's bound, had it a larger one
            peer.transport.arrive(b"\x81")
            assert link_of(peer).pulse() is Pulse.WELL
            peer.transport.waiting.clear()

    @pytest.mark.parametrize("ailment", ["stuck", "silent"])
    async def test_the_heart_stops(self, ailment):
        async with application(heartbeat=10) as app:
            rooms(app)
            peer = await member(app, bound=100)
            if ailment == "stuck":
                peer.transport.stalled = True
                peer.say("x" * 300)
                await turns()
            for _ in range(3):
                await app.pass_time(10.2)
            await turns()
            expected = {"stuck": 4008, "silent": 1011}[ailment]
            assert app.hub.statistics.closes == {expected: 1}
            await app.pass_time(1.2)
            await turns()
            assert peer.transport.lost
            await app.pass_time(6)
            await assert_empty(app)


class TestAbort:
    async def test_nothing_waits(self):
        async with application() as app:
            peer = await member_without_room(app)
            link_of(peer).abort()
            assert (peer.transport.calls, peer.transport.aborted) == (["close"], False)
            await assert_empty(app)

    async def test_something_waits(self):
        async with application() as app:
            peer = await member_without_room(app)
            peer.transport.stalled = True
            peer.send({"type": "ping"})
            await turns(2)
            link_of(peer).abort()
            assert peer.transport.aborted
            await assert_empty(app)

    async def test_something_is_gathered(self):
        async with application() as app:
            peer = await member_without_room(app)
            writes = len(peer.transport.writes)
            peer.send({"type": "ping"})
            link_of(peer).abort()
            await turns()
            assert len(peer.transport.writes) == writes
            await assert_empty(app)


async def test_a_new_connection_replaces_an_old_one_of_another_kind():
    async with application(limits=Limits(connections_policy="replace")) as app:
        old = await member_without_room(app)
        async with connect(app.app, "/ws", token="ada") as queued:
            await queued.expect("welcome")
            assert old.news() == []
            assert old.closed == (1000, "Replaced by new connection")
            new = await member_without_room(app)
            with pytest.raises(Closed):
                await queued.receive()
            old.transport.arrive(old.answer)
            await turns()
            assert app.hub.connections == 1
            assert new.closed is None
