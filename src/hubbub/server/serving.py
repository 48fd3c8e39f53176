"""`hubbub serve`: one process, one socket, uvicorn, from the first line to a clean stop."""

import gc
import ipaddress
import logging
import math
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import uvicorn
from fastapi import FastAPI

from hubbub import TokenIssuer
from hubbub.server.app import create_app
from hubbub.server.data_dir import announce, only_server
from hubbub.server.listening import listen, raise_file_limit
from hubbub.server.logs import configure_logs
from hubbub.server.protocols import Protocols, choose_protocols
from hubbub.server.settings import Settings
from hubbub.server.signing_keys import signing_keys
from hubbub.server.tokens import issue_code, sign_in_link
from hubbub.server.welcome import welcome

logger = logging.getLogger(__name__)

LINK_TTL = 15 * 60.0
SESSION_TTL = 24 * 3600.0
"""A link is used within minutes; the administrator who used it works on for a day."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)

COLLECTOR = (10_000, 20, 50)
"""Objects made before the youngest generation is looked through, and how often before an older one is."""

WHOLE_MESSAGE = 2**31 - 1
"""uvicorn has no word for “no limit”."""


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Raises:
        ConfigurationError: the server cannot start; the message says why.
    """
    configure_logs(settings)
    with only_server(settings.data_dir) as lock, closing(listen(host, port, settings)) as listener:
        keys = signing_keys(settings)
        app = create_app(settings, keys)
        protocols = choose_protocols()
        app.state.outlet = protocols.outlet
        address = local_address(host, listener)
        issuer = TokenIssuer(keys.current)

        def started() -> None:
            announce(lock, address)
            code = issue_code(issuer, "admin", ttl=LINK_TTL, scopes=frozenset({"admin"}), session=SESSION_TTL)
            base = settings.public_url or address
            welcome(base, sign_in_link(base, code), LINK_TTL)

        raise_file_limit(settings.max_connections)
        warn(settings, host)
        Server(configuration(app, settings, protocols), started).run([listener])


class Server(uvicorn.Server):
    """uvicorn, told what to do when it has started and when a signal comes.

    Args:
        config: uvicorn's.
        started: called when connections are accepted.
    """

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        spare_the_collector()
        self._started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take Ctrl-C and SIGTERM as the wish to stop, which is no failure.

        uvicorn's own raises them once more after it has stopped, and so ends with the signal's exit code.
        """
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def spare_the_collector() -> None:
    """Look for garbage in cycles less often, and never among what was there from the start.

    Connections leave no cycles. Looking through those of thousands stops the loop for tens of milliseconds, and was a
    seventh of a handshake's price.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)


def configuration(app: FastAPI, settings: Settings, protocols: Protocols) -> uvicorn.Config:
    """Return how uvicorn runs an application under these settings."""
    return uvicorn.Config(
        app,
        http=protocols.http,
        ws=protocols.websocket,
        ws_max_size=settings.max_message_bytes or WHOLE_MESSAGE,
        ws_ping_interval=settings.heartbeat_interval,
        ws_ping_timeout=settings.heartbeat_interval,
        ws_per_message_deflate=settings.compression,
        lifespan="on",
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(settings.drain_time),
    )


def local_address(host: str, listener: socket.socket) -> str:
    """Return where a browser on this machine finds the server."""
    port = listener.getsockname()[1]
    at = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(host, host)
    return f"http://{f'[{at}]' if ':' in at and not at.startswith('[') else at}:{port}"


def warn(settings: Settings, host: str) -> None:
    """Say what is allowed and probably not meant."""
    if settings.allow_anonymous and not is_loopback(host):
        logger.warning(
            "HUBBUB_ALLOW_ANONYMOUS lets anybody who reaches %s connect without a token: they may use namespaces "
            'with subscribe = "anyone" or publish = "anyone".',
            host,
        )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
