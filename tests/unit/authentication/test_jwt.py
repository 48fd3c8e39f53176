import base64
import hashlib
import hmac
import json

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives import serialization

from hubbub.authentication.claims import for_one_channel
from hubbub.authentication.issuing import TokenIssuer
from hubbub.authentication.jwks import JWKSet
from hubbub.authentication.jwt import JWTAuthenticator
from hubbub.exceptions import AuthenticationUnavailable, ConfigurationError, InvalidToken, TokenExpired

SECRET = "a-secret-of-this-server-0123456789"
OTHER = "another-secret-entirely-9876543210"


def part(value: dict | bytes) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def hs256(header: dict, claims: dict | bytes, key: bytes) -> str:
    """Sign by hand what PyJWT would refuse to sign."""
    signed = f"{part(header)}.{part(claims)}"
    return f"{signed}.{part(hmac.digest(key, signed.encode(), hashlib.sha256))}"


@pytest.fixture
def claims(clock) -> dict:
    return {"sub": "ada", "exp": clock.time() + 60}


async def refused(authenticate: JWTAuthenticator, token: str) -> str:
    with pytest.raises(InvalidToken) as refusal:
        await authenticate(token)
    for piece in token.split("."):
        assert len(piece) < 8 or piece not in str(refusal.value), "the message repeats the token"
    return str(refusal.value)


async def test_accepts_what_the_server_issued(clock):
    token = TokenIssuer(SECRET, clock=clock).issue("ada", ttl=60, scopes={"admin"}, claims={"name": "Ada"})
    identity = await JWTAuthenticator(SECRET, clock=clock)(token)
    assert identity.user_id == "ada"
    assert identity.is_admin
    assert identity.claims["name"] == "Ada"
    assert identity.expires_at == clock.time() + 60
    assert identity.token_id


async def test_expired(clock, claims):
    authenticate = JWTAuthenticator(SECRET, clock=clock)
    token = pyjwt.encode(claims, SECRET, "HS256")
    clock.advance(89)
    assert (await authenticate(token)).user_id == "ada"
    clock.advance(1)
    with pytest.raises(TokenExpired, match=r"^The token expired 30 s ago$"):
        await authenticate(token)


async def test_forged(clock, claims):
    authenticate = JWTAuthenticator(SECRET, clock=clock)
    token = pyjwt.encode(claims, OTHER, "HS256")
    assert await refused(authenticate, token) == "The token's signature does not match"
    header, _, signature = pyjwt.encode(claims, SECRET, "HS256").split(".")
    tampered = f"{header}.{part({**claims, 'sub': 'root'})}.{signature}"
    assert await refused(authenticate, tampered) == "The token's signature does not match"
    assert await refused(authenticate, f"{header}.{part(claims)}.") == "The token's signature does not match"


async def test_an_expired_forgery_is_a_forgery(clock, claims):
    token = pyjwt.encode({**claims, "exp": 1}, OTHER, "HS256")
    with pytest.raises(InvalidToken, match="signature") as refusal:
        await JWTAuthenticator(SECRET, clock=clock)(token)
    assert not isinstance(refusal.value, TokenExpired)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, ["HS256"], {"HS256": 1}, 5])
async def test_algorithm_none(clock, claims, algorithm):
    for signature in ("", part(b"x" * 32)):
        token = f"{part({'alg': algorithm, 'typ': 'JWT'})}.{part(claims)}.{signature}"
        await refused(JWTAuthenticator(SECRET, clock=clock), token)


async def test_algorithm_is_not_taken_from_the_token(clock, claims):
    token = pyjwt.encode(claims, SECRET * 2, "HS512")
    message = await refused(JWTAuthenticator(SECRET * 2, clock=clock), token)
    assert message == "The token's algorithm (`alg`) is not HS256"


async def test_hs256_with_the_public_key_as_secret(clock, claims, provider, rsa_signer):
    """The confusion attack: the provider's public key, which everybody has, as an HMAC secret."""
    provider.shows(rsa_signer.jwk("r"))
    public = rsa_signer.key.public_key()
    spellings = [
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        json.dumps(rsa_signer.jwk("r")).encode(),
    ]
    async with JWTAuthenticator(keys=JWKSet(provider.url, clock=clock), clock=clock) as authenticate:
        assert (await authenticate(rsa_signer.sign(claims, "r"))).user_id == "ada"
        for secret in spellings:
            token = hs256({"alg": "HS256", "kid": "r"}, claims, secret)
            assert (
                await refused(authenticate, token)
                == "The token's algorithm (`alg`) is not RS256 or ES256 or EdDSA"
            )


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"exp": None}, "The token has no `exp`"),
        ({"nbf": 253_402_300_000}, "not valid yet"),
        ({"iss": "https://evil"}, "issuer (`iss`) is not https://idp"),
        ({"aud": "elsewhere"}, "another audience"),
    ],
)
async def test_claims_are_checked(clock, claims, extra, message):
    authenticate = JWTAuthenticator(SECRET, issuer="https://idp", audience="chat", clock=clock)
    good = {**claims, "iss": "https://idp", "aud": "chat"}
    assert (await authenticate(pyjwt.encode(good, SECRET, "HS256"))).user_id == "ada"
    assert message in await refused(authenticate, pyjwt.encode({**good, **extra}, SECRET, "HS256"))


async def test_audience_where_none_is_configured(clock, claims):
    token = pyjwt.encode({**claims, "aud": "elsewhere"}, SECRET, "HS256")
    assert "none is configured" in await refused(JWTAuthenticator(SECRET, clock=clock), token)


async def test_several_audiences(clock, claims):
    authenticate = JWTAuthenticator(SECRET, audience=["chat", "feed"], clock=clock)
    assert await authenticate(pyjwt.encode({**claims, "aud": "feed"}, SECRET, "HS256"))


async def test_rotation(clock, claims):
    old, new = (pyjwt.encode(claims, key, "HS256") for key in (OTHER, SECRET))
    during = JWTAuthenticator(SECRET, previous=OTHER, clock=clock)
    assert (await during(old)).user_id == (await during(new)).user_id == "ada"
    stranger = pyjwt.encode(claims, "x" * 32, "HS256")
    assert await refused(during, stranger) == "The token's signature does not match"
    clock.advance(90)
    with pytest.raises(TokenExpired):
        await during(old)
    clock.advance(-90)
    assert "signature" in await refused(JWTAuthenticator(SECRET, clock=clock), old)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        "not a token",
        "é.é.é",
        "\ud800",
        "eyJ.eyJ.eyJ",
        f"{part(b'[]')}.e30.x",
        f"{part(b'[' * 3000)}.e30.e30",
        f"{part({'alg': 'HS256', 'kid': 5})}.e30.e30",
        f"{part({'alg': 'HS256', 'crit': ['exp']})}.e30.e30",
        f"{part({'alg': 'HS256', 'b64': False, 'crit': ['b64']})}..e30",
    ],
)
async def test_what_is_no_token(clock, provider, rsa_signer, token):
    provider.shows(rsa_signer.jwk())
    await refused(JWTAuthenticator(SECRET, clock=clock), token)
    async with JWTAuthenticator(keys=JWKSet(provider.url)) as authenticate:
        await refused(authenticate, token)
    assert provider.requests == 0, "a token that cannot be right asked the provider"


@pytest.mark.parametrize("payload", [b"", b"[]", b"5", b"\xff", b"[" * 5000, b'{"sub": "ada"'])
async def test_signed_payload_that_is_no_object(clock, payload):
    token = hs256({"alg": "HS256"}, payload, SECRET.encode())
    assert (
        await refused(JWTAuthenticator(SECRET, clock=clock), token)
        == "The token's claims are not a JSON object"
    )


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999", b"-1e999", b"9" * 400])
async def test_not_a_number_is_no_expiry(clock, number):
    token = hs256({"alg": "HS256"}, b'{"sub": "ada", "exp": ' + number + b"}", SECRET.encode())
    problem = await refused(JWTAuthenticator(SECRET, clock=clock), token)
    assert "`exp` is not a number" in problem or "not a JSON object" in problem


async def test_size_is_limited_before_reading(clock, claims):
    token = pyjwt.encode({**claims, "x": "y" * 8192}, SECRET, "HS256")
    assert (
        await refused(JWTAuthenticator(SECRET, clock=clock), token) == "The token is longer than 8192 bytes"
    )


async def test_subscription_token_is_told_from_others(clock):
    authenticate = JWTAuthenticator(SECRET, clock=clock)
    issuer = TokenIssuer(SECRET, clock=clock)
    assert for_one_channel(await authenticate(issuer.issue("ada", ttl=60, claims={"channel": "room:a"})))
    assert not for_one_channel(await authenticate(issuer.issue("ada", ttl=60)))


async def test_provider_signs_with_each_kind_of_key(
    clock, claims, provider, rsa_signer, ec_signer, okp_signer
):
    signers = {"r": rsa_signer, "e": ec_signer, "o": okp_signer}
    provider.shows(*(signer.jwk(kid) for kid, signer in signers.items()))
    async with JWTAuthenticator(keys=JWKSet(provider.url, clock=clock), clock=clock) as authenticate:
        for kid, signer in signers.items():
            assert (await authenticate(signer.sign(claims, kid))).user_id == "ada"
        assert "does not fit" in await refused(authenticate, ec_signer.sign(claims, "r"))
        assert (await authenticate(rsa_signer.sign(claims))).user_id == "ada", (
            "one key only fits without `kid`"
        )
    assert provider.requests == 1


async def test_key_of_another_provider(clock, claims, provider, rsa_signer, other_rsa_signer):
    provider.shows(rsa_signer.jwk("r"))
    async with JWTAuthenticator(keys=JWKSet(provider.url, clock=clock), clock=clock) as authenticate:
        message = await refused(authenticate, other_rsa_signer.sign(claims, "r"))
        assert message == "The token's signature does not match"
        assert "does not list" in await refused(authenticate, other_rsa_signer.sign(claims, "mine"))


async def test_keys_inside_the_token_are_not_believed(clock, claims, provider, rsa_signer, other_rsa_signer):
    provider.shows(rsa_signer.jwk("r"))
    headers = {"kid": "r", "jwk": other_rsa_signer.jwk("r"), "jku": "http://evil.example/keys"}
    token = pyjwt.encode(claims, other_rsa_signer.key, "RS256", headers=headers)
    async with JWTAuthenticator(keys=JWKSet(provider.url, clock=clock), clock=clock) as authenticate:
        assert await refused(authenticate, token) == "The token's signature does not match"


async def test_provider_that_is_down_is_not_the_tokens_fault(clock, claims, provider, rsa_signer):
    await provider.stop()
    async with JWTAuthenticator(keys=JWKSet(provider.url, clock=clock), clock=clock) as authenticate:
        with pytest.raises(AuthenticationUnavailable, match="try again"):
            await authenticate(rsa_signer.sign(claims, "r"))


async def test_entering_with_a_secret_does_nothing():
    async with JWTAuthenticator(SECRET) as authenticate:
        assert isinstance(authenticate, JWTAuthenticator)


KEYS = JWKSet("https://idp.example/keys")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either a secret or keys"),
        ({"secret": SECRET, "keys": KEYS}, "either a secret or keys"),
        ({"keys": KEYS, "previous": SECRET}, "previous secret means nothing"),
        ({"secret": "short"}, "has 5 bytes"),
        ({"secret": SECRET, "previous": "short"}, "The previous secret has 5 bytes"),
        ({"secret": SECRET, "algorithms": ["HS512"]}, "at least 64"),
        ({"secret": SECRET, "algorithms": ["RS256"]}, "for a secret must be some of HS256, HS384, HS512"),
        ({"secret": SECRET, "algorithms": ["HS256", "none"]}, "found 'none'"),
        ({"secret": SECRET, "algorithms": []}, "found none at all"),
        ({"keys": KEYS, "algorithms": ["RS256", "HS256"]}, "found 'HS256'"),
        ({"keys": KEYS, "algorithms": ["none"]}, "found 'none'"),
        ({"secret": SECRET, "issuer": ""}, "empty"),
        ({"secret": SECRET, "audience": ""}, "empty"),
        ({"secret": SECRET, "audience": []}, "empty"),
        ({"secret": SECRET, "audience": ["chat", ""]}, "empty"),
        ({"secret": SECRET, "leeway": -1}, "leeway"),
        ({"secret": SECRET, "leeway": float("nan")}, "leeway"),
        ({"secret": SECRET, "leeway": float("inf")}, "leeway"),
    ],
)
def test_configuration_that_cannot_work(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        JWTAuthenticator(**arguments)


async def test_one_algorithm_may_be_a_string(clock, claims):
    authenticate = JWTAuthenticator(SECRET * 2, algorithms="HS512", clock=clock)
    assert await authenticate(pyjwt.encode(claims, SECRET * 2, "HS512"))
