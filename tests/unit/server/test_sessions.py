import asyncio

import pytest
from fastapi import FastAPI

from hubbub import Hub, JWTAuthenticator, MemoryBroker
from hubbub.server.problems import add_problems
from hubbub.server.sessions import session_routes
from hubbub.testing import FakeClock

from .conftest import SECRET, serving

OWN = "/api/v1/me/sessions"


def header(token):
    return {"Authorization": f"Bearer {token}"}


async def test_nobody_has_none_without_a_token(client):
    assert (await client.get(OWN)).status_code == 401
    assert (await client.delete(f"{OWN}/x")).status_code == 401


async def test_visitors_have_none(running):
    async with running(allow_anonymous=True) as client:
        assert (await client.get(OWN)).status_code == 401


async def test_one_sees_ones_own_devices_and_which_one_asks(house):
    phone, laptop = house.token("ada"), house.token("ada")
    clients = [await house.enter("ada", token=token) for token in (phone, laptop)]
    await house.enter("bob")
    answer = (await house.http.get(OWN, headers=header(laptop))).json()
    assert {(each["id"], each["current"]) for each in answer["sessions"]} == {
        (clients[0].welcome["session_id"], False),
        (clients[1].welcome["session_id"], True),
    }
    assert (answer["next_cursor"], answer["complete"]) == (None, True)
    assert answer["sessions"][0].keys() == {"id", "since", "transport", "channels", "current"}


async def test_ending_one_closes_it_and_its_token_is_worth_nothing(house):
    phone, laptop = house.token("ada"), house.token("ada")
    lost = await house.enter("ada", token=phone)
    kept = await house.enter("ada", token=laptop)
    path = f"{OWN}/{lost.welcome['session_id']}"
    assert (await house.http.delete(path, headers=header(laptop))).status_code == 204
    closed = await lost.expect_close()
    assert (closed.code, closed.reason) == (4010, "Revoked")
    refused = await house.http.get(OWN, headers=header(phone))
    assert (refused.status_code, refused.json()["detail"]) == (401, "The token was revoked.")
    again = (await house.http.get(OWN, headers=header(laptop))).json()
    assert [each["id"] for each in again["sessions"]] == [kept.welcome["session_id"]]
    assert (await house.http.delete(path, headers=header(laptop))).status_code == 404


async def test_ending_the_own_one_signs_it_out(house):
    token = house.token("ada")
    ada = await house.enter("ada", token=token)
    path = f"{OWN}/{ada.welcome['session_id']}"
    assert (await house.http.delete(path, headers=header(token))).status_code == 204
    assert (await ada.expect_close()).code == 4010
    assert (await house.http.get(OWN, headers=header(token))).status_code == 401


async def test_nobody_ends_anothers(house):
    ada = await house.enter("ada")
    path = f"{OWN}/{ada.welcome['session_id']}"
    assert (await house.http.delete(path, headers=header(house.token("bob")))).status_code == 404
    await ada.send({"type": "ping"})
    await ada.expect("pong")


@pytest.mark.parametrize("session", ["x", "%00", "%1Fcontrol", "☃", "' OR 1=1"])
async def test_ids_that_cannot_be_are_not_found(house, session):
    await house.enter("ada")
    response = await house.http.delete(f"{OWN}/{session}", headers=header(house.token("ada")))
    assert response.status_code == 404


async def test_an_id_without_end_is_refused(house):
    response = await house.http.delete(f"{OWN}/{'x' * 2000}", headers=header(house.token("ada")))
    assert response.status_code == 400


class Forgetful(MemoryBroker):
    """Answers between nodes are lost."""

    def __init__(self, clock):
        super().__init__(clock)
        self.asked = asyncio.Event()

    async def publish(self, draft, retention, idempotency_key=None):
        if draft.event == "answer":
            self.asked.set()
            return None
        return await super().publish(draft, retention, idempotency_key)


async def test_one_that_may_be_on_a_node_that_did_not_answer_is_tried_again(bearer):
    clock = FakeClock()
    broker = Forgetful(clock)
    hub = Hub(broker=broker, authenticate=JWTAuthenticator(SECRET), clock=clock)
    app = FastAPI(lifespan=hub.lifespan)
    add_problems(app)
    app.include_router(session_routes(hub))
    async with serving(app) as client, asyncio.timeout(5):
        for method, status in (("GET", 200), ("DELETE", 503)):
            path = "/me/sessions" if method == "GET" else "/me/sessions/x"
            asking = asyncio.ensure_future(client.request(method, path, headers=bearer("ada")))
            await broker.asked.wait()
            again = await client.request(method, path, headers=bearer("ada"))
            assert (again.status_code, "already" in again.json()["detail"]) == (429, True)
            broker.asked.clear()
            clock.advance(2.2)
            response = await asking
            assert response.status_code == status
        assert response.headers["retry-after"] == "1"
