import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubbub.authentication.credentials import (
    Credential,
    CredentialKind,
    find_credential,
    selected_subprotocol,
)
from hubbub.exceptions import InvalidToken

HEADER, SUBPROTOCOL, TICKET, QUERY, COOKIE = CredentialKind

AUTHORIZATION = (b"authorization", b"Bearer from-header")
COOKIES = (b"cookie", b"theme=dark; session=from-cookie; x")
QUERY_STRING = b"token=from-query&ticket=from-ticket"
OFFERED = ["hubbub", "hubbub.bearer.from-subprotocol"]


def test_order_of_precedence():
    headers, query, offered = [AUTHORIZATION, COOKIES], QUERY_STRING, OFFERED
    found = []
    for _ in CredentialKind:
        credential = find_credential(headers, query, offered, cookie="session")
        found.append((credential.kind, credential.value))
        match credential.kind:
            case CredentialKind.HEADER:
                headers = [COOKIES]
            case CredentialKind.SUBPROTOCOL:
                offered = ["hubbub"]
            case CredentialKind.TICKET:
                query = b"token=from-query"
            case CredentialKind.QUERY:
                query = b""
            case CredentialKind.COOKIE:
                headers = []
    assert found == [
        (HEADER, "from-header"),
        (SUBPROTOCOL, "from-subprotocol"),
        (TICKET, "from-ticket"),
        (QUERY, "from-query"),
        (COOKIE, "from-cookie"),
    ]
    assert find_credential(headers, query, offered, cookie="session") is None


def test_repr_does_not_show_the_value():
    assert repr(Credential(HEADER, "secret")) == "Credential(kind=<CredentialKind.HEADER: 'header'>)"


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (b"Bearer abc", "abc"),
        (b"bearer abc", "abc"),
        (b"BEARER   abc  ", "abc"),
        (b"Bearer a.b-c_d~e+f/g==", "a.b-c_d~e+f/g=="),
        (b"Basic dXNlcjpwYXNz", None),
        (b"Digest username=x", None),
        (b"Bearerabc", None),
    ],
)
def test_authorization(value, token):
    credential = find_credential([(b"authorization", value)])
    assert (credential and credential.value) == token


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([b"Bearer"], "empty"),
        ([b"Bearer "], "empty"),
        ([b""], "empty"),
        ([b"Bearer a b"], "printable ASCII without spaces"),
        ([b"Bearer \xc3\xa9"], "printable ASCII"),
        ([b"Bearer a\x00"], "printable ASCII"),
        ([b"Bearer a\tb"], "printable ASCII"),
        ([b"Bearer a", b"Bearer b"], "2 times"),
        ([b"Bearer a", b"Basic b"], "2 times"),
    ],
)
def test_bad_authorization(values, message):
    with pytest.raises(InvalidToken, match=message):
        find_credential([(b"authorization", value) for value in values], QUERY_STRING, OFFERED)


def test_scheme_for_a_proxy_leaves_the_other_ways_open():
    assert find_credential([(b"authorization", b"Basic eDp5")], b"ticket=t").kind is TICKET


@pytest.mark.parametrize(
    ("offered", "message"),
    [
        (["hubbub", "hubbub.bearer."], "empty"),
        (["hubbub.bearer.a", "hubbub.bearer.b"], "2 times"),
        (["hubbub.bearer.é"], "printable ASCII"),
    ],
)
def test_bad_subprotocols(offered, message):
    with pytest.raises(InvalidToken, match=message):
        find_credential([], b"", offered)


@pytest.mark.parametrize(
    "offered", [[], ["hubbub"], ["Hubbub.Bearer.x"], ["hubbub.bearer"], ["x.hubbub.bearer.y"]]
)
def test_subprotocols_without_a_token(offered):
    assert find_credential([], b"", offered) is None


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        (["hubbub", "hubbub.bearer.t"], "hubbub"),
        (["hubbub.bearer.t", "hubbub"], "hubbub"),
        (["hubbub.bearer.t"], None),
        (["chat", "HUBBUB"], None),
        ([], None),
    ],
)
def test_selected_subprotocol(offered, selected):
    assert selected_subprotocol(offered) == selected


@pytest.mark.parametrize(
    ("query", "kind", "value"),
    [
        (b"ticket=abc", TICKET, "abc"),
        (b"x=1&token=a%2Bb%3D%3D", QUERY, "a+b=="),
        (b"%74oken=abc", QUERY, "abc"),
        (b"token=a;b", QUERY, "a;b"),
        (b"Token=abc", None, None),
        (b"tokens=abc&my_token=abc", None, None),
        (b"access_token=abc", None, None),
        (b"&&=&%", None, None),
    ],
)
def test_query(query, kind, value):
    assert find_credential([], query) == (kind and Credential(kind, value))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (b"token=", "empty"),
        (b"token", "empty"),
        (b"ticket=&token=good", r"empty \(\?ticket=\)"),
        (b"token=a&token=b", "2 times"),
        (b"token=a&token=a", "2 times"),
        (b"token=a+b", "without spaces"),
        (b"token=%C3%A9", "printable ASCII"),
        (b"token=\xff", "printable ASCII"),
        (b"token=a%00", "printable ASCII"),
    ],
)
def test_bad_query(query, message):
    with pytest.raises(InvalidToken, match=message):
        find_credential([], query)


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ([b"session=abc"], "abc"),
        ([b' a=1 ;session = "abc" ; b'], "abc"),
        ([b"a=1", b"session=abc"], "abc"),
        ([b"session=abc; session=abc"], "abc"),
        ([b"broken[]=x; {}; =; ;;session=a=b"], "a=b"),
        ([b"session=; session=abc"], "abc"),
        ([b"session="], None),
        ([b'session=""'], None),
        ([b"session"], None),
        ([b"Session=abc; my_session=abc; sessions=abc; x=session=abc"], None),
        ([], None),
    ],
)
def test_cookie(headers, value):
    credential = find_credential([(b"cookie", header) for header in headers], cookie="session")
    assert credential == (value and Credential(COOKIE, value))


def test_cookie_is_looked_at_only_by_name():
    assert find_credential([COOKIES]) is None
    assert find_credential([COOKIES], cookie="other") is None


@pytest.mark.parametrize(
    ("header", "message"),
    [(b"session=a; session=b", "2 times"), (b"session=\xe9", "ASCII"), (b"session=a b", "ASCII")],
)
def test_bad_cookie(header, message):
    with pytest.raises(InvalidToken, match=message):
        find_credential([(b"cookie", header)], cookie="session")


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([b"authorization", b"cookie", b"host"]), st.binary(max_size=30)), max_size=3
    ),
    st.binary(max_size=40),
    st.lists(
        st.builds("hubbub.bearer.{}".format, st.binary(max_size=5).map(lambda raw: raw.decode("latin-1")))
    ),
)
def test_whatever_comes_is_a_credential_none_or_invalid(headers, query, offered):
    try:
        credential = find_credential(headers, query, offered, cookie="session")
    except InvalidToken:
        return
    assert credential is None or (credential.value.isascii() and credential.value.isprintable())
