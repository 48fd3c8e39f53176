"""Who gets in: origins, tokens in every place they may stand, tickets, expiry and renewal, and what the log shows."""

import base64
import hmac
import json
import threading
import time
from contextlib import AsyncExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from members import bystander, connected, fresh
from raw_socket import Opcode, RawSocket, frame, raw, text
from serving import SECRET, Serving, application, bearer, hubbub_serve, token

APP_ORIGIN = "https://app.example.com"
LEEWAY = 30.0


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """A server with an origin that is allowed, and a log that shows everything."""
    folder = tmp_path_factory.mktemp("guarded")
    with hubbub_serve(folder, ALLOWED_ORIGINS=APP_ORIGIN, LOG_LEVEL="debug") as serving:
        yield serving
        assert serving.complaints() == []


async def knock(serving: Serving, **headers: str) -> int:
    """Shake hands with these headers and return the status."""
    visitor = await RawSocket.connect(serving.port)
    try:
        return (await visitor.upgrade(serving.port, "/ws", {**bearer(fresh("visitor")), **headers})).status
    finally:
        visitor.close()


async def test_a_page_of_another_site_is_turned_away_at_the_handshake(guarded):
    for origin in (
        "https://evil.example.com",
        "https://app.example.com.evil.com",
        "https://evil.com/app.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        f"https://127.0.0.1:{guarded.port + 1}",
        "http://127.0.0.1",
        "null",
        "",
        "file://",
        "not an origin",
        f"{APP_ORIGIN}, https://evil.example.com",
        "https://user@app.example.com",
    ):
        assert await knock(guarded, Origin=origin) == 403, origin
    refused = (await guarded.counts())("hubbub_connections_refused_total", code="forbidden")
    assert refused >= 13


async def test_two_origins_are_no_origin(guarded):
    visitor = await RawSocket.connect(guarded.port)
    try:
        two = {"Origin": f"{APP_ORIGIN}\r\nOrigin: https://evil.example.com", **bearer(fresh("visitor"))}
        assert (await visitor.upgrade(guarded.port, "/ws", two)).status in {400, 403}
    finally:
        visitor.close()


async def test_the_same_origin_an_allowed_one_and_programs_without_one_come_in(guarded):
    for headers in (
        {"Origin": f"http://127.0.0.1:{guarded.port}"},
        {"Origin": f"http://LOCALHOST:{guarded.port}", "Host": f"localhost:{guarded.port}"},
        {"Origin": APP_ORIGIN},
        {"Origin": "https://APP.example.com:443"},
        {},
    ):
        assert await knock(guarded, **headers) == 101, headers


def part(content: bytes) -> str:
    """Write a part of a token (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def unsigned(claims: dict[str, object]) -> str:
    """Make a token with `alg: none` (RFC 7519 section 6)."""
    return ".".join((part(b'{"alg":"none","typ":"JWT"}'), part(json.dumps(claims).encode()), ""))


def altered(good: str) -> str:
    """Give a good token another subject, and leave the signature as it was."""
    head, body, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{part(json.dumps({**claims, 'sub': 'root'}).encode())}.{signature}"


def signed_with_public_key(claims: dict[str, object], public: bytes) -> str:
    """Make a token whose HMAC secret is the provider's public key (RFC 8725 section 2.1)."""
    said = ".".join((part(b'{"alg":"HS256","kid":"one"}'), part(json.dumps(claims).encode())))
    return f"{said}.{part(hmac.digest(public, said.encode(), 'sha256'))}"


BAD_TOKENS = {
    "expired": lambda: token("ada", -LEEWAY - 1),
    "signed by another": lambda: token("ada", secret="f0" * 32),
    "signed with nothing": lambda: unsigned({"sub": "ada", "exp": time.time() + 60}),
    "with another subject": lambda: altered(token("ada")),
    "of another algorithm": lambda: jwt.encode({"sub": "ada", "exp": time.time() + 60}, SECRET, "HS512"),
    "for another audience": lambda: token("ada", aud="another-service"),
    "a sign-in code": lambda: token("ada", aud="hubbub:sign-in"),
    "for one channel": lambda: token("ada", channel="room:general"),
    "without an end": lambda: jwt.encode({"sub": "ada"}, SECRET, "HS256"),
    "that never ends": lambda: jwt.encode({"sub": "ada", "exp": float("inf")}, SECRET, "HS256"),
    "without a subject": lambda: jwt.encode({"exp": time.time() + 60}, SECRET, "HS256"),
    "of the empty subject": lambda: token(""),
    "of a subject with a line break": lambda: token("ada\nroot"),
    "of the future": lambda: token("ada", iat=time.time() + 3600),
    "not yet valid": lambda: token("ada", nbf=time.time() + 3600),
    "no token at all": lambda: "rubbish",
}


@pytest.mark.parametrize("bad", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_a_token_that_is_not_good_is_refused_with_words_and_4001(guarded, bad):
    room = fresh("room")
    async with bystander(guarded, room) as witness:
        headers = {"Authorization": f"Bearer {bad()}"}
        async with connected(guarded, None, f"/ws/{room}", headers=headers, welcome=False) as mallory:
            error = await mallory.receive()
            assert (error["type"], error["code"]) == ("error", "unauthorized")
            assert await mallory.expect_close() == (4001, "Invalid token")
        response = await guarded.request("POST", "/api/v1/ws-ticket", headers=headers)
        assert response.status_code == 401
    assert len(witness.of_type("user_joined")) == 1  # the speaker


async def test_a_bad_token_in_auth_ends_the_connection_and_a_good_one_opens_it(guarded):
    for bad in (*(make() for make in BAD_TOKENS.values()), "", token("ada", padding="x" * 9000)):
        async with connected(guarded, None, welcome=False) as mallory:
            await mallory.send({"type": "auth", "token": bad})
            assert (await mallory.receive())["code"] == "unauthorized"
            assert await mallory.expect_close() == (4001, "Invalid token")
    async with connected(guarded, None, welcome=False) as ada:
        await ada.send({"type": "auth", "token": token("ada"), "ref": 1})
        assert (await ada.expect("welcome"))["user_id"] == "ada"


@pytest.mark.parametrize("path", ["/ws", "/ws/general", "/ws/notifications/orders"])
async def test_every_place_that_a_token_may_stand_in_works_on_every_path(guarded, path):
    ticket = await a_ticket(guarded, "ada")
    for query, headers, subprotocols in (
        ("", bearer("ada"), []),
        (f"?token={token('ada')}", {}, []),
        (f"?ticket={ticket}", {}, []),
        ("", {}, ["hubbub", f"hubbub.bearer.{token('ada')}"]),
        ("", {}, [f"hubbub.bearer.{token('ada')}", "hubbub"]),
    ):
        async with connected(
            guarded, None, path + query, headers=headers, subprotocols=subprotocols or None, welcome=False
        ) as ada:
            assert (await ada.receive())["user_id"] == "ada"
            assert ada.connection.subprotocol == ("hubbub" if subprotocols else None)
            if path != "/ws":
                await ada.expect("joined" if path == "/ws/general" else "subscribed")


async def a_ticket(serving: Serving, user: str) -> str:
    response = await serving.request("POST", "/api/v1/ws-ticket", headers=bearer(user))
    assert response.status_code == 200, response.text
    return response.json()["ticket"]


async def test_the_token_in_a_subprotocol_is_never_sent_back(guarded):
    secret = token("ada")
    for offered in (
        f"hubbub, hubbub.bearer.{secret}",
        f"hubbub.bearer.{secret}",
        f"hubbub.bearer.{secret}x, hubbub",
    ):
        visitor = await RawSocket.connect(guarded.port)
        try:
            answer = await visitor.upgrade(guarded.port, "/ws", {"Sec-WebSocket-Protocol": offered})
            assert answer.status == 101
            expected = "hubbub" if ", " in offered else None
            assert answer.headers.get("sec-websocket-protocol") == expected
            assert secret not in str(answer)
            assert secret.encode() not in (await visitor.receive()).payload
        finally:
            visitor.close()


async def test_a_ticket_opens_one_connection_and_no_second(guarded):
    ticket = await a_ticket(guarded, "ada")
    async with AsyncExitStack() as stack:
        visitors = [
            await stack.enter_async_context(raw(guarded.port, f"/ws?ticket={ticket}")) for _ in range(10)
        ]
        first = [(await visitor.receive()).payload for visitor in visitors]
        assert sum(b'"welcome"' in payload for payload in first) == 1
        assert sum(b'"unauthorized"' in payload for payload in first) == 9
    async with connected(guarded, None, f"/ws?ticket={ticket[:-1]}", welcome=False) as guess:
        assert await guess.expect_close() == (4001, "Invalid token")


async def test_the_session_cookie_works_for_this_origin_alone(guarded):
    cookie = {"Cookie": f"theme=dark; hubbub_session={token('ada')}"}
    async with connected(guarded, None, headers={**cookie, "Origin": guarded.url}, welcome=False) as ada:
        assert (await ada.receive())["user_id"] == "ada"
    assert await knock(guarded, **cookie, Origin="https://evil.example.com") == 403


async def test_whoever_does_not_say_who_they_are_is_sent_away_after_five_seconds(guarded):
    async with raw(guarded.port) as silent, raw(guarded.port) as busy:
        begun = time.monotonic()
        await busy.send(frame(Opcode.PING, b"I am alive") + frame(Opcode.TEXT, b'{"type":', final=False))
        for visitor in (silent, busy):
            closed = await visitor.expect_close(8)
            assert (closed.close_code, closed.reason) == (4001, "Invalid token")
        assert 4.5 < time.monotonic() - begun < 7


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (text({"type": "join_room", "room_id": "general"}), 4001),
        (text({"type": "ping"}), 4001),
        (text({"type": "pong"}), 4001),
        (frame(Opcode.TEXT, b"rubbish"), 4001),
        (frame(Opcode.BINARY, b"x"), 1003),
        (text({"type": "auth", "token": "x" * 70_000}), 1009),
        (text({"type": "auth"}), 4001),
        (text({"type": "message", "room_id": "general", "content": "x"}) * 1000, 4001),
    ],
    ids=["a join", "a ping", "a pong", "rubbish", "bytes", "too much", "no token", "a flood"],
)
async def test_nothing_is_carried_out_for_whoever_has_not_said_who_they_are(guarded, first, code):
    async with bystander(guarded, "general") as witness, raw(guarded.port) as visitor:
        await visitor.send(first)
        assert (await visitor.expect_close()).close_code == code
    assert {each.get("user_id") for each in witness.of_type("message", "user_joined")} == {
        witness.speaker.user
    }


async def test_an_identity_that_expires_ends_its_live_session_in_time(guarded):
    async with bystander(guarded, fresh("room")) as witness:
        expiry = time.time() - LEEWAY + 1.5
        async with raw(
            guarded.port,
            f"/ws/{witness.room}",
            headers={
                "Authorization": f"Bearer {jwt.encode({'sub': 'late', 'exp': expiry}, SECRET, 'HS256')}"
            },
        ) as late:
            await late.expect("joined")
            closed = await late.expect_close()
            assert (closed.close_code, closed.reason) == (4002, "Token expired")
            assert 0 <= time.time() - (expiry + LEEWAY) < 1.0


async def test_a_renewed_identity_lives_on_and_keeps_its_rooms(guarded):
    async with bystander(guarded, fresh("room")) as witness:
        short = token("ada", -LEEWAY + 1.5)
        ends = time.monotonic() + 1.5
        async with connected(
            guarded, None, f"/ws/{witness.room}", headers={"Authorization": f"Bearer {short}"}
        ) as ada:
            await ada.expect("joined")
            for other in (token("bob"), token("bob", -LEEWAY + 1)):
                assert (await ada.ask({"type": "auth", "token": other}))["code"] == "forbidden"
            assert (await ada.ask({"type": "auth", "token": token("ada")}))["type"] == "ack"
            while time.monotonic() < ends + 1.0:
                await ada.expect("message")
            assert (await ada.ask({"type": "ping"}))["type"] == "ack"
            # A renewal may also shorten what is left.
            await ada.send({"type": "auth", "token": token("ada", -LEEWAY + 1)})
            assert (await ada.expect_close(5))[0] == 4002
    assert len(witness.of_type("user_joined", user="ada")) == 1


async def test_a_renewal_with_a_bad_token_ends_the_session(guarded):
    async with bystander(guarded, fresh("room")) as witness:
        for bad in (BAD_TOKENS["expired"], BAD_TOKENS["for one channel"], BAD_TOKENS["signed by another"]):
            async with connected(guarded, fresh("ada"), f"/ws/{witness.room}") as ada:
                await ada.send({"type": "auth", "token": bad(), "ref": 5})
                error = await ada.expect("error")
                assert (error["code"], error["ref"]) == ("unauthorized", 5)
                assert await ada.expect_close() == (4001, "Invalid token")


@pytest.mark.parametrize(
    "log", [{}, {"LOG_FORMAT": "console"}, {"LOG_LEVEL": "debug", "LOG_FORMAT": "console"}]
)
async def test_the_log_shows_no_credential_wherever_it_stood(tmp_path, log):
    with hubbub_serve(tmp_path, **log) as serving:
        await show_every_credential(serving)


@pytest.mark.parametrize("level", ["info", "debug", "trace"])
async def test_the_log_of_plain_uvicorn_shows_no_credential_either(tmp_path, level):
    with application("rooms", tmp_path, "--log-level", level, HUB='{"session_cookie": "session"}') as serving:
        await show_every_credential(serving, cookie="session")


async def show_every_credential(serving: Serving, cookie: str = "hubbub_session") -> None:
    """Carry good and bad credentials everywhere, and look for them in what the server printed."""
    marks = []

    def marked(good: bool) -> str:
        # The signature is what must not be known; a bad one is somebody's good one elsewhere.
        secret = token("ada", secret=SECRET if good else "f0" * 32, n=len(marks))
        marks.append(secret.rpartition(".")[2])
        return secret

    opaque = "s3cr3t-0paque-value"
    marks.append(opaque)
    for good in (True, False):
        ticket = await a_ticket(serving, "ada")
        marks.append(ticket)
        for path, headers in (
            (f"/ws?token={marked(good)}", {}),
            (f"/ws/general?a=b&token={marked(good)}&c=d", {}),
            (f"/ws?%74oken={marked(good)}", {}),
            (f"/ws?ticket={ticket}", {}),
            ("/ws", {"Authorization": f"Bearer {marked(good)}"}),
            ("/ws", {"Authorization": f"bearer   {marked(good)}"}),
            ("/ws", {"Sec-WebSocket-Protocol": f"hubbub, hubbub.bearer.{marked(good)}"}),
            ("/ws", {"Cookie": f"{cookie}={marked(good)}"}),
            ("/ws", {"Cookie": f"{cookie}={opaque}"}),
            (f"/ws?token={opaque}", {}),
            (f"/nowhere?token={marked(good)}", {}),
            (f"/ws?token={marked(good)}", {"Origin": "https://evil.example.com"}),
        ):
            visitor = await RawSocket.connect(serving.port)
            await visitor.upgrade(serving.port, path, headers)
            visitor.cut()
        async with raw(serving.port) as visitor:
            await visitor.say({"type": "auth", "token": marked(good)})
            await visitor.receive()
        for path, headers in (
            (f"/api/v1/ws-ticket?token={marked(good)}", {}),
            ("/api/v1/ws-ticket", {"Authorization": f"Bearer {marked(good)}"}),
        ):
            await serving.request("POST", path, headers=headers)
    await serving.terminate()
    said = serving.said
    assert "/ws" in said
    for mark in marks:
        assert mark not in said, next(line for line in said.splitlines() if mark in line)


@pytest.fixture
def provider():
    """An identity provider on the loopback interface: signs with its key, and publishes the public part."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    document = json.dumps({"keys": [{**public, "kid": "one", "alg": "RS256", "use": "sig"}]}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(document)))
            self.end_headers()
            self.wfile.write(document)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def sign(**claims: object) -> str:
        return jwt.encode({"exp": time.time() + 60, **claims}, key, "RS256", headers={"kid": "one"})

    try:
        yield f"http://127.0.0.1:{server.server_port}/keys", sign, pem
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_a_providers_token_must_be_for_this_audience_and_from_this_issuer(tmp_path, provider):
    url, sign, public = provider
    settings = {"JWKS_URL": url, "JWT_AUDIENCE": "chat", "JWT_ISSUER": "https://id.example.com"}
    with hubbub_serve(tmp_path, **settings) as serving:
        right = {"sub": "ada", "aud": "chat", "iss": "https://id.example.com"}
        confused = signed_with_public_key({**right, "exp": int(time.time()) + 60}, public)
        for presented, accepted in (
            (sign(**right), True),
            (sign(**{**right, "aud": ["billing", "chat"]}), True),
            (token("ada"), True),
            (sign(**{**right, "aud": "billing"}), False),
            (sign(**{**right, "aud": []}), False),
            (sign(sub="ada", iss="https://id.example.com"), False),
            (sign(**{**right, "iss": "https://evil.example.com"}), False),
            (confused, False),
            (unsigned({**right, "exp": time.time() + 60}), False),
        ):
            headers = {"Authorization": f"Bearer {presented}"}
            async with connected(serving, None, headers=headers, welcome=False) as visitor:
                answer = await visitor.receive()
                if accepted:
                    assert (answer["type"], answer["user_id"]) == ("welcome", "ada")
                else:
                    assert answer["code"] == "unauthorized"
                    assert await visitor.expect_close() == (4001, "Invalid token")
        assert serving.complaints() == []
