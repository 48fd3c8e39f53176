import pytest

from hubbub.authentication.claims import ClaimRules, for_one_channel
from hubbub.exceptions import InvalidToken, TokenExpired
from hubbub.hub.identity import Identity
from hubbub.types import UserId

NOW = 1_800_000_000.0
GOOD = {"sub": "ada", "exp": NOW + 60}


def judge(rules: ClaimRules = ClaimRules(), **claims) -> Identity:  # noqa: B008
    return rules.identity(
        {name: value for name, value in {**GOOD, **claims}.items() if value != "absent"}, NOW
    )


def test_claims_become_an_identity():
    identity = judge(jti="t-1", scope="admin  server", iss="https://idp", role="editor")
    assert identity == Identity(UserId("ada"), {}, NOW + 60, frozenset({"admin", "server"}), "t-1")
    assert identity.claims == {"iss": "https://idp", "role": "editor"}


def test_scopes_may_be_a_list():
    assert judge(scopes=["admin", "server"]).scopes == {"admin", "server"}
    assert judge(scope=["a"], scopes="b").scopes == {"a", "b"}
    assert judge(scope="").scopes == set()


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": "absent"}, "has no `exp`"),
        ({"exp": None}, "has no `exp`"),
        ({"exp": "1800000060"}, "`exp` is not a number"),
        ({"exp": True}, "`exp` is not a number"),
        ({"exp": float("nan")}, "`exp` is not a number"),
        ({"exp": float("inf")}, "`exp` is not a number"),
        ({"exp": 10**400}, "`exp` is not a number"),
        ({"exp": -1}, "`exp` is not a number"),
        ({"nbf": NOW + 31}, "`nbf` is 31 s ahead"),
        ({"nbf": 253_402_300_000}, "not valid yet"),
        ({"nbf": [NOW]}, "`nbf` is not a number"),
        ({"iat": NOW + 3600}, "`iat` is 3600 s ahead"),
        ({"iat": "now"}, "`iat` is not a number"),
        ({"sub": "absent"}, "has no `sub`"),
        ({"sub": None}, "has no `sub`"),
        ({"sub": ""}, "`sub` is empty"),
        ({"sub": 42}, "`sub` is not a string"),
        ({"sub": "é" * 128}, "`sub` is longer than 255 bytes"),
        ({"sub": "ada\n"}, "`sub` has control characters"),
        ({"sub": "ada\x9f"}, "`sub` has control characters"),
        ({"sub": "\ud800"}, "`sub` has control characters"),
        ({"jti": 5}, "`jti` is not a string"),
        ({"scope": 5}, "`scope` is neither"),
        ({"scopes": ["admin", 5]}, "`scopes` is neither"),
        ({"scope": {"admin": True}}, "`scope` is neither"),
        ({"aud": "other"}, "none is configured"),
        ({"aud": []}, "none is configured"),
    ],
)
def test_refused(claims, message):
    with pytest.raises(InvalidToken, match=message) as refusal:
        judge(**claims)
    assert not isinstance(refusal.value, TokenExpired)


def test_subject_of_255_bytes():
    assert judge(sub="x" * 255).user_id == "x" * 255


@pytest.mark.parametrize(
    ("ago", "expired"), [(-1, False), (0, False), (29.5, False), (30, True), (3600, True)]
)
def test_expiry_with_its_leeway(ago, expired):
    if expired:
        with pytest.raises(TokenExpired, match=f"^The token expired {ago} s ago$"):
            judge(exp=NOW - ago)
    else:
        assert judge(exp=NOW - ago).expires_at == NOW - ago


def test_leeway_is_configurable_and_holds_for_all_times():
    strict = ClaimRules(leeway=0)
    with pytest.raises(TokenExpired):
        judge(strict, exp=NOW)
    with pytest.raises(InvalidToken, match="nbf"):
        judge(strict, nbf=NOW + 0.5)
    assert judge(strict, exp=NOW + 0.5, nbf=NOW, iat=NOW).user_id == "ada"
    assert judge(nbf=NOW + 30, iat=NOW + 30).user_id == "ada"


def test_when_a_token_was_issued_is_known_where_it_says_so():
    assert judge(iat=NOW - 5).issued_at == NOW - 5
    assert judge().issued_at is None
    assert "iat" not in judge(iat=NOW - 5).claims


@pytest.mark.parametrize(
    ("issuer", "message"),
    [
        ("https://idp/", None),
        ("https://idp", "is not https://idp/"),
        ("absent", "has no `iss`"),
        (["https://idp/"], "is not"),
    ],
)
def test_issuer(issuer, message):
    rules = ClaimRules(issuer="https://idp/")
    if message is None:
        assert judge(rules, iss=issuer).claims["iss"] == issuer
    else:
        with pytest.raises(InvalidToken, match=message):
            judge(rules, iss=issuer)


@pytest.mark.parametrize(
    ("audience", "message"),
    [
        ("chat", None),
        ("feed", None),
        (["elsewhere", "chat"], None),
        ("elsewhere", "for another audience"),
        ("cha", "for another audience"),
        ([], "for another audience"),
        ("absent", "has no `aud`"),
        (["chat", 5], "neither a string nor a list"),
        ({"chat": 1}, "neither a string nor a list"),
    ],
)
def test_audience(audience, message):
    rules = ClaimRules(audiences=frozenset({"chat", "feed"}))
    if message is None:
        assert judge(rules, aud=audience).claims["aud"] == audience
    else:
        with pytest.raises(InvalidToken, match=message):
            judge(rules, aud=audience)


def test_a_token_with_a_channel_is_for_that_channel_alone():
    assert for_one_channel(judge(channel="room:a"))
    assert not for_one_channel(judge())


def test_identities_with_the_same_scopes_share_them():
    rules = ClaimRules()

    def scopes(*words: str) -> frozenset[str]:
        return rules.identity({"sub": "ada", "exp": 2e9, "scope": " ".join(words)}, 1e9).scopes

    assert scopes("a", "b") is scopes("b", "a")
    assert scopes() is scopes()
    for number in range(1000):
        assert scopes(f"s{number}") == {f"s{number}"}
    assert len(rules._known) <= 256
    assert scopes("a", "b") == {"a", "b"}
