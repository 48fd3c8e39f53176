"""One process of `hubbub serve`: what serves on a listening socket, alone or as a worker under a supervisor."""

import asyncio
import gc
import logging
import math
import socket
import sys
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from hubbub import ConfigurationError
from hubbub.server.app import create_app
from hubbub.server.listening import raise_file_limit
from hubbub.server.logs import configure_logs
from hubbub.server.protocols import Protocols, choose_protocols
from hubbub.server.settings import Settings, load_settings
from hubbub.server.signing_keys import SigningKeys, signing_keys
from hubbub.server.stopping import Server

logger = logging.getLogger(__name__)

READY = b"ready"
"""What a worker says on its line when it serves."""

LOOK = 0.1
"""Seconds between two looks whether the parts can be reached."""

COLLECTOR = (10_000, 20, 50)
"""Objects made before the youngest generation is looked through, and how often before an older one is."""

WHOLE_MESSAGE = 2**31 - 1
"""uvicorn has no word for “no limit”."""


def make_server(
    settings: Settings, keys: SigningKeys, started: Callable[[], None], worker: int | None = None
) -> Server:
    """Make what serves in this process: ``run([listener])``.

    Args:
        settings: what it shall be.
        keys: what signs tokens.
        started: called when connections are accepted.
        worker: its number among several.

    Raises:
        ConfigurationError: settings or namespaces that cannot work.
    """
    app = create_app(settings, keys, worker)
    protocols = choose_protocols()
    app.state.outlet = protocols.outlet
    raise_file_limit(settings.max_connections)

    def ready() -> None:
        spare_the_collector()
        started()

    return Server(configuration(app, settings, protocols), app.state.hub, ready)


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


def spare_the_collector() -> None:
    """Look for garbage in cycles less often, and never among what was there from the start.

    Connections leave no cycles. Looking through those of thousands stops the loop for tens of milliseconds, and was a
    seventh of a handshake's price.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)


def work(listener: socket.socket, line: socket.socket, number: int) -> None:
    """Serve as a worker: say on the line when it is ready, and end, drained, when the other end is gone.

    The settings are read anew, so that a rolled worker has what was changed.

    Raises:
        ConfigurationError: the server cannot start; the message says why.
    """
    settings = load_settings()
    configure_logs(settings)
    line.setblocking(False)

    def started() -> None:
        asyncio.get_running_loop().add_reader(line, left_alone)
        say_ready()

    def say_ready() -> None:
        if server.hub.problem is None:
            line.send(READY)
        else:
            asyncio.get_running_loop().call_later(LOOK, say_ready)

    def left_alone() -> None:
        # Nothing is ever sent this way: it can be read when the supervisor has ended, however it ended.
        asyncio.get_running_loop().remove_reader(line)
        logger.warning("The supervisor of this worker is gone: it drains and ends too.")
        server.stop()

    server = make_server(settings, signing_keys(settings), started, number)
    server.run([listener])


def main() -> None:
    """Be `python -m hubbub.server.worker LISTENER LINE NUMBER`: two inherited sockets, and which worker this is."""
    listener, line, number = map(int, sys.argv[1:])
    with socket.socket(fileno=listener) as listening, socket.socket(fileno=line) as talking:
        try:
            work(listening, talking, number)
        except ConfigurationError as error:
            for text in str(error).splitlines():
                sys.stderr.write(f"hubbub: {text}\n")
            raise SystemExit(2) from None


if __name__ == "__main__":
    main()
