"""Who is compared, how each is started, and what it is measured in."""

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from hubbub.bench import PLAIN, Wire
from processes import Server, serving
from wires import CHANNELS, HAND_MADE, NCHAN, SOCKET_IO

SECRET = "5f" * 32  # of servers that live for seconds, on loopback
LIFTED = {"HUBBUB_MAX_CONNECTIONS": "0", "HUBBUB_MAX_CONNECTIONS_PER_USER": "0", "HUBBUB_MESSAGE_RATE": "0"}

HERE = Path(__file__).parent
SERVERS = HERE / "servers"
PEERS = HERE / ".peers"
BIN = Path(sys.executable).parent
PYTHON = PEERS / "python" / "bin"
NODE = PEERS / "node"
NGINX = PEERS / "nginx" / "usr"


COMMON = {"HUBBUB_SECRET_KEY": SECRET, "NODE_ENV": "production", "NODE_PATH": str(NODE / "node_modules")}


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server.

    Args:
        name: in the tables.
        what: and in one line.
        command: starts it; `{port}` and `{folder}` are filled in.
        wire: how it is spoken to.
        needs: files without which it is missing.
        package: the distribution or module whose version is shown, as `kind:name`.
        ready: a path that answers 200 when it is ready; without one, taking connections is enough.
        tokens: whether it checks them, as the handshakes' table compares.
        holds_many: whether idle connections are counted by the ten thousand.
        deflate: what is added to the command so that it compresses; `None` where it is not measured.
        environment: what else it is told, such as limits that are lifted.
        prepare: writes what it needs into its folder.
    """

    name: str
    what: str
    command: Sequence[str]
    wire: Wire = HAND_MADE
    needs: Sequence[Path] = ()
    package: str = ""
    ready: str | None = None
    tokens: bool = False
    holds_many: bool = False
    deflate: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[Path, int], None] | None = None

    def missing(self) -> str | None:
        """Say what is not installed."""
        if not all(path.exists() for path in self.needs):
            return "not installed (scripts/install-peers says why)"
        return None if shutil.which(self.command[0]) else f"{self.command[0]} is not installed"

    def serving(self, core: int, *, deflate: bool = False) -> AbstractContextManager[Server]:
        """Run it on one core."""
        command = [*self.command, *(self.deflate or ())] if deflate else self.command
        environment = {**COMMON, **self.environment}
        return serving(command, environment, core, ready=self.ready, prepare=self.prepare)


def _uvicorn(python: Path, module: str) -> tuple[str, ...]:
    uvicorn = (str(python), "-m", "uvicorn", "--app-dir", str(SERVERS), "--port", "{port}")
    return (*uvicorn, "--log-level", "warning", f"{module}:app")


def _write_nchan_configuration(folder: Path, port: int) -> None:
    text = (SERVERS / "nchan.conf").read_text()
    module = NGINX / "lib" / "nginx" / "modules" / "ngx_nchan_module.so"
    user = "user root;\n" if os.geteuid() == 0 else ""  # its worker writes into a folder that is root's then
    (folder / "nginx.conf").write_text(
        user + text.replace("{module}", str(module)).replace("{port}", str(port))
    )


HUBBUB = Contestant(
    "Hubbub",
    "`hubbub serve` as you run it: identity, history, positions and presence on",
    (str(BIN / "hubbub"), "serve", "--port", "{port}"),
    PLAIN,
    package="python:hubbub",
    ready="/readyz",
    tokens=True,
    deflate=(),
    environment=LIFTED,
    holds_many=True,
)
UWEBSOCKETS = Contestant(
    "uWebSockets (socketify)",
    "C++ under Python, with its own publish and subscribe",
    (str(PYTHON / "python"), str(SERVERS / "socketify_rooms.py"), "{port}"),
    needs=[PYTHON.parent / "installed"],
    package="peer:socketify",
    holds_many=True,
)
NCHAN_SERVER = Contestant(
    "nchan",
    "nginx module in C; messages are passed on as they come",
    (str(NGINX / "sbin" / "nginx"), "-p", "{folder}", "-c", "{folder}/nginx.conf", "-e", "stderr"),
    NCHAN,
    needs=[NGINX / "lib" / "nginx" / "modules" / "ngx_nchan_module.so", Path("/var/lib/nginx")],
    package="nginx:nchan",
    holds_many=True,
    prepare=_write_nchan_configuration,
)
C_LOOP = Contestant(
    "C loop",
    "one `send()` for each delivery in C, and nothing else",
    (str(PEERS / "c_loop"), "{port}"),
    needs=[PEERS / "c_loop"],
    holds_many=True,
)
NODE_WS = Contestant(
    "Node ws",
    "JSON made once, `send` to each client",
    ("node", str(SERVERS / "node_ws.js"), "{port}"),
    needs=[NODE / "installed"],
    package="node:ws",
    tokens=True,
    deflate=("deflate",),
    holds_many=True,
)
SOCKET_IO_SERVER = Contestant(
    "Socket.IO",
    "Node, with its own rooms",
    ("node", str(SERVERS / "socket_io.js"), "{port}"),
    SOCKET_IO,
    needs=[NODE / "installed"],
    package="node:socket.io",
)
QUEUE_AND_WRITER = Contestant(
    "queue and writer",
    "FastAPI: encoded once, an `asyncio.Queue` and a writer task for each connection",
    _uvicorn(BIN / "python", "queue_and_writer"),
    package="python:fastapi",
    tokens=True,
)
ONE_BY_ONE = Contestant(
    "one by one",
    "FastAPI's usual `ConnectionManager`: `await socket.send_json(…)` for each socket in turn",
    _uvicorn(BIN / "python", "one_by_one"),
    package="python:fastapi",
    tokens=True,
)
LITESTAR = Contestant(
    "Litestar channels",
    "its channels plugin with the memory backend",
    _uvicorn(PYTHON / "python", "litestar_channels"),
    needs=[PYTHON.parent / "installed"],
    package="peer:litestar",
)
PYTHON_SOCKETIO = Contestant(
    "python-socketio",
    "its own rooms, ASGI",
    _uvicorn(PYTHON / "python", "python_socketio"),
    SOCKET_IO,
    needs=[PYTHON.parent / "installed"],
    package="peer:python-socketio",
)
DJANGO_CHANNELS = Contestant(
    "Django Channels",
    "its in-memory layer",
    _uvicorn(PYTHON / "python", "django_channels"),
    CHANNELS,
    needs=[PYTHON.parent / "installed"],
    package="peer:channels",
)

ALL = (
    HUBBUB,
    UWEBSOCKETS,
    NCHAN_SERVER,
    C_LOOP,
    NODE_WS,
    SOCKET_IO_SERVER,
    QUEUE_AND_WRITER,
    ONE_BY_ONE,
    LITESTAR,
    PYTHON_SOCKETIO,
    DJANGO_CHANNELS,
)
