import json
import time
from collections.abc import AsyncIterator

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from hubbub import InvalidToken, TokenIssuer
from hubbub.server.settings import Settings
from hubbub.server.signing_keys import SigningKeys
from hubbub.server.tokens import Authenticator, authenticator, claimed_algorithm, issue_code, sign_in_link

from .conftest import SECRET

ISSUER = "https://login.example.com/"


class Provider:
    """An identity provider: signs tokens, and shows its public key at `url`."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.public = self.key.public_key()
        self.url = ""

    def key_set(self) -> bytes:
        jwk = RSAAlgorithm.to_jwk(self.public, as_dict=True)
        return json.dumps({"keys": [{**jwk, "kid": "1", "use": "sig"}]}).encode()

    def sign(self, **claims) -> str:
        content = {"sub": "ada", "iss": ISSUER, "aud": "chat", "exp": time.time() + 60, **claims}
        return jwt.encode(content, self.key, "RS256", headers={"kid": "1"})


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider()


@pytest.fixture
async def tokens(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Authenticator]:
    """A reader of both kinds of tokens, with a provider on the loopback."""
    import asyncio

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + provider.key_set())
        writer.close()
        await writer.wait_closed()

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = Settings(
            jwks_url=f"http://127.0.0.1:{port}/keys", jwt_issuer=ISSUER, jwt_audience=["chat", "other"]
        )
        async with authenticator(settings, SigningKeys(SECRET, "p" * 32)) as tokens:
            yield tokens


async def test_tokens_of_both_are_accepted(tokens, provider, issuer):
    assert (await tokens(provider.sign(scope="chat"))).user_id == "ada"
    assert (await tokens(issuer.issue("bob", ttl=60))).user_id == "bob"
    assert (await tokens(TokenIssuer("p" * 32).issue("eve", ttl=60))).user_id == "eve"


@pytest.mark.parametrize("claims", [{"iss": "https://evil.example/"}, {"aud": "elsewhere"}, {"exp": 1}])
async def test_the_providers_rules_hold_for_its_tokens(tokens, provider, claims):
    with pytest.raises(InvalidToken):
        await tokens(provider.sign(**claims))


async def test_the_public_key_is_no_secret(tokens, provider):
    pem = provider.public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    # PyJWT refuses to sign so; an attacker does not use PyJWT.
    forged = _signed_with(pem, {"sub": "ada", "iss": ISSUER, "aud": "chat", "exp": time.time() + 60})
    with pytest.raises(InvalidToken, match="signature does not match"):
        await tokens(forged)


def _signed_with(key: bytes, claims: dict) -> str:
    import base64
    import hashlib
    import hmac

    def encoded(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).rstrip(b"=").decode()

    header = {"alg": "HS256", "typ": "JWT", "kid": "1"}
    signed = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{signed}.{encoded(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


@pytest.mark.parametrize("algorithm", ["none", "HS512", "hs256", None, 5, ["HS256"]])
async def test_other_algorithms_are_refused_whoever_reads_them(tokens, algorithm):
    import base64

    header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm}).encode()).rstrip(b"=").decode()
    with pytest.raises(InvalidToken):
        await tokens(f"{header}.e30.x")


@pytest.mark.parametrize("noise", ["", "x", "a.b.c", "é", "." * 9000])
async def test_what_is_no_token_is_told_so(tokens, noise):
    with pytest.raises(InvalidToken):
        await tokens(noise)


async def test_without_a_provider_there_are_only_the_servers_own(provider, issuer):
    async with authenticator(Settings(), SigningKeys(SECRET)) as tokens:
        assert (await tokens(issuer.issue("bob", ttl=60))).user_id == "bob"
        with pytest.raises(InvalidToken):
            await tokens(provider.sign())


async def test_a_sign_in_code_is_no_access_token(tokens, issuer):
    with pytest.raises(InvalidToken, match="audience"):
        await tokens(issue_code(issuer, "ada", ttl=60, scopes=frozenset()))


def test_the_code_stands_where_browsers_do_not_send_it():
    assert sign_in_link("https://chat.example.com", "a.b.c") == "https://chat.example.com/#sign-in=a.b.c"


def test_the_algorithm_of_noise_is_the_servers_own():
    assert claimed_algorithm("noise") == "HS256"
