"""A user's own application: identities on every kind of route, middleware, prefixes, and two hubs in one process."""

import asyncio
import json

import pytest
from members import connected, fresh
from serving import Serving, application, bearer, token
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

APP_ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def identities(tmp_path_factory):
    with application("identities", tmp_path_factory.mktemp("identities")) as serving:
        yield serving


@pytest.fixture(scope="module")
def layered(tmp_path_factory):
    with application("layered", tmp_path_factory.mktemp("layered")) as serving:
        yield serving


def to(serving: Serving, path: str, **options) -> connect:
    return connect(f"ws://127.0.0.1:{serving.port}{path}", proxy=None, **options)


async def received(socket: ClientConnection):
    async with asyncio.timeout(10):
        return json.loads(await socket.recv())


async def refusal(serving: Serving, path: str, **options) -> int:
    """Try a handshake and return the status that it was refused with."""
    with pytest.raises(InvalidStatus) as refused:
        async with to(serving, path, **options):
            pass
    return refused.value.response.status_code


async def test_one_identity_on_http_websocket_and_sse_routes(identities):
    who = bearer("ada", team="tea", scope="admin reader")
    expected = {"user_id": "ada", "team": "tea", "scopes": ["admin", "reader"]}

    assert (await identities.get("/mine", headers=who)).json() == expected

    events = await identities.get("/mine/events", headers=who)
    assert events.headers["content-type"].startswith("text/event-stream")
    data = [line for line in events.text.splitlines() if line.startswith("data:")]
    assert [json.loads(line.removeprefix("data:")) for line in data] == [expected]

    async with to(identities, "/mine/ws", additional_headers=who) as socket:
        assert await received(socket) == expected


async def test_every_way_to_carry_a_token_works_on_a_users_own_routes(identities):
    for path in ("/mine", "/mine/events"):
        for options in (
            {"params": {"token": token("ada")}},
            {"headers": {"Cookie": f"session={token('ada')}"}},
        ):
            response = await identities.get(path, **options)
            assert response.status_code == 200
            assert '"ada"' in response.text

    ticket = (await identities.request("POST", "/api/v1/ws-ticket", headers=bearer("ada"))).json()["ticket"]
    for path, options in (
        (f"/mine/ws?token={token('ada')}", {}),
        (f"/mine/ws?ticket={ticket}", {}),
        ("/mine/ws", {"subprotocols": ["hubbub", f"hubbub.bearer.{token('ada')}"]}),
        ("/mine/ws", {"additional_headers": {"Cookie": f"session={token('ada')}"}}),
    ):
        async with to(identities, path, **options) as socket:
            assert (await received(socket))["user_id"] == "ada"
            assert socket.subprotocol == ("hubbub" if "subprotocols" in options else None)
    assert await refusal(identities, f"/mine/ws?ticket={ticket}") == 403


async def test_without_a_valid_token_each_kind_of_route_refuses(identities):
    for headers in ({}, bearer("ada", secret="f0" * 32), bearer("ada", ttl=-3600)):
        for path in ("/mine", "/mine/events"):
            response = await identities.get(path, headers=headers)
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        assert await refusal(identities, "/mine/ws", additional_headers=headers) == 403


async def test_a_foreign_page_cannot_use_the_cookie(identities):
    cookie = {"Cookie": f"session={token('ada')}"}
    evil = {**cookie, "Origin": "https://evil.example.com"}

    assert (await identities.request("POST", "/mine", headers=evil)).status_code == 403
    assert await refusal(identities, "/mine/ws", additional_headers=evil) == 403
    assert await refusal(identities, "/ws", additional_headers=evil) == 403
    assert (await identities.request("POST", "/api/v1/ws-ticket", headers=evil)).status_code == 403

    for origin in (APP_ORIGIN, identities.url):
        headers = {**cookie, "Origin": origin}
        assert (await identities.request("POST", "/mine", headers=headers)).status_code == 200
        async with to(identities, "/ws", additional_headers=headers) as socket:
            assert (await received(socket))["type"] == "welcome"


async def test_behind_middleware_and_a_prefix_everything_still_works(layered):
    room, user = fresh("room"), fresh("user")
    async with bystander_under_prefix(layered, room) as listener:
        async with connected(layered, user, f"/realtime/v1/ws/{room}") as member:
            await member.expect("joined")
            await member.send({"type": "message", "content": "hi"})
            heard = await listener.expect("message")
            assert (heard["content"], heard["user_id"]) == ("hi", user)
        await listener.expect("user_left", user_id=user)


async def test_middleware_leaves_the_hubs_http_routes_whole(layered):
    browser_client = await layered.get("/realtime/v1/hubbub.js", headers={"Accept-Encoding": "gzip"})
    assert browser_client.status_code == 200
    assert browser_client.headers["content-encoding"] == "gzip"
    assert browser_client.headers["x-stamp"] == "/realtime/v1/hubbub.js"
    assert "export" in browser_client.text
    assert (await layered.get("/many")).headers["content-encoding"] == "gzip"

    issued = await layered.request(
        "POST", "/api/v1/ws-ticket", headers={**bearer("ada"), "Origin": APP_ORIGIN}
    )
    assert issued.headers["access-control-allow-origin"] == APP_ORIGIN
    async with to(layered, f"/realtime/v1/ws?ticket={issued.json()['ticket']}") as socket:
        assert (await received(socket))["user_id"] == "ada"


async def test_cors_middleware_does_not_decide_about_websockets(layered):
    """The middleware allows another origin; the hub was told of one, and its own list counts for WebSockets."""
    who = bearer("ada")
    other = {**who, "Origin": "https://other.example.com"}
    assert await refusal(layered, "/realtime/v1/ws", additional_headers=other) == 403
    async with to(layered, "/realtime/v1/ws", additional_headers={**who, "Origin": APP_ORIGIN}) as socket:
        assert (await received(socket))["type"] == "welcome"


async def test_an_unknown_path_beside_the_hub_is_refused_and_harms_nobody(layered):
    assert await refusal(layered, "/ws", additional_headers=bearer("ada")) == 403
    assert await refusal(layered, "/realtime/v1/nothing", additional_headers=bearer("ada")) == 403
    await layered.check_health()


async def test_two_hubs_in_one_process_know_nothing_of_each_other(tmp_path):
    with application("two_hubs", tmp_path) as serving:
        async with (
            connected(serving, None, "/tea/ws/lounge", headers=bearer("ada", aud="tea")) as in_tea,
            connected(serving, None, "/coffee/ws/lounge", headers=bearer("bob", aud="coffee")) as in_coffee,
        ):
            assert (await in_tea.expect("joined"))["members"] == ["ada"]
            joined = await in_coffee.expect("joined")
            assert joined["members"] == ["bob"]

            for _ in range(3):
                answer = await in_tea.ask({"type": "message", "room_id": "lounge", "content": "tea only"})
                assert answer["type"] == "ack"
            answer = await in_coffee.ask({"type": "message", "room_id": "lounge", "content": "coffee only"})
            assert (answer["type"], answer["offset"]) == ("ack", 1)
            history = await in_coffee.ask({"type": "history", "channel": "room:lounge"})
            assert [each["content"] for each in history["messages"]] == ["coffee only"]
            for path in ("/tea/state", "/coffee/state"):
                assert (await serving.get(path)).json()["connections"] == 1

        async with to(serving, "/tea/ws", additional_headers=bearer("bob", aud="coffee")) as socket:
            assert (await received(socket))["code"] == "unauthorized"
        assert await serving.terminate() < 10
        assert serving.complaints() == []


def bystander_under_prefix(serving: Serving, room: str):
    return connected(serving, fresh("listener"), f"/realtime/v1/ws/{room}")
