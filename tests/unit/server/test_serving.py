import asyncio
import logging
import signal

import httpx2
import pytest

from hubbub.server.app import create_app
from hubbub.server.listening import listen
from hubbub.server.protocols import Protocols
from hubbub.server.serving import WHOLE_MESSAGE, Server, configuration, is_loopback, local_address, warn
from hubbub.server.settings import Settings
from hubbub.uvicorn import BoundedHTTP, DirectWebSocket

from .conftest import SECRET

PROTOCOLS = Protocols("direct", BoundedHTTP, DirectWebSocket)


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


def test_uvicorn_is_told_what_the_settings_say():
    app = create_app(Settings(secret_key=SECRET))
    settings = Settings(max_message_bytes=1000, heartbeat_interval=7.0, drain_time=1.5)
    config = configuration(app, settings, PROTOCOLS)
    assert (config.ws_max_size, config.ws_ping_interval, config.ws_ping_timeout) == (1000, 7, 7)
    assert config.timeout_graceful_shutdown == 2
    assert config.ws_per_message_deflate is True
    config.load()
    assert (config.http_protocol_class, config.ws_protocol_class) == (BoundedHTTP, DirectWebSocket)
    other = configuration(app, Settings(max_message_bytes=0, compression=False), PROTOCOLS)
    assert other.ws_max_size == WHOLE_MESSAGE
    assert other.ws_per_message_deflate is False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_server_and_not_the_process(number):
    settings = Settings(secret_key=SECRET)
    before = signal.getsignal(number)
    ready = asyncio.Event()
    with listen("127.0.0.1", 0, settings) as listener:
        server = Server(configuration(create_app(settings), settings, PROTOCOLS), ready.set)
        running = asyncio.create_task(server.serve([listener]))
        async with asyncio.timeout(10):
            await ready.wait()
            async with httpx2.AsyncClient(trust_env=False) as client:
                response = await client.get(f"{local_address('127.0.0.1', listener)}/readyz")
                assert response.status_code == 200
                assert "server" not in response.headers
            signal.raise_signal(number)
            await running
    assert signal.getsignal(number) is before
