import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.authentication.origins import OriginPolicy
from hubbub.exceptions import ConfigurationError, Forbidden


def headers(origin: str | None, host: str | None = "chat.example") -> list[tuple[bytes, bytes]]:
    found = [(b"user-agent", b"x")]
    if host is not None:
        found.append((b"host", host.encode("latin-1")))
    if origin is not None:
        found.append((b"origin", origin.encode("latin-1")))
    return found


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        # not a browser
        (None, "chat.example", True),
        (None, None, True),
        # the same origin
        ("https://chat.example", "chat.example", True),
        ("http://chat.example", "chat.example", True),
        ("https://CHAT.Example", "chat.EXAMPLE", True),
        ("https://chat.example", "chat.example:443", True),
        ("https://chat.example:443", "chat.example", True),
        ("http://chat.example:80", "chat.example", True),
        ("http://localhost:8000", "localhost:8000", True),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://[0:0:0:0:0:0:0:1]:8000", "[::1]:8000", True),
        ("https://[2001:DB8::1]", "[2001:db8::1]", True),
        ("https://xn--bcher-kva.example", "xn--bcher-kva.example", True),
        ("https://chat.example.", "chat.example.", True),
        # another port, host or scheme
        ("http://localhost:3000", "localhost:8000", False),
        ("https://chat.example", "chat.example:80", False),
        ("http://chat.example", "chat.example:443", False),
        ("https://chat.example:8443", "chat.example", False),
        ("http://localhost:8000", "127.0.0.1:8000", False),
        ("http://[::1]:8000", "[::2]:8000", False),
        ("https://chat.example.", "chat.example", False),
        ("https://chat.example", "chat.example.", False),
        ("https://evil.example", "chat.example", False),
        ("https://chat.example.evil.example", "chat.example", False),
        ("https://evilchat.example", "chat.example", False),
        ("https://xn--bcher-kva.example", "bücher.example", False),
        ("app://chat.example", "chat.example", False),
        ("null", "null", False),
        # what no browser sends
        ("", "chat.example", False),
        ("chat.example", "chat.example", False),
        ("https://", "chat.example", False),
        ("https://chat.example/", "chat.example", False),
        ("https://chat.example#", "chat.example", False),
        ("https://chat.example?x", "chat.example", False),
        ("https://user@chat.example", "chat.example", False),
        ("https://chat.example:", "chat.example", False),
        ("https://chat.example:0", "chat.example:0", False),
        ("https://chat.example:65536", "chat.example:65536", False),
        ("https://chat.example ", "chat.example", False),
        ("https://chat.example\n", "chat.example", False),
        ("https://chat.example https://evil.example", "chat.example", False),
        ("https://[::1", "[::1", False),
        ("https://[chat.example]", "[chat.example]", False),
        ("https://[:::]", "[:::]", False),
        ("https://bücher.example", "bücher.example", False),
        ("NULL", "chat.example", False),
        # no Host to compare with
        ("https://chat.example", None, False),
        ("https://chat.example", "", False),
        ("https://chat.example", "chat.example, evil.example", False),
    ],
)
def test_same_origin(origin, host, allowed):
    policy = OriginPolicy()
    assert policy.allows(headers(origin, host)) is allowed
    if allowed:
        policy.check(headers(origin, host))
    else:
        with pytest.raises(Forbidden, match="Origin"):
            policy.check(headers(origin, host))


@pytest.mark.parametrize(
    ("entry", "origin", "allowed"),
    [
        ("https://app.example", "https://app.example", True),
        ("https://App.Example:443", "https://app.example", True),
        (" https://app.example ", "https://app.example", True),
        ("https://app.example", "http://app.example", False),
        ("https://app.example", "https://app.example:8443", False),
        ("https://app.example", "https://sub.app.example", False),
        ("https://app.example", "https://app.example.evil.example", False),
        ("https://app.example", "https://app.example.", False),
        ("http://localhost:5173", "http://localhost:5173", True),
        ("http://localhost:5173", "http://localhost", False),
        ("http://[::1]:5173", "http://[0::1]:5173", True),
        ("https://bücher.example", "https://xn--bcher-kva.example", True),
        ("https://BÜCHER.example:8443", "https://xn--bcher-kva.example:8443", True),
        ("https://faß.example", "https://xn--fa-hia.example", True),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example", True),
        ("capacitor://localhost", "capacitor://localhost", True),
        ("capacitor://localhost", "http://localhost", False),
        ("chrome-extension://abcdef", "chrome-extension://abcdef", True),
        ("https://*.example.com", "https://a.example.com", True),
        ("https://*.example.com", "https://a.b.example.com", True),
        ("https://*.example.com", "https://A.EXAMPLE.com:443", True),
        ("https://*.example.com", "https://example.com", False),
        ("https://*.example.com", "https://.example.com", False),
        ("https://*.example.com", "http://a.example.com", False),
        ("https://*.example.com", "https://a.example.com:8443", False),
        ("https://*.example.com:8443", "https://a.example.com:8443", True),
        ("https://*.example.com", "https://evilexample.com", False),
        ("https://*.example.com", "https://a.example.com.evil.example", False),
        ("https://*.example.com", "https://evil.example/.example.com", False),
        ("https://*.example.com", "https://a.example.com.", False),
        ("https://*.bücher.example", "https://a.xn--bcher-kva.example", True),
        ("*", "https://anything.example", True),
        ("*", "null", False),
        ("*", "garbage", False),
        ("null", "null", True),
        ("null", "https://anything.example", False),
    ],
)
def test_list(entry, origin, allowed):
    assert OriginPolicy([entry]).allows(headers(origin)) is allowed
    assert OriginPolicy(["https://first.example", entry]).allows(headers(origin)) is allowed


def test_listed_and_same_origin_both_hold():
    policy = OriginPolicy(["https://app.example"])
    assert policy.allows(headers("https://chat.example"))


def test_two_origins_or_hosts():
    policy = OriginPolicy(["*", "null"])
    assert not policy.allows([*headers("https://chat.example"), (b"origin", b"https://chat.example")])
    assert not policy.allows([*headers("null"), (b"origin", b"null")])
    assert not OriginPolicy().allows([*headers("https://chat.example"), (b"host", b"chat.example")])


def test_refusal_names_the_origin_only_when_it_is_one():
    with pytest.raises(Forbidden, match=r"^The Origin https://evil\.example is not in allowed_origins$"):
        OriginPolicy().check(headers("https://evil.example"))
    with pytest.raises(Forbidden) as refusal:
        OriginPolicy().check(headers("https://evil.example/\r\nX-Forged: 1"))
    assert "evil" not in str(refusal.value)


@pytest.mark.parametrize(
    ("entry", "advice"),
    [
        ("", "is empty"),
        ("example.com", "write 'https://example.com'"),
        ("*.example.com", "has no scheme"),
        ("https://example.com/", "write 'https://example.com'"),
        ("https://example.com/app?x", "write 'https://example.com'"),
        ("https://bücher.example/app", "write 'https://bücher.example'"),
        ("https://*", "only as the whole first label"),
        ("https://*.*.example.com", "only as the whole first label"),
        ("https://a.*.example.com", "only as the whole first label"),
        ("https://a*.example.com", "only as the whole first label"),
        ("http://localhost:*", "only as the whole first label"),
        ("*://example.com", "only as the whole first label"),
        ("https://me@example.com", "user or password"),
        ("https://example.com:99999", "is not scheme://host"),
        ("https://ex ample.com", "is not scheme://host"),
        ("https://", "is not scheme://host"),
        ("https://[::1", "is not scheme://host"),
        ("https://☃\u200d.example", "is not scheme://host"),
    ],
)
def test_entry_that_cannot_work(entry, advice):
    with pytest.raises(ConfigurationError) as error:
        OriginPolicy(["https://good.example", entry])
    assert repr(entry) in str(error.value)
    assert advice in str(error.value)


def test_list_that_is_a_string():
    with pytest.raises(ConfigurationError, match="are a list"):
        OriginPolicy("https://example.com")


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_no_foreign_text_gets_in(before, after):
    policy = OriginPolicy(["https://*.example.com", "https://app.example"])
    raw = f"{before}app.example{after}".encode("utf-8", "replace")
    if policy.allows([(b"host", b"chat.example"), (b"origin", raw)]):
        assert raw.lower() in {
            b"https://app.example",
            b"https://app.example:443",
            b"https://app.example.com",
        } or (
            raw.lower().startswith(b"https://")
            and raw.lower().endswith((b".example.com", b".example.com:443"))
        )


def test_what_was_allowed_once_is_allowed_again_and_nothing_else():
    policy = OriginPolicy(["https://app.example"])
    for _ in range(3):
        assert policy.allows(headers("https://app.example"))
        assert policy.allows(headers("https://chat.example"))
        assert not policy.allows(headers("https://evil.example"))
        assert not policy.allows(headers("https://chat.example", "app.example"))
        # The same values, the other way round, or two Origins and no Host.
        assert not policy.allows([(b"origin", b"chat.example"), (b"host", b"https://chat.example")])
        assert not policy.allows([(b"origin", b"https://chat.example"), (b"origin", b"chat.example")])


def test_what_is_remembered_is_bounded():
    policy = OriginPolicy(["https://app.example", "https://*.app.example"])
    for number in range(1000):
        assert policy.allows(headers(f"https://{number}.app.example"))
        assert policy.allows(headers("https://app.example", f"{number}" * 1000))
    assert len(policy._allowed) == 256
    assert max(len(value) for pair in policy._allowed for values in pair for value in values) < 256
    assert policy.allows(headers("https://1000.app.example"))
