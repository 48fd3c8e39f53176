"""What a client may write into a text frame: it is told what was wrong, and nobody else notices."""

import asyncio
import json
from contextlib import suppress

import pytest
from members import Member, bystander, connected, fresh
from serving import eventually
from websockets.exceptions import ConnectionClosed

DEEP = 10_000

NOT_UNDERSTOOD = {
    "nothing": ("", "bad_request"),
    "words": ("hello", "bad_request"),
    "half an object": ('{"type":"ping"', "bad_request"),
    "half an object of no known type": ('{"type":"nope","x":', "bad_request"),
    "an object and more": ('{"type":"ping"}{"type":"ping"}', "bad_request"),
    "a byte order mark": ('\ufeff{"type":"ping"}', "bad_request"),
    "a comment": ('{"type":"ping"/* */}', "bad_request"),
    "NaN": ('{"type":"ping","x":NaN}', "bad_request"),
    "a raw NUL": ('{"type":"ping","x":"\x00"}', "bad_request"),
    "half a surrogate pair": ('{"type":"message","content":"\\ud800"}', "bad_request"),
    "an array": ('[{"type":"ping"}]', "bad_request"),
    "a string": ('"ping"', "bad_request"),
    "a number": ("42", "bad_request"),
    "null": ("null", "bad_request"),
    "no type": ("{}", "bad_request"),
    "a type that is a number": ('{"type":5}', "bad_request"),
    "a type that is null": ('{"type":null}', "bad_request"),
    "an unknown type": ('{"type":"nope"}', "unknown_type"),
    "a type in other letters": ('{"type":"Join_Room"}', "unknown_type"),
    "a type of the server's": ('{"type":"joined","room_id":"x"}', "unknown_type"),
    "an endless type": (json.dumps({"type": "x" * 60_000}), "unknown_type"),
    "no room": ('{"type":"join_room"}', "bad_request"),
    "a room that is a number": ('{"type":"join_room","room_id":5}', "bad_request"),
    "a room that is null": ('{"type":"join_room","room_id":null}', "bad_request"),
    "no content": ('{"type":"message","room_id":"x"}', "bad_request"),
    "content that is an object": ('{"type":"message","room_id":"x","content":{}}', "bad_request"),
    "no channel": ('{"type":"subscribe"}', "bad_request"),
    "no data": ('{"type":"publish","channel":"room:x","event":"e"}', "bad_request"),
    "an empty event": ('{"type":"publish","channel":"room:x","event":"","data":1}', "bad_request"),
    "an event of 300 characters": (
        json.dumps({"type": "publish", "channel": "room:x", "event": "e" * 300, "data": 1}),
        "bad_request",
    ),
    "a token that is a number": ('{"type":"auth","token":5}', "bad_request"),
    "a ref that is an object": ('{"type":"ping","ref":{}}', "bad_request"),
    "a ref that is true": ('{"type":"ping","ref":true}', "bad_request"),
    "a ref of 300 characters": (json.dumps({"type": "ping", "ref": "r" * 300}), "bad_request"),
    "a ref of 5,000 digits": (f'{{"type":"ping","ref":{"1" * 5000}}}', "bad_request"),
    "since that is a number": ('{"type":"join_room","room_id":"x","since":5}', "bad_request"),
    "since without an offset": ('{"type":"join_room","room_id":"x","since":{"epoch":"e"}}', "bad_request"),
    "since below zero": (
        '{"type":"join_room","room_id":"x","since":{"epoch":"e","offset":-1}}',
        "bad_request",
    ),
    "arrays nested too deeply": ("[" * DEEP + "]" * DEEP, "bad_request"),
    "objects nested too deeply": ('{"":' * DEEP + "1" + "}" * DEEP, "bad_request"),
    "nesting that never ends": ('{"x":' * DEEP, "bad_request"),
    "nesting in a ref": (f'{{"type":"ping","ref":{"[" * DEEP}{"]" * DEEP}}}', "bad_request"),
    "nesting in an unknown type": (f'{{"type":"nope","x":{"[" * DEEP}{"]" * DEEP}}}', "bad_request"),
}


@pytest.mark.parametrize(("text", "code"), NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD.keys())
async def test_what_is_no_message_is_told_to_its_sender_alone(server, text, code):
    room = fresh("room")
    async with bystander(server, room) as witness, connected(server, fresh("mallory")) as mallory:
        await mallory.join(room)
        await mallory.connection.send(text)
        error = await mallory.expect("error")
        assert error["code"] == code
        assert error["message"]
        assert len(error["message"]) < 1000
        # The connection lives on, and so does its place in the room.
        assert (await mallory.ask({"type": "message", "room_id": room, "content": "still here"}))[
            "type"
        ] == "ack"
    assert witness.of_type("error") == []


async def test_an_error_names_the_message_that_it_answers(server):
    async with connected(server, fresh("mallory")) as mallory:
        for message in (
            {"type": "nope", "ref": "a"},
            {"type": "join_room", "ref": 7},
            {"type": "message", "room_id": "elsewhere", "content": "hi", "ref": -1},
            {"type": "subscribe", "channel": "nowhere:x", "ref": 2**53},
        ):
            await mallory.send(message)
            assert (await mallory.expect("error"))["ref"] == message["ref"]
        await mallory.connection.send('{"type":"ping","ref":')
        assert "ref" not in await mallory.expect("error")


NAMES = {
    "10,000 characters": "x" * 10_000,
    "256 bytes": "x" * 251,
    "85 characters of 3 bytes": "語" * 85,
    "a line break": "a\nb",
    "a NUL": "a\x00b",
    "an escape": "\x1b[2J",
    "a C1 control": "a\x85b",
    "nothing": "",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
async def test_names_that_cannot_be_are_refused_wherever_they_stand(server, name):
    room = fresh("room")
    async with bystander(server, room), connected(server, fresh("mallory")) as mallory:
        await mallory.join(room)
        channel = f"room:{name}"
        for message in (
            {"type": "join_room", "room_id": name},
            {"type": "message", "room_id": name, "content": "hi"},
            {"type": "typing", "room_id": name},
            {"type": "subscribe", "channel": channel},
            {"type": "publish", "channel": channel, "event": "e", "data": 1},
            {"type": "history", "channel": channel},
            {"type": "presence", "channel": channel},
        ):
            error = await mallory.ask(message)
            assert (error["type"], error["code"]) == ("error", "unknown_channel"), message["type"]
            assert len(error["message"]) < 1000
        for message in (
            {"type": "leave_room", "room_id": name},
            {"type": "unsubscribe", "channel": channel},
        ):
            assert (await mallory.ask(message))["code"] in {"unknown_channel", "not_subscribed"}


@pytest.mark.parametrize(
    "path",
    [
        "/ws/",
        "/ws/" + "x" * 5000,
        "/ws/%00",
        "/ws/%C2%85",
        "/ws/notifications/",
        "/ws/notifications/%1B",
    ],
    ids=["nothing", "5,000 characters", "a NUL", "a C1 control", "no topic", "an escape"],
)
async def test_a_path_that_names_no_room_is_told_so_and_the_connection_may_join_another(either, path):
    room = fresh("room")
    async with bystander(either, room), connected(either, fresh("mallory"), path) as mallory:
        assert (await mallory.expect("error"))["code"] == "unknown_channel"
        # The room of the path stands in for none that is named.
        error = await mallory.ask({"type": "message", "content": "where?"})
        assert error["type"] == "error"
        await mallory.join(room)
        assert (await mallory.ask({"type": "message", "room_id": room, "content": "here"}))["type"] == "ack"


async def test_a_path_is_decoded_once_and_taken_verbatim(either):
    tail = fresh("x")
    for path, name in (
        (f"/ws/a%2Fb/{tail}", f"a/b/{tail}"),
        (f"/ws/a:b:{tail}", f"a:b:{tail}"),
        (f"/ws/%252F{tail}", f"%2F{tail}"),
        (f"/ws/../{tail}", f"../{tail}"),
        (f"/ws/%E8%AA%9E{tail}", f"語{tail}"),
    ):
        async with connected(either, fresh("ada"), path) as ada:
            assert (await ada.expect("joined"))["room_id"] == name


async def test_a_request_that_is_no_handshake_is_answered_as_one(either):
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        response = await either.request(method, "/ws")
        assert 400 <= response.status_code < 500, method


async def test_a_name_of_255_bytes_with_anything_printable_is_a_name(server):
    name = "a:b/c?d=e&f#g%2F…語🎈 \"'<>\\"
    name += "x" * (250 - len(name.encode()))
    async with connected(server, fresh("ada")) as ada:
        joined = await ada.join(name)
        assert joined["channel"] == f"room:{name}"
        assert len(joined["channel"].encode()) == 255
        await ada.say(name, "hi")
        assert (await ada.expect("message"))["room_id"] == name


async def test_channels_that_are_closed_to_a_client_stay_closed(server):
    room, mallory_id = fresh("room"), fresh("mallory")
    async with (
        bystander(server, room) as witness,
        connected(server, mallory_id) as mallory,
        connected(server, fresh("victim")) as victim,
    ):
        personal = f"user:{victim.user}"
        for channel, code in (
            (personal, "forbidden"),
            ("job:1", "forbidden"),
            ("nowhere:1", "unknown_channel"),
            ("no-colon", "unknown_channel"),
            (":x", "unknown_channel"),
            ("", "unknown_channel"),
            ("room", "unknown_channel"),
            ("Room:x", "unknown_channel"),
        ):
            for kind in ("subscribe", "history", "presence"):
                error = await mallory.ask({"type": kind, "channel": channel})
                expected = code if kind == "subscribe" or code != "forbidden" else "not_subscribed"
                assert (error["type"], error["code"]) == ("error", expected), (channel, kind)
        for channel, code in (
            (f"room:{room}", "not_subscribed"),
            ("room:elsewhere", "not_subscribed"),
            (personal, "forbidden"),
            ("topic:orders", "forbidden"),
        ):
            message = {"type": "publish", "channel": channel, "event": "message", "data": {"content": "x"}}
            error = await mallory.ask(message)
            assert (error["type"], error["code"]) == ("error", code), channel
        for kind, field in (("message", {"content": "x"}), ("typing", {})):
            error = await mallory.ask({"type": kind, "room_id": room, **field})
            assert (error["type"], error["code"]) == ("error", "not_subscribed")
        error = await mallory.ask({"type": "message", "content": "nowhere"})
        assert (error["type"], error["code"]) == ("error", "bad_request")
        error = await mallory.ask({"type": "unsubscribe", "channel": f"user:{mallory_id}"})
        assert (error["type"], error["code"]) == ("error", "forbidden")
        assert (await victim.ask({"type": "ping"}))["type"] == "ack"
    assert {each.get("user_id") for each in witness.of_type("message", "typing")} == {witness.speaker.user}


async def test_data_nested_10000_levels_reaches_nobody(server):
    room = fresh("room")
    async with bystander(server, room) as witness, connected(server, fresh("mallory")) as mallory:
        await mallory.join(room)
        for data in ("[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "1" + "}" * DEEP):
            await mallory.connection.send(
                f'{{"type":"publish","channel":"room:{room}","event":"deep","data":{data}}}'
            )
            assert (await mallory.expect("error"))["code"] == "bad_request"
    assert witness.of_type("event") == []


async def test_data_cannot_pass_for_something_that_the_server_says(server):
    """Raw data goes out as it came: it must stay inside its field, whatever it looks like."""
    room = fresh("room")
    async with bystander(server, room) as witness, connected(server, fresh("mallory")) as mallory:
        await mallory.join(room)
        await eventually(lambda: witness.of_type("user_joined", user=mallory.user))
        forged = {"type": "user_left", "user_id": "ada", "offset": 10**6, "channel": "room:other"}
        for event in ("message", "user_left", "event", "welcome", "typing"):
            await mallory.send(
                {"type": "publish", "channel": f"room:{room}", "event": event, "data": forged, "ref": event}
            )
            await mallory.expect("ack", ref=event)
        newlines = '{\n"content"\r\n:\t"two\\nlines"\n}'
        await mallory.connection.send(
            f'{{"type":"publish","channel":"room:{room}","event":"message","data":{newlines},"ref":9}}'
        )
        await mallory.expect("ack", ref=9)
    said = [
        each
        for each in witness.heard
        # Whether the leave is told before the witness leaves too is a matter of a tenth of a second.
        if each.get("user_id") == mallory.user and each["type"] != "user_left"
    ]
    kinds = [each["type"] for each in said]
    assert kinds == ["user_joined", *["event"] * 5, "message"]
    assert all(each["channel"] == f"room:{room}" for each in said)
    assert said[-1]["content"] == "two\nlines"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda since, top: {**since, "epoch": "another"},
        lambda since, top: {**since, "epoch": ""},
        lambda since, top: {**since, "offset": top + 1},
        lambda since, top: {**since, "offset": 2**53},
        lambda since, top: {**since, "offset": 10**30},
        lambda since, top: {**since, "id": "018f0000-0000-7000-8000-000000000000"},
        lambda since, top: {**since, "id": ""},
    ],
    ids=[
        "another epoch",
        "no epoch",
        "the future",
        "far in the future",
        "beyond 64 bits",
        "a wrong id",
        "an empty id",
    ],
)
async def test_a_position_that_is_none_of_this_stream_is_not_recovered(server, spoil):
    room = fresh("room")
    async with bystander(server, room) as witness, connected(server, fresh("ada")) as ada:
        await ada.join(room)
        for number in range(3):
            await ada.say(room, f"said {number}")
            seen = await ada.expect("message", content=f"said {number}")
        joined = await ada.join(room)
        top = joined["offset"]
        since = {"epoch": joined["epoch"], "offset": seen["offset"], "id": seen["id"]}
        good = await ada.join(room, since=since)
        assert good["recovered"] is True

        again = await ada.join(room, since=spoil(since, top + 1000))
        assert (again["recovered"], again["messages"]) == (False, [])
        assert again["epoch"] == joined["epoch"]
        # Whoever could not recover is live all the same.
        await ada.say(room, "after")
        await ada.expect("message", content="after")
        await eventually(lambda: witness.of_type("user_joined", user=ada.user))
    assert len(witness.of_type("user_joined", user=ada.user)) == 1


async def test_a_thousand_messages_in_a_second_are_refused_and_then_closed(server):
    room = fresh("room")
    async with bystander(server, room) as witness, connected(server, fresh("mallory")) as mallory:
        await mallory.join(room)
        for number in range(1000):
            await mallory.say(room, f"flood {number}")
        code, reason = await mallory.expect_close()
        assert (code, reason) == (1008, "Too many messages")
    # One second's worth at once, and what became free while the flood was read.
    assert 40 <= len(witness.of_type("message", user=mallory.user)) <= 250
    counts = await server.counts()
    assert counts("hubbub_commands_refused_total", code="rate_limited") >= 500
    assert counts("hubbub_connections_closed_total", code="1008") >= 1


async def test_a_flood_that_is_taken_now_and_then_is_closed_all_the_same(server):
    room = fresh("room")
    async with bystander(server, room), connected(server, fresh("mallory")) as mallory:
        await mallory.join(room)
        flooding = asyncio.create_task(flood(mallory))
        try:
            assert await mallory.expect_close() == (1008, "Too many messages")
        finally:
            flooding.cancel()
            await asyncio.wait([flooding])


async def flood(mallory: Member) -> None:
    """Send so slowly that the bucket holds something again each time, and far more than it allows."""
    with suppress(ConnectionClosed):
        for _ in range(500):
            for _ in range(20):
                await mallory.send({"type": "ping"})
            await asyncio.sleep(0.02)


async def test_over_the_rate_each_message_is_told_so_and_the_client_may_go_on(server):
    room = fresh("room")
    async with bystander(server, room), connected(server, fresh("eager")) as eager:
        await eager.join(room)
        for number in range(80):
            await eager.say(room, "quick", ref=number)
        answers = {}
        while len(answers) < 80:
            answer = await eager.receive()
            if "ref" in answer:
                answers[answer["ref"]] = answer
        refused = [each for each in answers.values() if each["type"] == "error"]
        assert refused
        assert {each["code"] for each in refused} == {"rate_limited"}
        assert all("try again in" in each["message"] for each in refused)

        async def accepted() -> bool:
            return (await eager.ask({"type": "ping"}))["type"] == "ack"

        await eventually(accepted)


async def test_rubbish_counts_against_the_rate_like_anything_else(server):
    room = fresh("room")
    async with bystander(server, room), connected(server, fresh("mallory")) as mallory:
        await mallory.join(room)
        for _ in range(1000):
            await mallory.connection.send("rubbish")
        assert await mallory.expect_close() == (1008, "Too many messages")
