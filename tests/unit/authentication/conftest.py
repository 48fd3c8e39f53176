import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm


class HandClock:
    """A clock that stands still until it is advanced."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.now - 1_700_000_000.0

    def time(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Signer:
    """A private key of a provider: signs tokens, and shows its public part as a JWK."""

    def __init__(self, algorithm: str, key, jwk: dict) -> None:
        self.algorithm = algorithm
        self.key = key
        self._jwk = {name: value for name, value in jwk.items() if name != "key_ops"}

    def jwk(self, kid: str | None = None, /, **members) -> dict:
        named = {} if kid is None else {"kid": kid}
        return self._jwk | named | members

    def sign(self, claims: dict, kid: str | None = None) -> str:
        return jwt.encode(claims, self.key, self.algorithm, headers={} if kid is None else {"kid": kid})


class Provider:
    """An identity provider on the loopback, that answers as a test tells it to."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.headers = ""
        self.body = b""
        self.requests = 0
        self.arrived = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.drips = False
        self.url = ""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task] = set()

    def shows(self, *jwks: dict) -> None:
        self.body = json.dumps({"keys": jwks}).encode()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/keys"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.may_answer.set()
            await asyncio.gather(*self._tasks)
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.requests += 1
            self.arrived.set()
            await self.may_answer.wait()
            writer.write(
                f"HTTP/1.1 {self.status}\r\nConnection: close\r\n{self.headers}\r\n".encode() + self.body
            )
            while self.drips:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def provider(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Provider]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    provider = Provider()
    await provider.start()
    yield provider
    await provider.stop()


@pytest.fixture(scope="session")
def rsa_signer() -> Signer:
    key = rsa.generate_private_key(65537, 2048)
    return Signer("RS256", key, RSAAlgorithm.to_jwk(key.public_key(), as_dict=True))


@pytest.fixture(scope="session")
def other_rsa_signer() -> Signer:
    key = rsa.generate_private_key(65537, 2048)
    return Signer("RS256", key, RSAAlgorithm.to_jwk(key.public_key(), as_dict=True))


@pytest.fixture(scope="session")
def ec_signer() -> Signer:
    key = ec.generate_private_key(ec.SECP256R1())
    return Signer("ES256", key, ECAlgorithm.to_jwk(key.public_key(), as_dict=True))


@pytest.fixture(scope="session")
def okp_signer() -> Signer:
    key = ed25519.Ed25519PrivateKey.generate()
    return Signer("EdDSA", key, OKPAlgorithm.to_jwk(key.public_key(), as_dict=True))
