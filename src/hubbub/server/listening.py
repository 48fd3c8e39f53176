"""The listening socket, and how many files the process may open for what it accepts."""

import errno
import logging
import resource
import socket

from hubbub import ConfigurationError
from hubbub.server.settings import Settings

logger = logging.getLogger(__name__)

BACKLOG = 2048
"""Handshakes that may wait to be accepted, as uvicorn has it; the kernel's somaxconn bounds it too."""

OWN_FILES = 100
"""Files beside the connections: logs, libraries, the event loop, requests in flight."""

SEND_BUFFER = 65_536
"""Bytes the kernel holds for a peer that does not read; Linux doubles it for its bookkeeping, and accepted sockets
inherit it. Left to itself it grows to megabytes, and a receiver that stopped reading is noticed that much later."""


def listen(host: str, port: int, settings: Settings) -> socket.socket:
    """Bind a socket; port 0 takes any free one.

    Raises:
        ConfigurationError: the address is taken or is none of this machine's; the message says what to do.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"The host {host!r} cannot be found: {error}.") from error
    listener = socket.socket(family, kind, protocol)
    try:
        # A server that restarts need not wait for its old connections' TIME_WAIT.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _give_up_on_silence(listener, 2 * settings.heartbeat_interval)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        listener.bind(address)
        # At once, not when the event loop runs: with SO_REUSEADDR a port is taken by who listens, not by who bound it.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(_explained(error, host, port)) from error
    listener.setblocking(False)
    return listener


def raise_file_limit(connections: int) -> None:
    """Let this process open a file for each connection, as far as the system allows; warn where it does not.

    Args:
        connections: how many there may be; 0: no limit of our own.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + OWN_FILES
    if soft < hard and (connections == 0 or soft < needed):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < needed:
        logger.warning(
            "The system lets this process open %d files, and MAX_CONNECTIONS=%d needs %d: raise the hard limit "
            "(ulimit -Hn, or LimitNOFILE= in a systemd unit), or lower MAX_CONNECTIONS.",
            hard,
            connections,
            needed,
        )


def _give_up_on_silence(listener: socket.socket, seconds: float) -> None:
    """Bound how long the kernel keeps a connection whose peer takes nothing.

    A peer that is connected and never reads leaves a full send buffer: the closing handshake cannot be written,
    and the transport waits for a drain that never comes, so that a socket and its memory are held for ever. With
    TCP_USER_TIMEOUT (RFC 5482) the kernel resets the connection once data stood unacknowledged, or the
    peer's window stayed closed, for this long. On Linux accepted sockets inherit it from the listener. It is above the
    heartbeat, so that whoever still answers pings is never cut off by it.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def _explained(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"Port {port} on {host} is taken by another program: choose one with `hubbub serve --port {port + 1}`."
        case errno.EACCES:
            return f"Port {port} needs more rights than this user has: choose one above 1023 with --port."
        case errno.EADDRNOTAVAIL:
            return f"The host {host} is no address of this machine: use --host 127.0.0.1, or 0.0.0.0 for all of its addresses."
        case _:
            return f"Cannot listen on {host}, port {port}: {error.strerror}."
