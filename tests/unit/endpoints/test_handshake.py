"""Who is at the door: each way in, each way not, on WebSocket and HTTP routes alike."""

import asyncio
from typing import Annotated, Any, Self

import pytest
from application import Application, rooms
from fastapi import Depends, Header, HTTPException, WebSocket

from hubbub import Identity
from hubbub.exceptions import AuthenticationUnavailable, LimitExceeded, NotAvailable
from hubbub.testing import Client, Closed
from hubbub.types import UserId

COOKIE = {"session_cookie": "session"}


async def welcomed(client: Client) -> str:
    return (await client.expect("welcome"))["user_id"]


async def turned_away(client: Client) -> tuple[str, int, str]:
    """Return the error's code, and how the connection was closed."""
    error = await client.receive()
    assert error["type"] == "error", error
    closed = await client.expect_close()
    return error["code"], closed.code, closed.reason


class TestWaysIn:
    async def test_a_header(self):
        async with Application() as application:
            assert await welcomed(await application.client(token="ada")) == "ada"
            spelled = await application.client(headers={"Authorization": "bEARER  bob"})
            assert await welcomed(spelled) == "bob"

    async def test_a_subprotocol_which_is_never_echoed(self):
        async with Application() as application:
            client = await application.client(subprotocols=("hubbub", "hubbub.bearer.ada"))
            assert client.subprotocol == "hubbub"
            assert await welcomed(client) == "ada"
            client = await application.client(subprotocols=("hubbub.bearer.ada",))
            assert client.subprotocol is None
            assert await welcomed(client) == "ada"
            client = await application.client(subprotocols=("other", "hubbub"), token="ada")
            assert client.subprotocol == "hubbub"

    async def test_a_query(self):
        async with Application() as application:
            assert await welcomed(await application.client("/ws?token=ada")) == "ada"

    async def test_a_ticket_once(self):
        async with Application() as application:
            response = await application.http(
                "POST", "/api/v1/ws-ticket", headers={"Authorization": "Bearer ada"}
            )
            assert (response.status_code, response.json()["expires_in"]) == (200, 30)
            path = f"/ws?ticket={response.json()['ticket']}"
            assert await welcomed(await application.client(path)) == "ada"
            assert await turned_away(await application.client(path)) == (
                "unauthorized",
                4001,
                "Invalid token",
            )

    async def test_a_ticket_for_half_a_minute(self):
        async with Application() as application:
            response = await application.http(
                "POST", "/api/v1/ws-ticket", headers={"Authorization": "Bearer ada"}
            )
            application.clock.advance(31)
            client = await application.client(f"/ws?ticket={response.json()['ticket']}")
            assert await turned_away(client) == ("unauthorized", 4001, "Invalid token")

    async def test_a_cookie(self):
        async with Application(**COOKIE) as application:
            client = await application.client(headers={"Cookie": "other=1; session=ada"})
            assert await welcomed(client) == "ada"

    async def test_a_cookie_only_where_one_is_configured(self):
        async with Application(auth_deadline=0.02) as application:
            client = await application.client(headers={"Cookie": "session=ada"})
            assert (await turned_away(client))[0] == "unauthorized"

    async def test_the_first_message(self):
        async with Application() as application:
            client = await application.client()
            assert application.node.connections._waiting == 1
            await client.send({"type": "auth", "token": "ada", "ref": 1})
            assert await welcomed(client) == "ada"
            assert (await client.expect("ack"))["ref"] == 1
            assert application.node.connections._waiting == 0

    async def test_nobody_in_particular_where_that_is_allowed(self):
        async with Application(allow_anonymous=True) as application:
            assert await welcomed(await application.client()) == ""
            assert await welcomed(await application.client(token="ada")) == "ada"
            client = await application.client(token="bad")
            assert await turned_away(client) == ("unauthorized", 4001, "Invalid token")

    async def test_what_was_sent_on_purpose_comes_before_the_cookie(self):
        async with Application(**COOKIE) as application:
            client = await application.client("/ws?token=bob", headers={"Cookie": "session=ada"})
            assert await welcomed(client) == "bob"


class TestWaysNotIn:
    @pytest.mark.parametrize("token", ["bad", "old"])
    @pytest.mark.parametrize("way", ["header", "subprotocol", "query", "cookie", "message"])
    async def test_a_token_that_is_not_valid(self, token, way):
        async with Application(**COOKIE) as application:
            options: dict[str, Any] = {
                "header": {"token": token},
                "subprotocol": {"subprotocols": ("hubbub", f"hubbub.bearer.{token}")},
                "query": {"path": f"/ws?token={token}"},
                "cookie": {"headers": {"Cookie": f"session={token}"}},
                "message": {},
            }[way]
            client = await application.client(**options)
            if way == "message":
                await client.send({"type": "auth", "token": token})
            assert await turned_away(client) == ("unauthorized", 4001, "Invalid token")
            assert application.hub.connections == 0
            assert application.hub.statistics.refused_connections == {"unauthorized": 1}

    @pytest.mark.parametrize(
        "options",
        [
            {"headers": {"Authorization": "Bearer"}},
            {"headers": {"Authorization": "Bearer a b"}},
            {"path": "/ws?token="},
            {"path": "/ws?ticket=unknown"},
            {"path": "/ws?token=a&token=b"},
            {"subprotocols": ("hubbub.bearer.",)},
        ],
        ids=str,
    )
    async def test_a_credential_that_is_none(self, options):
        async with Application() as application:
            client = await application.client(**options)
            assert await turned_away(client) == ("unauthorized", 4001, "Invalid token")

    @pytest.mark.parametrize(
        "message",
        ['{"type":"ping"}', '{"type":"join_room","room_id":"a"}', "nonsense", "[]", '{"type":"auth"}'],
    )
    async def test_a_first_message_that_is_another(self, message):
        async with Application() as application:
            client = await application.client()
            await client.send_text(message)
            assert await turned_away(client) == ("unauthorized", 4001, "Invalid token")

    async def test_a_first_message_that_is_binary_or_too_big(self):
        async with Application() as application:
            client = await application.client()
            await client.send_bytes(b"{}")
            assert (await turned_away(client))[1] == 1003
            client = await application.client()
            await client.send_text(" " * 100_000)
            assert (await turned_away(client))[1] == 1009

    async def test_nothing_within_the_deadline(self):
        async with Application(auth_deadline=0.02) as application:
            client = await application.client()
            error = await client.expect("error")
            assert error["code"] == "unauthorized"
            assert "within 0.02 s" in error["message"]
            closed = await client.expect_close()
            assert (closed.code, closed.reason) == (4001, "Invalid token")
            assert application.node.connections._waiting == 0

    @pytest.mark.parametrize("way", ["cut", "close"])
    async def test_one_that_is_gone_before_it_said_who_it_is(self, way):
        async with Application() as application:
            client = await application.client()
            await getattr(client, way)()
            await application.gone(client)
            assert application.node.connections._waiting == 0

    @pytest.mark.parametrize("user", ["a\nb", "x" * 251])
    async def test_a_user_whose_name_is_no_channel(self, user):
        async with Application(authenticate=lambda token: Identity(UserId(user))) as application:
            assert (await turned_away(await application.client(token="t")))[:2] == ("unauthorized", 4001)

    @pytest.mark.parametrize("way", ["header", "message"])
    async def test_a_token_that_was_lent_for_one_channel(self, way):
        def lent(token: str) -> Identity:
            return Identity(UserId("ada"), {"channel": "room:a"})

        async with Application(authenticate=lent) as application:
            client = await application.client(token="t" if way == "header" else None)
            if way == "message":
                await client.send({"type": "auth", "token": "t"})
            assert await turned_away(client) == ("unauthorized", 4001, "Invalid token")

    async def test_without_an_authenticator_nobody(self):
        async with Application(authenticate=None) as application:
            client = await application.client(token="ada")
            assert await turned_away(client) == ("unauthorized", 4001, "Invalid token")

    async def test_a_peer_that_does_not_wait_for_the_words(self):
        async with Application() as application:
            client = await application.client()
            client.stall()
            await client.send({"type": "auth", "token": "bad"})
            await asyncio.sleep(0)
            await client.cut()
            await application.gone(client)


class TestAuthenticators:
    @pytest.mark.parametrize(
        ("error", "code", "closed"),
        [
            (AuthenticationUnavailable("The provider cannot be reached."), "unavailable", 1013),
            (HTTPException(401, "Who?"), "unauthorized", 4001),
            (HTTPException(403, "Not you"), "forbidden", 4003),
            (NotAvailable("Not now"), "not_available", 1008),
            (LimitExceeded("Too many for your plan"), "limit_exceeded", 1008),
            (ValueError("secret detail"), "internal", 1011),
            (TimeoutError("the database"), "internal", 1011),
        ],
        ids=lambda value: repr(value)[:30],
    )
    @pytest.mark.parametrize("way", ["header", "message"])
    async def test_one_that_raises(self, error, code, closed, way, caplog):
        def raising(token: str) -> Identity:
            raise error

        async with Application(authenticate=raising) as application:
            client = await application.client(token="t" if way == "header" else None)
            if way == "message":
                await client.send({"type": "auth", "token": "t"})
            got = await turned_away(client)
            assert got[:2] == (code, closed)
            assert got[2]
            assert ("secret detail" in caplog.text) == (isinstance(error, ValueError))

    async def test_one_that_takes_too_long(self):
        async def slow(token: str) -> Identity:
            await asyncio.Event().wait()
            raise AssertionError

        async with Application(authenticate=slow, hook_timeout=0.02) as application:
            # Nothing is known about the token, so this is no reason to stay away.
            assert (await turned_away(await application.client(token="t")))[:2] == ("timeout", 1013)

    async def test_one_that_returns_something_else(self, caplog):
        async with Application(authenticate=lambda token: {"user": token}) as application:
            assert (await turned_away(await application.client(token="t")))[:2] == ("internal", 1011)
            assert "authenticate returned dict" in caplog.text

    async def test_one_with_dependencies(self):
        closed = []

        async def users():
            yield {"t": "ada"}
            closed.append(True)

        async def lookup(token: str, users: Annotated[dict, Depends(users)]) -> Identity | None:
            return Identity(UserId(users[token])) if token in users else None

        async with Application(authenticate=lookup) as application:
            assert await welcomed(await application.client(token="t")) == "ada"
            assert closed == [True]
            assert (await turned_away(await application.client(token="u")))[0] == "unauthorized"

    async def test_one_that_is_entered_and_left_with_the_lifespan(self):
        log = []

        class Provider:
            async def __aenter__(self) -> Self:
                log.append("entered")
                return self

            async def __aexit__(self, *_: object) -> None:
                log.append("left")

            async def __call__(self, token: str) -> Identity:
                log.append(token)
                return Identity(UserId(token))

        async with Application(authenticate=Provider()) as application:
            assert await welcomed(await application.client(token="ada")) == "ada"
        assert log == ["entered", "ada", "left"]


class TestOrigins:
    @pytest.mark.parametrize(
        ("origin", "host", "comes_in"),
        [
            (None, "testserver", True),
            ("http://testserver", "testserver", True),
            ("https://testserver", "testserver", True),
            ("http://testserver:8000", "testserver", False),
            ("https://evil.example", "testserver", False),
            ("https://testserver.evil.example", "testserver", False),
            ("null", "testserver", False),
            ("", "testserver", False),
            ("https://app.example", "testserver", True),
        ],
    )
    @pytest.mark.parametrize("path", ["/ws", "/ws/a", "/ws/notifications/t"])
    async def test_foreign_pages_are_refused_before_they_are_accepted(self, origin, host, comes_in, path):
        async with Application(allowed_origins=["https://app.example"], **COOKIE) as application:
            rooms(application)
            headers = {
                "Host": host,
                "Cookie": "session=ada",
                **({} if origin is None else {"Origin": origin}),
            }
            if comes_in:
                assert await welcomed(await application.client(path, headers=headers)) == "ada"
            else:
                with pytest.raises(Closed) as refused:
                    await application.client(path, headers=headers)
                assert refused.value.code == 403
                assert application.hub.statistics.refused_connections == {"forbidden": 1}


class TestDependency:
    """`Annotated[Identity, Depends(hub.identity)]`, the same on every kind of route."""

    def application(self, **options: Any) -> Application:
        application = Application(**options)
        hub, app = application.hub, application.app
        Who = Annotated[Identity, Depends(hub.identity)]

        @app.get("/me")
        @app.post("/me")
        async def me(who: Who, x_more: Annotated[str, Header()] = "") -> str:
            return who.user_id + x_more

        @app.websocket("/mine")
        async def mine(websocket: WebSocket, who: Who) -> None:
            await websocket.accept()
            await websocket.send_json({"type": "hello", "user": who.user_id})
            await websocket.close()

        return application

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_on_http_routes(self, method):
        async with self.application(**COOKIE) as application:
            for options in (
                {"headers": {"Authorization": "Bearer ada"}},
                {"params": {"token": "ada"}},
                {"headers": {"Cookie": "session=ada"}},
            ):
                response = await application.http(method, "/me", **options)
                assert (response.status_code, response.json()) == (200, "ada")
            for options in ({}, {"headers": {"Authorization": "Bearer bad"}}, {"params": {"ticket": "x"}}):
                response = await application.http(method, "/me", **options)
                assert response.status_code == 401
                assert response.headers["www-authenticate"] == "Bearer"

    async def test_on_websocket_routes(self):
        async with self.application() as application:
            client = await application.client("/mine", token="ada")
            assert (await client.receive())["user"] == "ada"
            for options in (
                {"token": "bad"},
                {},
                {"token": "ada", "headers": {"Origin": "https://evil.example"}},
            ):
                with pytest.raises(Closed):
                    await application.client("/mine", **options)

    async def test_a_foreign_page_may_read_what_its_browser_keeps_from_it_but_not_write(self):
        async with self.application(**COOKIE) as application:
            headers = {"Cookie": "session=ada", "Origin": "https://evil.example"}
            assert (await application.http("POST", "/me", headers=headers)).status_code == 403
            assert (await application.http("GET", "/me", headers=headers)).status_code == 200

    async def test_nobody_in_particular(self):
        async with self.application(allow_anonymous=True) as application:
            assert (await application.http("GET", "/me")).json() == ""

    async def test_tokens_that_cannot_be_checked(self):
        def raising(token: str) -> Identity:
            raise AuthenticationUnavailable("The provider cannot be reached.")

        async with self.application(authenticate=raising) as application:
            response = await application.http("GET", "/me", headers={"Authorization": "Bearer t"})
            assert (response.status_code, response.headers["retry-after"]) == (503, "5")

    async def test_a_ticket_is_good_here_too_and_once(self):
        async with self.application() as application:
            headers = {"Authorization": "Bearer ada"}
            ticket = (await application.http("POST", "/api/v1/ws-ticket", headers=headers)).json()["ticket"]
            assert (await application.http("GET", f"/me?ticket={ticket}")).json() == "ada"
            assert (await application.http("GET", f"/me?ticket={ticket}")).status_code == 401

    async def test_it_works_before_the_lifespan(self):
        application = self.application()
        response = await application.http("GET", "/me", headers={"Authorization": "Bearer ada"})
        assert response.status_code == 200
