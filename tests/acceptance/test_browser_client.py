"""`hubbub.js` in a real browser, with a WebSocket, a clock and a chance that the tests hold in their hands."""

import asyncio
import base64
import json
import signal
import sys

import pytest
from redis_servers import redis_server
from serving import FOLDER, SECRET, eventually, process, token

from hubbub.codes import CloseCode

pytestmark = pytest.mark.asyncio(loop_scope="session")

# ------------------------------------------------------------------------------------------- connecting


async def test_it_offers_the_token_as_a_subprotocol(play):
    got = await play(
        "await s.start(); return [s.socket.url, s.socket.protocols, s.client.userId]", '{token: "abc.def"}'
    )
    assert got[0].startswith("ws://")
    assert got[0].endswith("/ws")
    assert got[1:] == [["hubbub", "hubbub.bearer.abc.def"], "ada"]


async def test_the_default_address_is_beside_the_module(play, server):
    got = await play("await s.start(); return s.socket.url", "{url: undefined}")
    assert got == server.url.replace("http", "ws") + "/ws"


async def test_without_a_token_the_cookie_counts(play):
    assert await play("await s.start(); return s.socket.protocols") == ["hubbub"]


async def test_a_token_that_no_header_can_carry_is_refused_here(play):
    got = await play(
        "await s.connect(); return [s.sockets.length, s.client.state.error.code]", '{token: "two words"}'
    )
    assert got == [0, "unauthorized"]


async def test_the_token_is_fetched_before_every_connection(play):
    got = await play(
        """
        await s.start();
        await s.comeBack();
        await s.comeBack();
        return s.sockets.map(({ protocols }) => protocols[1]);
        """,
        "{token: (() => { let n = 0; return async () => `t${++n}`; })()}",
    )
    assert got == ["hubbub.bearer.t1", "hubbub.bearer.t2", "hubbub.bearer.t3"]


async def test_it_waits_for_the_fresh_token_before_it_rejoins(play):
    got = await play(
        """
        const room = s.client.join("general");
        await s.start(); await s.socket.say(s.joined());
        await s.socket.drop();
        hold = true;
        await s.clock.advance(500);
        const before = s.sockets.length;
        release("fresh"); await s.settle();
        await s.socket.say(s.welcome);
        return [before, s.socket.protocols[1], s.socket.of("join_room").length];
        """,
        """{token: (() => { window.hold = false; return () => hold ? new Promise((resolve) => { window.release = resolve; }) : "old"; })()}""",
    )
    assert got == [1, "hubbub.bearer.fresh", 1]


async def test_a_token_that_cannot_be_fetched_is_fetched_again(play):
    got = await play(
        """
        await s.connect();
        const first = s.client.state;
        await s.clock.advance(first.delay);
        return [first.name, first.error.code, s.sockets.length];
        """,
        '{token: (() => { let n = 0; return () => { if (++n < 2) throw new Error("offline"); return "t"; }; })()}',
    )
    assert got == ["waiting", "no_token", 1]


async def test_no_welcome_in_time_is_a_lost_connection(play):
    got = await play(
        "await s.connect(); await s.clock.advance(10_000); return [s.client.state.name, s.socket.closeCode]"
    )
    assert got == ["waiting", 4000]


# ------------------------------------------------------------------------------------------ coming back


async def test_the_wait_doubles_up_to_the_cap_with_full_jitter(play):
    got = await play(
        """
        const waits = [];
        await s.connect();
        for (let attempt = 0; attempt < 9; attempt++) {
          await s.socket.drop();
          waits.push(s.client.state.delay);
          await s.clock.advance(s.client.state.delay);
        }
        return [waits, s.backoff(0, 0.5, 20, 0), s.backoff(3, 0.5, 20, 0.25), s.backoff(5000, 0.5, 20, 1)];
        """,
        "{random: () => 1}",
    )
    waits, none, quarter, capped = got
    assert waits == [500, 1000, 2000, 4000, 8000, 16000, 20000, 20000, 20000]
    assert (none, quarter, capped) == (0, 1000, 20000)


async def test_the_wait_starts_anew_after_a_connection_that_lasted(play):
    got = await play(
        """
        const waits = [];
        await s.connect();
        for (let attempt = 0; attempt < 3; attempt++) { await s.socket.drop(); await s.clock.advance(10_000); }
        await s.socket.say(s.welcome);
        await s.socket.drop(); waits.push(s.client.state.delay);
        await s.clock.advance(10_000);
        await s.socket.say(s.welcome); await s.clock.advance(6_000);
        await s.socket.drop(); waits.push(s.client.state.delay);
        return waits;
        """,
        "{random: () => 1}",
    )
    assert got == [4000, 500]


@pytest.mark.parametrize(
    "code", [code for code in CloseCode if not code.reconnect], ids=lambda code: code.name
)
async def test_it_does_not_come_back_after(play, code):
    got = await play(
        """
        await s.start();
        const sent = s.outcome(s.client.publish("room:a", "x", {}));
        await s.socket.drop(argument, "because");
        await s.clock.advance(600_000);
        const later = s.outcome(s.client.publish("room:a", "x", {}));
        await s.settle();
        return [s.sockets.length, s.client.state.name, s.client.state.error.closeCode, sent.state, later.state];
        """,
        argument=int(code),
    )
    assert got == [1, "closed", code, "rejected", "rejected"]


@pytest.mark.parametrize("code", [code for code in CloseCode if code.reconnect], ids=lambda code: code.name)
async def test_it_comes_back_after(play, code):
    got = await play(
        "await s.start(); await s.socket.drop(argument, ''); await s.clock.advance(s.client.state.delay ?? 0); return s.sockets.length",
        argument=int(code),
    )
    assert got == 2


async def test_being_replaced_has_a_name_of_its_own(play):
    got = await play(
        "await s.start(); await s.socket.drop(1000, 'Replaced by new connection'); return s.client.state.error.code"
    )
    assert got == "replaced"


async def test_an_expired_token_is_replaced_once(play):
    got = await play(
        """
        await s.start();
        await s.socket.drop(4002, "Token expired");
        const fetched = s.socket.protocols[1];
        await s.socket.drop(4002, "Token expired");
        await s.clock.advance(600_000);
        return [fetched, s.sockets.length, s.client.state.name, s.client.state.error.code];
        """,
        "{token: (() => { let n = 0; return () => `t${++n}`; })()}",
    )
    assert got == ["hubbub.bearer.t2", 2, "closed", "token_expired"]


@pytest.mark.parametrize("token", ['"same"', '() => "same"'])
async def test_an_expired_token_is_not_offered_again(play, token):
    got = await play(
        """
        await s.start();
        await s.socket.drop(4002, "Token expired");
        return [s.sockets.length, s.client.state.name, s.client.state.error.code];
        """,
        f"{{token: {token}}}",
    )
    assert got == [1, "closed", "token_expired"]


async def test_after_a_welcome_an_expiry_has_its_chance_again(play):
    got = await play(
        """
        await s.start();
        for (let round = 0; round < 3; round++) { await s.socket.drop(4002); await s.socket.say(s.welcome); }
        return [s.sockets.length, s.client.state.name];
        """,
        "{token: (() => { let n = 0; return () => `t${++n}`; })()}",
    )
    assert got == [4, "connected"]


async def test_a_draining_server_says_when_to_come_back(play):
    got = await play(
        """
        await s.start();
        await s.socket.say({ type: "reconnect", after: 3 });
        await s.clock.advance(1000);
        const kept = [s.client.state.name, s.sockets.length];
        await s.socket.drop(1012);
        const waits = [s.client.state.name, s.client.state.error.code, s.client.state.delay];
        await s.clock.advance(2000);
        return [kept, waits, s.sockets.length];
        """
    )
    assert got == [["connected", 1], ["waiting", "restarting", 2000], 2]


async def test_a_draining_server_that_does_not_close_is_left_in_time(play):
    got = await play(
        "await s.start(); await s.socket.say({type: 'reconnect', after: 3}); await s.clock.advance(3000);"
        "return [s.sockets.length, s.sockets[0].closeCode]"
    )
    assert got == [2, 4000]


async def test_connect_tries_at_once_while_it_waits(play):
    got = await play(
        """
        await s.start();
        await s.socket.drop();
        await s.connect(); await s.connect();
        const opened = s.sockets.length;
        await s.clock.advance(9_000);
        return [opened, s.sockets.length];
        """
    )
    assert got == [2, 2]


async def test_close_is_a_goodbye_and_connect_opens_again(play):
    got = await play(
        """
        await s.start();
        const sent = s.outcome(s.client.publish("room:a", "x", {}));
        s.client.close(); s.client.close(); await s.settle();
        const closed = [s.socket.closeCode, sent, s.states.at(-1).name, s.states.length];
        await s.clock.advance(600_000);
        const quiet = s.sockets.length;
        await s.start();
        return [closed, quiet, s.client.state.name];
        """
    )
    assert got == [[1000, {"state": "rejected", "code": "closed"}, "closed", 3], 1, "connected"]


async def test_closing_from_a_listener_is_final(play):
    got = await play(
        """
        s.client.on("state", ({ name }) => name === argument && s.client.close());
        await s.connect();
        await s.socket?.say(s.welcome);
        await s.clock.advance(600_000);
        return [s.sockets.length, s.client.state.name];
        """,
        argument="connecting",
    )
    assert got == [0, "closed"]


# ------------------------------------------------------------------------------------------------- alive


async def test_a_silent_connection_is_dropped(play):
    got = await play(
        """
        await s.start();
        await s.clock.advance(40_000);
        const before = s.client.state.name;
        await s.clock.advance(8_000);
        return [before, s.sockets[0].closeCode, s.sockets.length];
        """
    )
    assert got == ["connected", 4000, 2]


async def test_anything_that_arrives_is_a_sign_of_life(play):
    got = await play(
        """
        await s.start();
        for (let beat = 0; beat < 8; beat++) { await s.clock.advance(25_000); await s.socket.say({ type: "ping" }); }
        return [s.sockets.length, s.socket.of("pong").length];
        """
    )
    assert got == [1, 8]


@pytest.mark.parametrize("name", ["online", "offline", "pageshow"])
async def test_a_change_outside_makes_it_look_at_once(play, name):
    got = await play(
        """
        await s.start();
        window.dispatchEvent(new Event(argument));
        const asked = s.socket.of("ping").length;
        await s.clock.advance(6_000);
        const dropped = s.sockets[0].closeCode;
        await s.clock.advance(1_000); await s.socket.say(s.welcome);
        window.dispatchEvent(new Event(argument));
        await s.socket.say({ type: "pong" });
        await s.clock.advance(6_000);
        s.client.close();
        return [asked, dropped, s.sockets.length];
        """,
        argument=name,
    )
    assert got == [1, 4000, 2]


async def test_waking_from_sleep_makes_it_look_at_once(play):
    got = await play(
        """
        await s.start();
        s.clock.sleep(3_600_000);
        await s.clock.advance(1);
        const asked = s.socket.of("ping").length;
        await s.clock.advance(5_500);
        return [asked, s.sockets[0].closeCode];
        """
    )
    assert got == [1, 4000]


async def test_being_online_again_ends_the_wait(play):
    got = await play(
        """
        await s.start();
        await s.socket.drop();
        window.dispatchEvent(new Event("online")); await s.settle();
        return s.sockets.length;
        """
    )
    assert got == 2


async def test_a_command_without_an_answer_finds_the_dead_connection(play):
    got = await play(
        """
        const room = s.client.join("general");
        await s.start(); await s.socket.say(s.joined());
        await s.clock.advance(9_000); await s.socket.say({ type: "ping" });
        room.send("hi");
        await s.clock.advance(10_000);
        return s.sockets[0].closeCode;
        """
    )
    assert got == 4000


def jwt(**claims: float) -> str:
    """A token that looks like one; nobody here verifies it."""
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts) + ".x"


async def test_a_live_identity_is_renewed_before_it_ends(play):
    first, second = jwt(exp=1600, iat=1000, sub="ada"), jwt(exp=2200, iat=1600, sub="ada")
    got = await play(
        """
        window.tokens = [...argument];
        await s.start({ heartbeat: 10_000 });
        await s.clock.advance(539_000);
        const early = s.socket.of("auth").length;
        await s.clock.advance(2_000);
        return [early, s.socket.of("auth").map(({ token }) => token), s.sockets.length];
        """,
        "{token: () => window.tokens.shift() ?? argument.at(-1)}",
        argument=[first, second],
    )
    assert got == [0, [second], 1]


async def test_a_fresh_token_that_no_header_can_carry_is_not_sent(play):
    got = await play(
        """
        await s.start({ heartbeat: 10_000 });
        token = "\\ud83d";
        await s.clock.advance(700_000);
        const sent = s.socket.of("auth").length;
        await s.socket.drop(4002, "Token expired");
        return [sent, s.client.state.name, s.client.state.error.code];
        """,
        "{token: (() => { window.token = argument; return () => token; })()}",
        argument=jwt(exp=1600, iat=1000, sub="ada"),
    )
    assert got == [0, "closed", "unauthorized"]


async def test_a_token_that_is_still_the_same_renews_nothing(play):
    got = await play(
        """
        await s.start({ heartbeat: 10_000 });
        await s.clock.advance(700_000);
        return [s.socket.of("auth").length, s.sockets.length];
        """,
        "{token: () => argument}",
        argument=jwt(exp=1600, iat=1000, sub="ada"),
    )
    assert got == [0, 1]


@pytest.mark.parametrize(
    ("claims", "now", "left"),
    [
        ({"exp": 1600, "iat": 1000}, 1_000_000, 600_000),
        ({"exp": 1600, "iat": 1000}, 1_400_000, 200_000),
        ({"exp": 1600, "iat": 1000}, 9_000_000, 600_000),  # this clock is wrong
        ({"exp": 1600}, 1_000_000, 600_000),
        ({"exp": 1600}, 9_000_000, None),
        ({}, 1_000_000, None),
    ],
)
async def test_the_life_that_a_token_has_left(play, claims, now, left):
    got = await play("return s.remainingLife(argument[0], argument[1])", argument=[jwt(**claims), now])
    assert got == left


async def test_an_opaque_token_says_nothing_of_its_life(play):
    assert await play("return [s.remainingLife('opaque', 1), s.remainingLife(undefined, 1)]") == [None, None]


# ------------------------------------------------------------------------------------------------ resume


async def test_it_rejoins_with_its_position(play):
    got = await play(
        """
        const room = s.client.join("general");
        await s.start();
        const first = s.socket.of("join_room")[0];
        await s.socket.say(s.joined({ offset: 41 }), s.message(42), s.message(44));
        await s.comeBack();
        return [first.since ?? null, s.socket.of("join_room")[0].since];
        """
    )
    assert got == [None, {"epoch": "e1", "offset": 44, "id": "id44"}]


async def test_what_was_missed_is_delivered_once_and_in_order(play):
    got = await play(
        """
        const seen = []; const lost = [];
        const room = s.client.join("general");
        room.on("message", ({ content }) => seen.push(content));
        room.on("lost", ({ reason }) => lost.push(reason));
        await s.start();
        await s.socket.say(s.joined({ offset: 1 }), s.message(2));
        await s.comeBack();
        await s.socket.say(s.joined({ offset: 4, recovered: true, messages: [s.message(2), s.message(3), s.message(4)] }),
          s.message(4), s.message(5));
        return [seen, lost, room.position];
        """
    )
    assert got == [["m2", "m3", "m4", "m5"], [], {"epoch": "e1", "offset": 5, "id": "id5"}]


async def test_a_top_that_this_reader_may_not_see_is_its_place_all_the_same(play):
    got = await play(
        """
        const room = s.client.join("general");
        await s.start(); await s.socket.say(s.joined({ offset: 1 }));
        await s.comeBack();
        await s.socket.say(s.joined({ offset: 9, recovered: true, messages: [s.message(4)] }));
        return JSON.parse(JSON.stringify(room.position));
        """
    )
    assert got == {"epoch": "e1", "offset": 9}


@pytest.mark.parametrize(
    "answer", ["{recovered: false, offset: 90}", "{recovered: false, epoch: 'e2', offset: 1}", "{offset: 90}"]
)
async def test_what_is_not_recovered_is_told(play, answer):
    got = await play(
        f"""
        const lost = []; const seen = [];
        const room = s.client.join("general");
        room.on("lost", (event) => lost.push(event));
        room.on("message", ({{ offset }}) => seen.push(offset));
        await s.start(); await s.socket.say(s.joined({{ offset: 41 }}));
        await s.comeBack();
        const joined = s.joined({answer});
        await s.socket.say(joined, s.message(joined.offset + 1));
        return [lost, seen.map((offset) => offset - joined.offset), room.position.epoch === joined.epoch];
        """
    )
    assert got == [[{"reason": "not_recovered"}], [1], True]


async def test_what_a_new_stream_already_holds_is_not_taken_for_seen(play):
    got = await play(
        """
        const seen = [];
        const room = s.client.join("general");
        room.on("message", ({ offset }) => seen.push(offset));
        await s.start(); await s.socket.say(s.joined({ offset: 41 }));
        await s.comeBack();
        await s.socket.say(s.joined({ recovered: false, epoch: "e2", offset: 2, messages: [s.message(1), s.message(2)] }));
        return [seen, room.position];
        """
    )
    assert got == [[1, 2], {"epoch": "e2", "offset": 2, "id": "id2"}]


async def test_gaps_and_resets_are_told_and_move_the_position(play):
    got = await play(
        """
        const lost = [];
        const room = s.client.join("general");
        room.on("lost", (event) => lost.push(event));
        await s.start(); await s.socket.say(s.joined({ offset: 11 }));
        await s.socket.say({ type: "gap", channel: "room:general", from: 12, to: 19 });
        const after = room.position.offset;
        await s.socket.say({ type: "reset", channel: "room:general", epoch: "e2", offset: 3 });
        await s.comeBack();
        return [lost, after, s.socket.of("join_room")[0].since];
        """
    )
    assert got[0] == [{"reason": "gap", "from": 12, "to": 19}, {"reason": "reset"}]
    assert got[1:] == [19, {"epoch": "e2", "offset": 3}]


async def test_the_users_own_channel_is_resumed_without_a_hole(play):
    got = await play(
        """
        const seen = [];
        s.client.on("notification", ({ data }) => seen.push(data.id));
        const push = (offset) => ({ type: "notification", channel: "user:ada", offset, id: `id${offset}`, data: { id: offset } });
        const own = { channel: "user:ada", epoch: "e1", offset: 7 };
        await s.start(own);
        const asked = s.socket.of("subscribe").length;
        await s.socket.say(push(8));
        await s.comeBack({ ...own, offset: 10 });
        const [{ channel, since }] = s.socket.of("subscribe");
        await s.socket.say(push(11)); // overtakes the answer
        const early = [...seen];
        await s.socket.say({ type: "subscribed", channel, epoch: "e1", offset: 11, recovered: true, messages: [push(9), push(10), push(11)] });
        return [asked, channel, since, early, seen];
        """
    )
    assert got == [0, "user:ada", {"epoch": "e1", "offset": 8, "id": "id8"}, [8], [8, 9, 10, 11]]


async def test_a_subscription_lives_as_a_room_does(play):
    got = await play(
        """
        const seen = [];
        const orders = s.client.subscribe("topic:orders");
        orders.on("event", ({ event, data }) => seen.push([event, data]));
        await s.start();
        const channel = "topic:orders";
        await s.socket.say({ type: "subscribed", channel, epoch: "e", offset: 7, messages: [] },
          { type: "event", channel, event: "created", data: { n: 1 }, offset: 8, id: "x" });
        await s.comeBack();
        return [seen, s.socket.of("subscribe")[0].since, s.client.subscribe("topic:orders") === orders];
        """
    )
    assert got == [[["created", {"n": 1}]], {"epoch": "e", "offset": 8, "id": "x"}, True]


async def test_a_channels_own_token_is_fetched_before_each_join(play):
    got = await play(
        """
        let n = 0;
        s.client.subscribe("vip:1", { token: async () => `v${++n}` });
        await s.start();
        const first = s.socket.of("subscribe")[0].token;
        await s.socket.say({ type: "subscribed", channel: "vip:1", epoch: "e", offset: 0, messages: [] });
        await s.socket.say({ type: "unsubscribed", channel: "vip:1", code: 2501, reason: "expired" });
        await s.clock.advance(2000);
        return [first, s.socket.of("subscribe")[1].token];
        """
    )
    assert got == ["v1", "v2"]


async def test_a_refused_join_is_told_and_not_repeated(play):
    got = await play(
        """
        const room = s.client.join("secret"); const errors = [];
        room.on("error", ({ code }) => errors.push(code));
        await s.start();
        await s.socket.say({ type: "error", code: "forbidden", message: "No.", ref: s.socket.of("join_room")[0].ref });
        await s.comeBack();
        return [errors, room.state, s.socket.of("join_room").length];
        """
    )
    assert got == [["forbidden"], "refused", 0]


async def test_a_join_that_came_too_fast_is_repeated(play):
    got = await play(
        """
        const room = s.client.join("general"); const errors = [];
        room.on("error", ({ code }) => errors.push(code));
        await s.start();
        await s.socket.say({ type: "error", code: "rate_limited", message: "Slow.", ref: s.socket.of("join_room")[0].ref });
        await s.clock.advance(2000);
        return [errors, s.socket.of("join_room").length];
        """
    )
    assert got == [[], 2]


async def test_leaving_and_joining_again_at_once(play):
    got = await play(
        """
        const first = s.client.join("general");
        await s.start(); await s.socket.say(s.joined());
        first.leave();
        const second = s.client.join("general"); const seen = [];
        second.on("message", ({ content }) => seen.push(content));
        await s.socket.say({ type: "left", room_id: "general", channel: "room:general" }, s.joined({ offset: 4 }), s.message(5));
        return [first.state, second.state, seen, s.socket.sent.map(({ type }) => type)];
        """
    )
    assert got == ["left", "joined", ["m5"], ["join_room", "leave_room", "join_room"]]


async def test_being_put_out_is_told(play):
    got = await play(
        """
        const room = s.client.join("general"); const left = [];
        room.on("left", ({ type }) => left.push(type));
        await s.start(); await s.socket.say(s.joined(), { type: "left", room_id: "general", channel: "room:general" });
        await s.comeBack();
        return [left, room.state, s.socket.of("join_room").length];
        """
    )
    assert got == [["left"], "left", 0]


# ------------------------------------------------------------------------------------------------ outbox


async def test_send_is_resolved_by_its_ack(play):
    got = await play(
        """
        const room = s.client.join("general");
        await s.start(); await s.socket.say(s.joined());
        const sent = s.outcome(room.send("hi"));
        const before = sent.state;
        await s.socket.ack("message", { id: "x", epoch: "e1", offset: 1 });
        const { id, epoch, offset } = sent.value;
        return [before, sent.state, id, epoch, offset];
        """
    )
    assert got == ["pending", "resolved", "x", "e1", 1]


async def test_send_is_rejected_with_the_servers_code(play):
    got = await play(
        """
        const room = s.client.join("general");
        await s.start(); await s.socket.say(s.joined());
        const error = room.send("hi").catch((error) => error);
        await s.socket.say({ type: "error", code: "forbidden", message: "No.", ref: s.socket.of("message")[0].ref });
        return [(await error) instanceof s.HubbubError, (await error).code, (await error).message];
        """
    )
    assert got == [True, "forbidden", "No."]


async def test_what_is_written_offline_is_sent_after_the_rejoin_in_order(play):
    got = await play(
        """
        const room = s.client.join("general");
        await s.start(); await s.socket.say(s.joined());
        await s.socket.drop();
        const sent = ["a", "b", "c"].map((text) => s.outcome(room.send(text)));
        await s.clock.advance(1000);
        const early = s.socket.sent.length;
        await s.socket.say(s.welcome, s.joined({ recovered: true }));
        for (const id of ["1", "2", "3"]) await s.socket.ack("message", { id, epoch: "e1", offset: Number(id) });
        return [early, s.socket.sent.map(({ type, content }) => content ?? type), sent.map(({ value }) => value?.id)];
        """
    )
    assert got == [0, ["join_room", "a", "b", "c"], ["1", "2", "3"]]


async def test_what_was_not_acknowledged_is_repeated_under_its_key(play):
    got = await play(
        """
        const room = s.client.join("general");
        await s.start(); await s.socket.say(s.joined());
        room.send("a"); await s.socket.ack("message", { id: "1", epoch: "e1", offset: 1 });
        room.send("b");
        const [a, b] = s.socket.of("message").map((message) => message.idempotency_key);
        await s.comeBack(); await s.socket.say(s.joined({ recovered: true }));
        return [s.socket.of("message").map(({ content, idempotency_key: key }) => [content, key === b]), a !== b, b.length];
        """
    )
    assert got == [[["b", True]], True, 32]


async def test_the_outbox_is_bounded(play):
    got = await play(
        """
        const room = s.client.join("general");
        const sent = Array.from({ length: 102 }, (_, index) => s.outcome(room.send(`${index}`)));
        await s.settle();
        const states = sent.map(({ state, code }) => code ?? state);
        return [states.slice(0, 100).every((state) => state === "pending"), states.slice(100)];
        """
    )
    assert got == [True, ["outbox_full", "outbox_full"]]


async def test_a_command_that_came_too_fast_keeps_its_place(play):
    got = await play(
        """
        const room = s.client.join("general");
        await s.start(); await s.socket.say(s.joined());
        const first = s.outcome(room.send("a"));
        await s.socket.say({ type: "error", code: "rate_limited", message: "Slow.", ref: s.socket.of("message")[0].ref });
        room.send("b");
        const waiting = s.socket.of("message").length;
        await s.clock.advance(1000); await s.socket.ack("message", { id: "1", epoch: "e1", offset: 1 });
        return [waiting, s.socket.of("message").map(({ content }) => content), first.state];
        """
    )
    assert got == [1, ["a", "a", "b"], "resolved"]


async def test_a_message_waits_for_a_join_that_is_late(play):
    got = await play(
        """
        const room = s.client.join("general");
        const sent = s.outcome(room.send("a"));
        await s.start();
        const fail = (type, code) => s.socket.say({ type: "error", code, message: "", ref: s.socket.of(type).at(-1).ref });
        await fail("join_room", "rate_limited"); await fail("message", "not_subscribed");
        await s.clock.advance(2000); await s.socket.say(s.joined());
        const repeated = s.socket.of("message").length;
        await fail("message", "not_subscribed"); // now it is joined, and the answer is final
        return [repeated, sent.code];
        """
    )
    assert got == [2, "not_subscribed"]


async def test_a_command_is_not_repeated_for_ever(play):
    got = await play(
        """
        const sent = s.outcome(s.client.publish("room:a", "x", {}));
        await s.start();
        for (let turn = 0; turn < 6; turn++) {
          await s.socket.say({ type: "error", code: "unavailable", message: "", ref: s.socket.of("publish").at(-1).ref });
          await s.clock.advance(10_000);
        }
        return [s.socket.of("publish").length, sent.code];
        """
    )
    assert got == [6, "unavailable"]


async def test_a_frame_that_the_server_would_close_for_is_not_sent(play):
    got = await play(
        """
        const room = s.client.join("general");
        await s.start(); await s.socket.say(s.joined());
        const sent = s.outcome(room.send("é".repeat(40_000))); await s.settle();
        return [sent.code, s.socket.of("message").length];
        """
    )
    assert got == ["too_large", 0]


HALVES = {
    "a high one": '"\\u{1F600}".slice(0, 1)',
    "a low one": '"\\u{1F600}".slice(1)',
    "at the end": '"hi \\ud83d"',
    "two high ones": '"\\ud83d\\ud83d"',
    "the wrong way round": '"\\ude00\\ud83d"',
    "behind a backslash": r'"\\" + "\ud83d"',
    "behind two backslashes": r'"\\\\" + "\ud83d"',
    "behind its own spelling": r'"\\ud83d" + "\ud83d"',
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
@pytest.mark.parametrize("connected", [True, False])
async def test_text_that_is_not_well_formed_is_rejected_at_once(play, half, connected):
    got = await play(
        f"""
        const half = {half};
        const room = s.client.join("general");
        if (argument) {{ await s.start(); await s.socket.say(s.joined()); }}
        const asked = [
          room.send(half), room.publish(half, {{}}), room.publish("e", {{ deep: [{{ a: half }}] }}),
          room.publish("e", {{ [half]: 1 }}), s.client.publish("room:" + half, "e", 1), room.presence({{ cursor: half }}),
        ];
        const outcomes = asked.map(s.outcome);
        const said = [];
        for (const promise of asked) promise.catch(({{ message }}) => said.push(message.includes("well-formed Unicode")));
        await s.settle();
        const later = s.outcome(room.send("hi"));
        if (argument) await s.socket.ack("message");
        await s.settle();
        return [
          outcomes.map(({{ state, code }}) => code ?? state), said,
          later.state, s.sockets.flatMap((socket) => socket.sent).map(({{ type }}) => type),
        ];
        """,
        argument=connected,
    )
    frames = ["join_room", "message"] if connected else []
    assert got == [["bad_request"] * 6, [True] * 6, "resolved" if connected else "pending", frames]


async def test_text_that_only_looks_like_half_a_pair_is_sent(play):
    texts = [
        "😀",
        r"\ud83d",
        r"\\ud83d",
        "ud83d",
        "\\",
        "\\\\",
        "\n\\ud83d",
        '"\\ud83d"',
        "\\" * 5001 + "ud83d",
        "\x00\ufffe",
    ]
    got = await play(
        """
        const room = s.client.join("general");
        await s.start(); await s.socket.say(s.joined());
        const sent = [];
        for (const text of argument) {
          sent.push(s.outcome(room.send(text)));
          await s.socket.ack("message");
          sent.push(s.outcome(room.publish(text, { [text]: text })));
          await s.socket.ack("publish");
        }
        return [sent.map(({ state, code }) => code ?? state), s.socket.of("message").map(({ content }) => content)];
        """,
        argument=texts,
    )
    assert got == [["resolved"] * 2 * len(texts), texts]


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("join", ['s.client.join("\\ud83d")', 's.client.subscribe("topic:\\ud83d")'])
async def test_a_name_that_is_not_well_formed_is_a_join_refused(play, join, connected):
    got = await play(
        f"""
        if (argument) await s.start();
        const channel = {join};
        const errors = [];
        channel.on("error", ({{ code }}) => errors.push(code));
        await s.settle();
        const state = channel.state;
        if (!argument) await s.start();
        const published = s.outcome(channel.publish("e", 1));
        channel.leave();
        await s.settle();
        return [state, errors, s.socket.sent, published.code];
        """,
        argument=connected,
    )
    assert got == ["refused", ["bad_request"], [], "bad_request"]


async def test_a_rooms_token_that_is_not_well_formed_is_a_join_refused_and_stops_nothing_else(play):
    got = await play(
        """
        const errors = [];
        const room = s.client.join("vip", { token: "\\ud83d" });
        room.on("error", ({ code }) => errors.push(code));
        const said = s.outcome(s.client.publish("topic:a", "e", 1));
        await s.start();
        await s.socket.ack("publish");
        return [room.state, errors, said.state, s.socket.sent.map(({ type }) => type)];
        """
    )
    assert got == ["refused", ["bad_request"], "resolved", ["publish"]]


async def test_what_was_asked_is_what_is_sent(play):
    got = await play(
        """
        const data = { x: 1 };
        void s.client.publish("topic:a", "e", data);
        data.x = "\\ud83d";
        await s.start();
        return s.socket.of("publish").map(({ data }) => data);
        """
    )
    assert got == [{"x": 1}]


# ----------------------------------------------------------------------------------------------- presence


async def test_members_are_kept_live(play):
    got = await play(
        """
        const room = s.client.join("general"); const told = [];
        room.on("presence", ({ members, activeUsers, joined, left }) => told.push([members, activeUsers, joined ?? left ?? null]));
        const change = (type, user_id, active_users) => ({ type, channel: "room:general", room_id: "general", user_id, active_users });
        await s.start();
        await s.socket.say(s.joined({ members: ["ada", "carol"], active_users: 2 }),
          change("user_joined", "bob", 3), change("user_left", "carol", 2));
        return [told, room.members, room.activeUsers];
        """
    )
    told, members, count = got
    assert told == [
        [["ada", "carol"], 2, None],
        [["ada", "bob", "carol"], 3, "bob"],
        [["ada", "bob"], 2, "carol"],
    ]
    assert (members, count) == (["ada", "bob"], 2)


async def test_too_many_members_are_counted_only(play):
    got = await play(
        """
        const room = s.client.join("general");
        await s.start();
        await s.socket.say(s.joined({ members: undefined, active_users: 140 }),
          { type: "user_joined", channel: "room:general", room_id: "general", user_id: "zoe", active_users: 141 });
        return [room.members, room.activeUsers];
        """
    )
    assert got == [None, 141]


async def test_typing_is_throttled(play):
    got = await play(
        """
        const room = s.client.join("general");
        room.typing();
        await s.start(); await s.socket.say(s.joined());
        for (let key = 0; key < 30; key++) { room.typing(); await s.clock.advance(100); }
        const typed = s.socket.of("typing").length;
        room.send("hi"); room.typing();
        return [typed, s.socket.of("typing").length];
        """
    )
    assert got == [2, 3]


# ----------------------------------------------------------------------------------------------- listeners


async def test_a_listener_can_be_taken_away(play):
    got = await play(
        """
        const seen = [];
        const off = s.client.on("broadcast", ({ event }) => seen.push(event));
        const say = (event) => s.socket.say({ type: "broadcast", event, data: {}, timestamp: "" });
        await s.start(); await say("one"); off(); await say("two");
        return seen;
        """
    )
    assert got == ["one"]


async def test_a_listener_that_fails_takes_nothing_from_the_others(play, page):
    reported = []

    def report(error):
        reported.append(str(error))

    page.once("pageerror", report)
    got = await play(
        """
        const seen = [];
        s.client.on("broadcast", () => { throw new Error("a fault of the application"); });
        s.client.on("broadcast", ({ event }) => seen.push(event));
        await s.start(); await s.socket.say({ type: "broadcast", event: "news", data: {}, timestamp: "" });
        return [seen, s.client.state.name];
        """
    )
    assert got == [["news"], "connected"]
    assert reported == ["a fault of the application"]


# --------------------------------------------------------------------------------------- the real server


async def test_everything_once_with_the_real_server(server, play):
    got = await play(
        """
        const client = new s.HubbubClient({ token: argument });
        const seen = []; const states = [];
        const room = client.join("client:test ü");
        client.on("state", ({ name }) => states.push(name));
        const joined = new Promise((resolve) => room.on("joined", resolve));
        const echo = new Promise((resolve) => room.on("message", resolve));
        client.connect();
        const sent = await room.send("hi");
        const { type, members } = await joined;
        const pushed = await echo;
        const history = await room.history({ limit: 10 });
        const presence = await room.presence();
        const refused = await client.publish("nowhere:1", "x", {}).catch(({ code }) => code);
        client.close();
        return {
          states, type, members, same: pushed.id === sent.id && pushed.offset === sent.offset, content: pushed.content,
          history: history.messages.map(({ id }) => id === sent.id), presence: presence.members, refused, user: client.userId,
        };
        """,
        argument=server.credentials("client-ada").token,
    )
    assert got == {
        "states": ["connecting", "connected", "closed"],
        "type": "joined",
        "members": ["client-ada"],
        "same": True,
        "content": "hi",
        "history": [True],
        "presence": ["client-ada"],
        "refused": "unknown_channel",
        "user": "client-ada",
    }


async def test_a_full_outbox_reaches_the_real_server_in_order(server, play):
    got = await play(
        """
        const client = new s.HubbubClient({ token: argument });
        const room = client.join("outbox");
        const texts = Array.from({ length: 100 }, (_, index) => `number ${index}`);
        const sent = texts.map((text) => room.send(text));
        client.connect();
        const offsets = (await Promise.all(sent)).map(({ offset }) => offset);
        const { messages } = await room.history({ limit: 200 });
        client.close();
        return [messages.map(({ content }) => content), offsets];
        """,
        argument=server.credentials("outbox-ada").token,
    )
    assert got == [[f"number {index}" for index in range(100)], list(range(1, 101))]


async def test_when_its_worker_is_rolled_it_comes_back_at_the_moment_it_was_told(browser, tmp_path):
    environment = {"HUBBUB_SECRET_KEY": SECRET, "HUBBUB_DATA_DIR": str(tmp_path)}
    command = [sys.executable, str(FOLDER / "apps" / "supervised.py"), "{port}", "2", "30"]
    async with redis_server(tmp_path) as redis:
        environment["HUBBUB_REDIS_URL"] = redis.url
        with process(command, tmp_path, environment) as workers:
            await eventually(lambda: "All 2 workers are ready." in workers.said, within=30)
            page = await browser.new_page()
            await page.goto(workers.url)
            talking = asyncio.create_task(
                page.evaluate(
                    """
                    async (token) => {
                      const { HubbubClient } = await import("/hubbub.js");
                      const client = new HubbubClient({ token });
                      const room = client.join("general");
                      const states = []; const sent = []; let number = 0;
                      client.on("state", ({ name }) => states.push(name));
                      globalThis.joined = 0;
                      const back = new Promise((resolve) => room.on("joined", () => ++joined === 2 && resolve()));
                      client.connect();
                      const talking = setInterval(() => sent.push(room.send(`number ${number++}`)), 50);
                      await back;
                      clearInterval(talking);
                      await Promise.all(sent);
                      client.close();
                      return [states, number];
                    }
                    """,
                    token("ada"),
                )
            )
            await eventually(lambda: page.evaluate("globalThis.joined === 1"), within=30)
            workers.process.send_signal(signal.SIGHUP)
            states, number = await talking
            await page.close()
    # By itself: had the server's Close been first, it would have waited. It may meet a worker whose turn is next.
    assert states == ["connecting", "connected"] * (len(states) // 2) + ["closed"]
    assert len(states) >= 5
    assert number > 10
