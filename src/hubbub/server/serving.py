"""`hubbub serve`: one socket, one process or several, from the first line to a clean stop."""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Callable
from contextlib import closing

from hubbub import ConfigurationError, TokenIssuer
from hubbub.server.app import create_app
from hubbub.server.data_dir import announce, only_server
from hubbub.server.listening import listen
from hubbub.server.logs import configure_logs
from hubbub.server.schema import prepare_database
from hubbub.server.settings import PREFIX, Settings, load_settings
from hubbub.server.shared import reach_shared
from hubbub.server.signing_keys import signing_keys
from hubbub.server.supervising import Patience, Supervisor
from hubbub.server.tokens import issue_code, sign_in_link
from hubbub.server.welcome import welcome
from hubbub.server.worker import make_server
from hubbub.server.workers import serving

logger = logging.getLogger(__name__)

LINK_TTL = 15 * 60.0
SESSION_TTL = 24 * 3600.0
"""A link is used within minutes; the administrator who used it works on for a day."""

BEYOND_DRAINING = 20.0
"""Seconds that a worker's stop may take beside its drain: requests that end late, jobs, the lifespan's end."""


def serve(settings: Settings, host: str, port: int, workers: int = 1) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        settings: what it shall be.
        host: address to listen on.
        port: where to listen; 0 takes a free one.
        workers: how many processes; with more than one this one only supervises them.

    Raises:
        ConfigurationError: the server cannot start; the message says why.
    """
    check_workers(settings, workers)
    configure_logs(settings)
    reach_shared(settings)  # here it is one line; in the lifespan it would be a traceback
    shared = settings.redis_url is not None
    with (
        only_server(settings.data_dir, shared=shared) as lock,
        closing(listen(host, port, settings)) as listener,
    ):
        keys = signing_keys(settings)
        prepare_database(settings)
        address = local_address(host, listener)
        issuer = TokenIssuer(keys.current)

        def started() -> None:
            announce(lock, address)
            code = issue_code(issuer, "admin", ttl=LINK_TTL, scopes=frozenset({"admin"}), session=SESSION_TTL)
            base = settings.public_url or address
            welcome(base, sign_in_link(base, code), LINK_TTL)

        warn(settings, host)
        if workers == 1:
            make_server(settings, keys, started).run([listener])
        else:
            create_app(settings, keys)  # what cannot work is said once, and not by each of them
            supervise(listener, workers, started)


def supervise(listener: socket.socket, workers: int, started: Callable[[], None]) -> None:
    """Keep so many processes serving; the settings are read again for each roll.

    Raises:
        ConfigurationError: a worker did not get ready.
    """

    def patience() -> Patience:
        return Patience(stop=load_settings().drain_time + BEYOND_DRAINING)

    async def run() -> None:
        await Supervisor(serving, listener, workers, patience, started).run()

    asyncio.run(run())


def check_workers(settings: Settings, workers: int) -> None:
    """See whether there can be so many processes.

    Raises:
        ConfigurationError: they would know nothing of each other.
    """
    if workers > 1 and settings.redis_url is None:
        raise ConfigurationError(
            f"--workers {workers}: without Redis a server is one process, since two would not see each other's rooms. "
            f"Start it without --workers, or set {PREFIX}REDIS_URL."
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
