"""What `hubbub token` makes; test_cli has it printed."""

import pytest

from hubbub import JWTAuthenticator
from hubbub.server.token_command import access_and_link

SECRET = "5e" * 32


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    monkeypatch.setenv("HUBBUB_SECRET_KEY", SECRET)
    monkeypatch.setenv("HUBBUB_PUBLIC_URL", "https://chat.example.com")


@pytest.mark.parametrize(("admin", "scopes"), [(False, frozenset()), (True, frozenset({"admin"}))])
async def test_a_token_and_a_link(admin, scopes):
    access, link = access_and_link("ada", "5m", admin=admin)
    identity = await JWTAuthenticator(SECRET)(access)
    assert (identity.user_id, identity.scopes) == ("ada", scopes)
    assert link.startswith("https://chat.example.com/#sign-in=")


@pytest.mark.parametrize(("user", "ttl"), [("", "1h"), ("ada", "soon"), ("ada", "0")])
def test_what_cannot_be(user, ttl):
    with pytest.raises(ValueError, match=r"empty|expected a time|above zero"):
        access_and_link(user, ttl, admin=False)
