"""Real PostgreSQL servers for the tests: on ports of their own, with their data in a folder of the test.

PostgreSQL does not run as root, so for root it is run as the user that Debian's package made. Each is ended by the id it was
started with, at the latest when its block is left.
"""

import asyncio
import itertools
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
from ports import steady_port
from serving import eventually

DEADLINE = 30.0
SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=64MB",
    "max_prepared_transactions=8",
)

_names = (f"test_{number}" for number in itertools.count())


class PostgresServer:
    """A PostgreSQL server that can be hurt."""

    def __init__(self, folder: Path, *settings: str, port: int = 0) -> None:
        """Make its files; it is not started yet.

        Args:
            folder: where it makes a folder of its own.
            settings: ``name=value``, beside those all have.
            port: where it listens; 0 takes a free one.
        """
        self.port = port or steady_port()
        self.process: subprocess.Popen[bytes] | None = None
        own = folder / f"postgres-{self.port}"
        own.mkdir(parents=True)
        self.data = own / "data"
        self._log = own / "log"
        self._log.touch()
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            for path in (own, self._log):
                os.chown(path, user.pw_uid, user.pw_gid)
            let_in(own)
            self._as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        self._settings = [*SETTINGS, *settings]
        made = subprocess.run(
            [*self._as_user, program("initdb"), "--auth=trust", "--username=hubbub", "--encoding=UTF8",
             "--locale=C.UTF-8", "--no-sync", "--pgdata", str(self.data)],
            capture_output=True, text=True, check=False, cwd=own,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr

    def __repr__(self) -> str:
        return f"<PostgreSQL on {self.port}>"

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://hubbub@127.0.0.1:{self.port}/{database}"

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def said(self) -> str:
        """Everything it has logged."""
        return self._log.read_text(errors="replace")

    def run(self) -> None:
        """Start its process; `ready` waits until it answers."""
        assert not self.is_alive
        command = [program("postgres"), "-D", str(self.data), "-p", str(self.port)]
        for setting in self._settings:
            command += ["-c", setting]
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "INT", *self._as_user[1:], *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.data.parent,
                start_new_session=True,
            )

    async def ready(self) -> None:
        """Return when it answers."""

        async def answers() -> bool:
            assert self.is_alive, self.said
            try:
                connection = await asyncpg.connect(self.url(), timeout=DEADLINE)
            except (OSError, asyncpg.PostgresError):
                return False
            await connection.close()
            return True

        await eventually(answers, within=DEADLINE, every=0.02, seen=lambda: self.said)

    async def start(self) -> None:
        """Start it on its port; return when it answers."""
        self.run()
        await self.ready()

    async def new_database(self) -> str:
        """Make an empty database; return its URL."""
        name = next(_names)
        await self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    async def execute(self, statement: str, database: str = "postgres") -> str:
        """Run a statement on a connection of its own; return its status."""
        connection = await asyncpg.connect(self.url(database), timeout=DEADLINE)
        try:
            return str(await connection.execute(statement))
        finally:
            await connection.close()

    async def cut_clients(self, database: str) -> None:
        """End every connection with a database, as a failover does."""
        await self.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}' "
            "AND pid <> pg_backend_pid()"
        )

    def pause(self) -> None:
        """Stop all its processes without a word (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it as a power cut does (`kill -9` of all its processes); return when it is gone."""
        assert self.process is not None
        self._signal(signal.SIGKILL)
        await asyncio.to_thread(self.process.wait, DEADLINE)

    async def restart(self) -> None:
        """Kill it and start it again on the same port; it recovers from its log."""
        if self.is_alive:
            await self.kill()
        await self.start()

    def end(self) -> None:
        """Leave no process behind."""
        if self.process is not None and self.process.poll() is None:
            self._signal(signal.SIGKILL)
            self.process.wait(DEADLINE)

    def _signal(self, number: signal.Signals) -> None:
        """Reach the postmaster and its children, each of which leads a session of its own."""
        assert self.process is not None
        for pid in [self.process.pid, *children(self.process.pid)]:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def children(parent: int) -> list[int]:
    """Return the processes that a process has started and that run."""
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(pid) for pid in listed.split()]


def program(name: str) -> str:
    """Find a program of PostgreSQL; Debian has none but its wrappers on the path."""
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None
    )
    assert found is not None, "PostgreSQL is missing: run scripts/install-postgres"
    return found


def let_in(folder: Path) -> None:
    """Let another user walk through the folders that lead to one of the test's own."""
    for parent in folder.parents:
        if parent.owner() != "root" or parent == Path(parent.anchor):
            break
        parent.chmod(parent.stat().st_mode | 0o011)


@contextmanager
def postgres_server(folder: Path, *settings: str) -> Iterator[PostgresServer]:
    """Have a server until the block is left; `start` starts it."""
    server = PostgresServer(folder, *settings)
    try:
        yield server
    finally:
        server.end()
