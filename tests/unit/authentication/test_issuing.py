import jwt as pyjwt
import pytest

from hubbub.authentication.issuing import TokenIssuer
from hubbub.authentication.jwt import JWTAuthenticator
from hubbub.exceptions import ConfigurationError

SECRET = "a-secret-of-this-server-0123456789"


def test_what_a_token_says(clock):
    clock.advance(0.25)
    token = TokenIssuer(SECRET, clock=clock).issue(
        "ada", ttl=60, scopes={"server", "admin"}, claims={"name": "Ada"}, audience="chat"
    )
    claims = pyjwt.decode(
        token, SECRET, ["HS256"], options={"verify_exp": False, "verify_iat": False}, audience="chat"
    )
    token_id = claims.pop("jti")
    assert len(token_id) == 32
    assert claims == {
        "sub": "ada",
        "iat": 1_800_000_000,
        "exp": 1_800_000_061,
        "scope": "admin server",
        "name": "Ada",
        "aud": "chat",
    }


def test_every_token_has_its_own_id(clock):
    issuer = TokenIssuer(SECRET, clock=clock)
    assert issuer.issue("ada", ttl=60) != issuer.issue("ada", ttl=60)


async def test_whatever_is_issued_is_accepted(clock):
    token = TokenIssuer(SECRET, clock=clock).issue(
        "ada", ttl=0.5, scopes=["x"], claims={"iss": "me"}, audience="chat"
    )
    identity = await JWTAuthenticator(SECRET, issuer="me", audience="chat", clock=clock)(token)
    assert identity.scopes == {"x"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"user_id": ""}, "user id is empty"),
        ({"user_id": "a\nb"}, "control characters"),
        ({"user_id": "x" * 256}, "longer than 255 bytes"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": -5}, "ttl"),
        ({"ttl": float("nan")}, "ttl"),
        ({"ttl": float("inf")}, "ttl"),
        ({"scopes": ["two words"]}, "one word"),
        ({"scopes": [""]}, "one word"),
        ({"claims": {"sub": "root", "exp": 5}}, "exp, sub follow"),
        ({"claims": {"scope": "admin"}}, "scope follow"),
        ({"claims": {"x": "y" * 8192}}, "shorten the claims"),
    ],
)
def test_what_nobody_would_accept_is_not_issued(clock, arguments, message):
    with pytest.raises(ValueError, match=message):
        TokenIssuer(SECRET, clock=clock).issue(**{"user_id": "ada", "ttl": 60, **arguments})


def test_short_secret():
    with pytest.raises(ConfigurationError, match="at least 32"):
        TokenIssuer("short")
