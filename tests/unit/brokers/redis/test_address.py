"""What addresses of Redis say, and that nothing they are refused for shows a password."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hubbub.brokers.redis import Address
from hubbub.brokers.redis.address import Arrangement, Server
from hubbub.exceptions import ConfigurationError

SECRET = "hunter2hunter2"


def test_one_server():
    address = Address.parse("redis://h")
    assert (address.arrangement, address.servers) == (Arrangement.SINGLE, (Server("h", 6379),))
    assert (address.database, address.username, address.password, address.tls) == (0, None, None, False)
    address = Address.parse("rediss://ada:p%2Fw%40d@[::1]:7000/3?prefix=chat&tls_verify=no&tls_ca=/ca.pem")
    assert address.servers == (Server("::1", 7000),)
    assert (address.username, address.password, address.database) == ("ada", "p/w@d", 3)
    assert (address.tls, address.tls_verify, address.tls_ca) == (True, False, "/ca.pem")
    assert address.prefix == "chat"
    assert str(address) == "rediss://[::1]:7000/3"


def test_sentinels_and_a_cluster():
    address = Address.parse("rediss+sentinel://:pw@a,b:1/main/2?sentinel_password=other")
    assert address.servers == (Server("a", 26379), Server("b", 1))
    assert (address.service, address.database, address.sentinel_password) == ("main", 2, "other")
    assert str(address) == "rediss+sentinel://a:26379,b:1/main/2"
    address = Address.parse("redis+cluster://a,b:7001")
    assert address.arrangement is Arrangement.CLUSTER
    assert address.servers == (Server("a", 6379), Server("b", 7001))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h:6379",
        "http://h",
        "redis://",
        "redis://h:port",
        "redis://h:70000",
        "redis://a,b",
        "redis://[::1",
        "redis://h/x",
        "redis://h/1/2",
        "redis://h/٣",
        "redis://h/" + "9" * 5000,
        "redis+sentinel://h",
        "redis+cluster://h/1",
        "redis://h?no_such=1",
        "redis://h?prefix=a{b}",
        "redis://h?prefix=",
        "redis://h?tls_verify=maybe",
        "redis://h#there",
        f"redis://:{SECRET}/x@h:6379/0",
        f"redis://:x/{SECRET}@h:6379/0",
        f"redis://user:{SECRET}#x@h",
        f"redis://user:x#{SECRET}@h",
        f"redis://user:x?{SECRET}@h:6379/0",
        f"redis://user:x?a={SECRET}@h:6379/0",
        f"redis://user:{SECRET}[@h",
        f"redis://user:{SECRET}\u2100@h",
        f"redis://user:{SECRET}@h:port",
        f"http://user:{SECRET}@h",
    ],
)
def test_what_is_no_address_is_refused_without_showing_the_password(url):
    with pytest.raises(ConfigurationError) as refused:
        Address.parse(url)
    shown = f"{refused.value}{refused.value.__cause__}"
    assert SECRET not in shown
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_no_form_of_an_address_shows_the_password():
    address = Address.parse(f"redis+sentinel://:{SECRET}@h/s?sentinel_password={SECRET}")
    assert SECRET not in f"{address} {address!r}"


@given(
    st.text()
    | st.from_regex(r"rediss?(\+sentinel|\+cluster)?://[^/]{0,10}@?[a-z:,\[\]]{0,10}(/.{0,5})?(\?.{0,9})?")
)
@example("redis://[")
@example("redis://\u2100")
def test_junk_is_an_address_or_a_configuration_error(url):
    try:
        address = Address.parse(url)
    except ConfigurationError:
        return
    assert address.servers
    assert all(server.host for server in address.servers)
