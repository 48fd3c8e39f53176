"""Ports for servers that are stopped and started again."""

import os
import random
import socket

BUS = 10_000
"""How far above its own port a node of a Redis Cluster has the other one."""

FIRST, LAST = 11_000, 32_700 - BUS
PARTS = 4
"""Processes of tests that run beside each other; each takes ports out of a part of its own."""

_given: set[int] = set()


def steady_port() -> int:
    """Return a port that nobody listens on, and whose number plus `BUS` is free too; a new one each time.

    Both are below the range that the system takes the near end of outgoing connections from. A port out of that range
    can be taken while its server is down, and a client that calls it then can even be connected with itself.
    """
    part = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PARTS
    for _ in range(100):
        port = random.randrange(FIRST + part, LAST, PARTS)
        if port not in _given and is_free(port) and is_free(port + BUS):
            _given.add(port)
            return port
    raise RuntimeError("there is no free port")


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
