"""The HTTP routes that come with a hub."""

from application import Application

from hubbub.authentication.tickets import MemoryTickets


async def test_the_browser_client():
    async with Application() as application:
        response = await application.http("GET", "/hubbub.js")
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/javascript")
        assert response.headers["cache-control"] == "no-cache"
        assert "export" in response.text
        again = await application.http(
            "GET", "/hubbub.js", headers={"If-None-Match": response.headers["etag"]}
        )
        assert again.status_code in {200, 304}


async def test_tickets_need_an_identity():
    async with Application() as application:
        assert (await application.http("POST", "/api/v1/ws-ticket")).status_code == 401
        one, two = [
            (
                await application.http("POST", "/api/v1/ws-ticket", headers={"Authorization": "Bearer ada"})
            ).json()
            for _ in range(2)
        ]
        assert one["ticket"] != two["ticket"]
        assert set(one) == {"ticket", "expires_in"}


async def test_too_many_open_tickets():
    async with Application(tickets=MemoryTickets(capacity=1)) as application:
        headers = {"Authorization": "Bearer ada"}
        assert (await application.http("POST", "/api/v1/ws-ticket", headers=headers)).status_code == 200
        full = await application.http("POST", "/api/v1/ws-ticket", headers=headers)
        assert full.status_code == 429
        assert "retry-after" in full.headers


async def test_a_ticket_is_in_the_documentation_and_the_client_is_not():
    async with Application() as application:
        paths = (await application.http("GET", "/openapi.json")).json()["paths"]
        assert "/api/v1/ws-ticket" in paths
        assert "/hubbub.js" not in paths
