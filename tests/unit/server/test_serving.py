import logging

import pytest

from hubbub import ConfigurationError
from hubbub.server.listening import listen
from hubbub.server.serving import check_workers, is_loopback, local_address, warn
from hubbub.server.settings import Settings


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:{}"),
        ("0.0.0.0", "http://127.0.0.1:{}"),
        ("localhost", "http://localhost:{}"),
    ],
)
def test_the_address_is_one_that_a_browser_here_can_open(host, address):
    with listen("127.0.0.1", 0, Settings()) as listener:
        assert local_address(host, listener) == address.format(listener.getsockname()[1])


def test_an_address_of_ipv6_has_brackets():
    with listen("127.0.0.1", 0, Settings()) as listener:
        port = listener.getsockname()[1]
        assert local_address("::1", listener) == f"http://[::1]:{port}"
        assert local_address("::", listener) == f"http://[::1]:{port}"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("example.com", False),
    ],
)
def test_visitors_on_a_public_host_are_warned_of(caplog, host, loopback):
    assert is_loopback(host) is loopback
    with caplog.at_level(logging.WARNING):
        warn(Settings(allow_anonymous=True), host)
        warn(Settings(allow_anonymous=False), host)
    assert len(caplog.messages) == (0 if loopback else 1)


def test_several_processes_need_what_connects_them():
    check_workers(Settings(), 1)
    with pytest.raises(ConfigurationError, match="set HUBBUB_REDIS_URL"):
        check_workers(Settings(), 2)
