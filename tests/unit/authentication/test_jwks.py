import asyncio
import gzip
import json
import logging

import httpx2
import pytest

from hubbub.authentication.jwks import JWKSet
from hubbub.exceptions import AuthenticationUnavailable, ConfigurationError, InvalidToken


@pytest.fixture
def keys(provider, clock) -> JWKSet:
    return JWKSet(provider.url, timeout=20, clock=clock)


async def test_fetches_once_and_keeps(keys, provider, clock, rsa_signer, ec_signer):
    provider.shows(rsa_signer.jwk("r"), ec_signer.jwk("e"))
    async with keys:
        assert await keys.find("r", "RS256") == rsa_signer.key.public_key()
        clock.advance(299)
        assert await keys.find("e", "ES256") == ec_signer.key.public_key()
    assert provider.requests == 1


async def test_no_task_is_needed_to_ask(keys, provider, rsa_signer):
    # A handshake takes its first steps in a callback of the loop.
    provider.shows(rsa_signer.jwk("r"))
    first, again = keys.find("r", "RS256"), keys.find("r", "RS256")
    seen: list[object] = []

    def step(coroutine) -> None:
        assert asyncio.current_task() is None
        try:
            coroutine.send(None)
        except StopIteration as done:
            seen.append(done.value)
        else:
            seen.append("waits")

    async with keys:
        asyncio.get_running_loop().call_soon(step, first)
        await keys.find("r", "RS256")
        first.close()
        asyncio.get_running_loop().call_soon(step, again)
        await asyncio.sleep(0)
    assert seen == ["waits", rsa_signer.key.public_key()]


async def test_fetches_again_after_max_age(keys, provider, clock, rsa_signer, other_rsa_signer):
    provider.shows(rsa_signer.jwk("r"))
    async with keys:
        await keys.find("r", "RS256")
        provider.shows(other_rsa_signer.jwk("r"))
        clock.advance(300)
        assert await keys.find("r", "RS256") == other_rsa_signer.key.public_key()
    assert provider.requests == 2


async def test_removed_key_is_gone_after_max_age(keys, provider, clock, rsa_signer, ec_signer):
    provider.shows(rsa_signer.jwk("r"), ec_signer.jwk("e"))
    async with keys:
        await keys.find("r", "RS256")
        provider.shows(ec_signer.jwk("e"))
        clock.advance(300)
        with pytest.raises(InvalidToken, match="does not list"):
            await keys.find("r", "RS256")


async def test_unknown_kid_fetches_at_most_once_per_cooldown(keys, provider, clock, rsa_signer, ec_signer):
    provider.shows(rsa_signer.jwk("r"))
    async with keys:
        await keys.find("r", "RS256")
        for _ in range(50):
            with pytest.raises(InvalidToken, match="does not list"):
                await keys.find("invented", "RS256")
        assert provider.requests == 1
        clock.advance(10)
        for _ in range(50):
            with pytest.raises(InvalidToken, match="does not list"):
                await keys.find("invented", "RS256")
        assert provider.requests == 2
        provider.shows(rsa_signer.jwk("r"), ec_signer.jwk("rotated"))
        clock.advance(10)
        assert await keys.find("rotated", "ES256") == ec_signer.key.public_key()
    assert provider.requests == 3


async def test_single_flight(keys, provider, rsa_signer):
    provider.shows(rsa_signer.jwk("r"))
    provider.may_answer.clear()
    async with keys:
        callers = [asyncio.create_task(keys.find("r", "RS256")) for _ in range(50)]
        await provider.arrived.wait()
        provider.may_answer.set()
        found = await asyncio.gather(*callers)
    assert found == [rsa_signer.key.public_key()] * 50
    assert provider.requests == 1


async def test_caller_who_gives_up_takes_nothing_from_the_others(keys, provider, rsa_signer):
    provider.shows(rsa_signer.jwk("r"))
    provider.may_answer.clear()
    async with keys:
        first, second = (asyncio.create_task(keys.find("r", "RS256")) for _ in range(2))
        await provider.arrived.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        provider.may_answer.set()
        assert await second == rsa_signer.key.public_key()
    assert provider.requests == 1


async def test_provider_down_from_the_start(keys, provider):
    await provider.stop()
    async with keys:
        for _ in range(3):
            with pytest.raises(AuthenticationUnavailable, match="try again"):
                await keys.find("r", "RS256")
        with pytest.raises(AuthenticationUnavailable, match="ConnectError"):
            await keys.fetch()


async def test_known_keys_outlive_the_provider(keys, provider, clock, rsa_signer, caplog):
    provider.shows(rsa_signer.jwk("r"))
    async with keys:
        await keys.find("r", "RS256")
        provider.status = "503 Service Unavailable"
        clock.advance(10_000)
        with caplog.at_level(logging.WARNING):
            assert await keys.find("r", "RS256") == rsa_signer.key.public_key()
        assert "answers 503; the known ones stay in use" in caplog.text
        # A key that is not known may be a new one: the provider is to blame, not the token.
        with pytest.raises(AuthenticationUnavailable):
            await keys.find("new", "RS256")
        provider.status = "200 OK"
        clock.advance(10)
        with pytest.raises(InvalidToken):
            await keys.find("new", "RS256")


async def test_nobody_waits_for_a_provider_in_trouble(keys, provider, clock, rsa_signer):
    provider.shows(rsa_signer.jwk("r"))
    async with keys:
        await keys.find("r", "RS256")
        provider.status = "503 Service Unavailable"
        clock.advance(300)
        await keys.find("r", "RS256")  # the first to notice
        provider.may_answer.clear()
        provider.arrived.clear()
        clock.advance(10)
        assert await keys.find("r", "RS256") == rsa_signer.key.public_key()
        assert provider.requests == 2, "the caller waited for the provider"
        await provider.arrived.wait()
        assert provider.requests == 3


@pytest.mark.parametrize(
    ("status", "headers", "body", "reason"),
    [
        ("200 OK", "", b"<html>Welcome", "it is not JSON"),
        ("200 OK", "", b"", "it is not JSON"),
        ("200 OK", "", b'{"keys": []}', "no list `keys` with a key"),
        ("200 OK", "", b'{"keys": [{"kty": "oct", "k": "AAAA"}]}', "no list `keys` with a key"),
        ("200 OK", "", b"[" * 300_000, "larger than 262144 bytes"),
        ("200 OK", "Content-Length: 99\r\n", b"{", "RemoteProtocolError"),
        ("200 OK", "Content-Encoding: gzip\r\n", b"not gzip", "DecodingError"),
        ("404 Not Found", "", b"{}", "it answers 404"),
        ("301 Moved", "Location: http://127.0.0.1:1/keys\r\n", b"", "redirects are not followed"),
        ("garbage", "", b"", "RemoteProtocolError"),
    ],
)
async def test_bad_answers(keys, provider, caplog, status, headers, body, reason):
    provider.status, provider.headers, provider.body = status, headers, body
    async with keys:
        with pytest.raises(AuthenticationUnavailable, match=reason):
            await keys.fetch()
        with pytest.raises(AuthenticationUnavailable, match="could not be checked") as refusal:
            await keys.find("r", "RS256")
    assert "127.0.0.1" not in str(refusal.value), "clients need not know where the provider is"
    assert "none are known" in caplog.text
    assert provider.requests == 1


async def test_size_is_counted_after_decoding(keys, provider):
    provider.headers = "Content-Encoding: gzip\r\n"
    provider.body = gzip.compress(b" " * 50_000_000)
    async with keys:
        with pytest.raises(AuthenticationUnavailable, match="larger than"):
            await keys.fetch()


async def test_slow_provider(provider, clock):
    provider.may_answer.clear()
    async with JWKSet(provider.url, timeout=0.1, clock=clock) as keys:
        with pytest.raises(AuthenticationUnavailable, match=r"(Timeout|no answer within 0\.1 s)"):
            await keys.fetch()


async def test_provider_that_never_ends(provider, clock):
    """Each read is quick, so that only the limit on the whole can end it."""
    provider.drips = True
    async with JWKSet(provider.url, timeout=0.1, max_bytes=10**9, clock=clock) as keys:
        with pytest.raises(AuthenticationUnavailable, match=r"no answer within 0\.1 s"):
            await keys.fetch()
    provider.drips = False


async def test_token_without_kid(keys, provider, clock, rsa_signer, ec_signer, other_rsa_signer):
    provider.shows(rsa_signer.jwk("r"), ec_signer.jwk("e"))
    async with keys:
        assert await keys.find(None, "RS256") == rsa_signer.key.public_key()
        with pytest.raises(InvalidToken, match="does not fit"):
            await keys.find(None, "EdDSA")
        provider.shows(rsa_signer.jwk("r"), other_rsa_signer.jwk("o"))
        clock.advance(300)
        with pytest.raises(InvalidToken, match="does not say which key"):
            await keys.find(None, "RS256")


async def test_encryption_keys_are_ignored(keys, provider, rsa_signer, other_rsa_signer):
    provider.shows(other_rsa_signer.jwk("r", use="enc"), rsa_signer.jwk("r", use="sig"))
    async with keys:
        assert await keys.find("r", "RS256") == rsa_signer.key.public_key()


async def test_fetch_tells_how_many_and_ignores_the_cooldown(keys, provider, rsa_signer, ec_signer):
    provider.shows(rsa_signer.jwk("r"), ec_signer.jwk("e"), {"kty": "oct"})
    async with keys:
        assert await keys.fetch() == 2
        assert await keys.fetch() == 2
    assert provider.requests == 2


async def test_leaving_ends_the_request_on_its_way(keys, provider):
    provider.may_answer.clear()
    async with keys:
        caller = asyncio.create_task(keys.find("r", "RS256"))
        await provider.arrived.wait()
    with pytest.raises(AuthenticationUnavailable, match="shutting down"):
        await caller


async def test_entered_again_after_a_request_that_was_ended(keys, provider, rsa_signer):
    provider.shows(rsa_signer.jwk("r"))
    provider.may_answer.clear()
    async with keys:
        caller = asyncio.create_task(keys.find("r", "RS256"))
        await provider.arrived.wait()
    await asyncio.gather(caller, return_exceptions=True)
    provider.may_answer.set()
    async with keys:
        assert await keys.find("r", "RS256") == rsa_signer.key.public_key()


async def test_needs_to_be_entered(keys):
    with pytest.raises(ConfigurationError, match="not open"):
        await keys.find("r", "RS256")


async def test_may_be_shared_and_entered_again(keys, provider, clock, rsa_signer):
    provider.shows(rsa_signer.jwk("r"))
    async with keys:
        async with keys:
            await keys.find("r", "RS256")
        clock.advance(300)
        await keys.find("r", "RS256")
    clock.advance(300)
    async with keys:
        await keys.find("r", "RS256")
    assert provider.requests == 3


async def test_client_of_the_applications_own_is_left_open(provider, clock, rsa_signer):
    provider.shows(rsa_signer.jwk("r"))
    async with httpx2.AsyncClient(headers={"X-Mine": "1"}, follow_redirects=True) as client:
        async with JWKSet(provider.url, client=client, clock=clock) as keys:
            assert await keys.fetch() == 1
        assert not client.is_closed
        provider.status, provider.headers = "302 Found", f"Location: {provider.url}\r\n"
        async with JWKSet(provider.url, client=client, clock=clock) as keys:
            with pytest.raises(AuthenticationUnavailable, match="redirects"):
                await keys.fetch()


async def test_query_of_the_address_is_not_logged(provider, clock, caplog):
    provider.body = json.dumps({}).encode()
    async with JWKSet(f"{provider.url}?key=hidden", clock=clock) as keys:
        with pytest.raises(AuthenticationUnavailable) as refusal, caplog.at_level(logging.WARNING):
            await keys.fetch()
    assert "hidden" not in str(refusal.value)
    assert not [
        record
        for record in caplog.records
        if record.levelno >= logging.WARNING and "hidden" in record.message
    ]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "keys.json",
        "ftp://idp.example/keys",
        "https://",
        "https://user:pw@idp.example/keys",
        "https://[::1/",
        5,
    ],
)
def test_address_that_cannot_be_fetched(url):
    with pytest.raises(ConfigurationError):
        JWKSet(url)
