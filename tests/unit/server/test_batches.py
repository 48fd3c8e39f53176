import pytest
from fastapi import FastAPI

from hubbub import Hub, JWTAuthenticator, MemoryBroker, PublishError
from hubbub.server.batches import AT_ONCE, batch_routes
from hubbub.server.problems import add_problems

from .conftest import SECRET, serving

PATH = "/api/v1/channels/batch"


@pytest.fixture
def server(bearer):
    return bearer("backend", "server")


def batch(*entries):
    return {"publications": [{"channel": "room:a", "event": "x", **entry} for entry in entries]}


async def test_users_may_not(client, bearer):
    assert (await client.post(PATH, json=batch({}))).status_code == 401
    assert (await client.post(PATH, json=batch({}), headers=bearer("ada"))).status_code == 403


async def test_each_is_told_its_place_in_the_order_of_the_request(client, server):
    entries = [{"channel": f"room:{name}", "data": number} for number, name in enumerate("abab")]
    answer = (await client.post(PATH, headers=server, json=batch(*entries))).json()
    assert [result["place"]["offset"] for result in answer["results"]] == [1, 1, 2, 2]
    assert answer["failed"] == 0
    history = (await client.get("/api/v1/channels/room:a/history", headers=server)).json()
    assert [each["data"] for each in history["publications"]] == [0, 2]


async def test_one_that_is_refused_holds_up_no_other(client, server):
    entries = [{"data": 1}, {"channel": "nowhere:a"}, {"data": "x" * 70_000}, {"data": 2}]
    response = await client.post(PATH, headers=server, json=batch(*entries))
    assert response.status_code == 200
    first, unknown, large, last = response.json()["results"]
    assert (first["place"]["offset"], last["place"]["offset"]) == (1, 2)
    assert unknown["error"].items() >= {"type": "urn:hubbub:error:unknown_channel", "status": 404}.items()
    assert large["error"].items() >= {"type": "urn:hubbub:error:too_large", "status": 413}.items()
    assert "place" not in large
    assert response.json()["failed"] == 2


async def test_the_same_keys_again_publish_nothing_new(client, server):
    body = batch(*({"idempotency_key": f"k-{number}"} for number in range(3)))
    first, again = [(await client.post(PATH, headers=server, json=body)).json() for _ in range(2)]
    assert first == again
    history = (await client.get("/api/v1/channels/room:a/history", headers=server)).json()
    assert history["offset"] == 3


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "publications: Field required"),
        (batch(), "publications: List should have at least 1 item"),
        (batch(*[{}] * (AT_ONCE + 1)), "publications: List should have at most 500 items"),
        (batch({}, {"event": ""}), "publications.1.event: String should have at least 1"),
        (batch({}, {"channel": "x" * 256}), "publications.1.channel: String should have at most 255"),
        (batch({}, {"exclud": []}), "publications.1.exclud: Extra inputs"),
        ({**batch({}), "atomic": True}, "atomic: Extra inputs"),
    ],
)
async def test_a_body_that_is_not_valid_publishes_nothing(client, server, body, said):
    response = await client.post(PATH, headers=server, json=body)
    assert response.status_code == 422
    assert response.json()["detail"].startswith(said)
    history = (await client.get("/api/v1/channels/room:a/history", headers=server)).json()
    assert history["offset"] == 0


class Failing(MemoryBroker):
    """Takes nothing with the data 2."""

    async def publish(self, draft, retention, idempotency_key=None):
        if draft.data == b"2":
            raise PublishError("The broker is gone.")
        return await super().publish(draft, retention, idempotency_key)


async def test_after_one_that_the_broker_did_not_take_the_rest_is_not_tried(bearer):
    hub = Hub(broker=Failing(), authenticate=JWTAuthenticator(SECRET))
    hub.namespace("room")
    app = FastAPI(lifespan=hub.lifespan)
    add_problems(app)
    app.include_router(batch_routes(hub))
    async with serving(app) as client:
        body = batch(*({"data": number} for number in range(1, 5)))
        answer = (await client.post("/channels/batch", headers=bearer("backend", "server"), json=body)).json()
        assert (await hub.history("room:a")).top.offset == 1
    taken, *rest = answer["results"]
    assert taken["place"]["offset"] == 1
    assert [each["error"]["status"] for each in rest] == [503, 503, 503]
    assert [each["error"]["detail"][:13] for each in rest] == [
        "The broker is",
        "It was not tr",
        "It was not tr",
    ]
    assert answer["failed"] == 3
