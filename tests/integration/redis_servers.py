"""Real Redis servers for the tests: on ports of their own, with their data in a folder of the test.

Each is ended by the id it was started with, at the latest when its block is left. If the process of the tests itself is
killed, the system ends them (`PR_SET_PDEATHSIG`). It does so already when the *thread* ends that started them, so start
them where the event loop runs and not in `asyncio.to_thread`.
"""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from ports import steady_port
from resp import RedisSaid, Replies, command, text
from serving import eventually

from hubbub.brokers.redis.dialing import RIGHTS

DEADLINE = 20.0
LIMITED = "a-password"
TIED = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
"""The child keeps its process id. `preexec_fn` could do the same, but Python warns of it where there are threads."""
TESTED = ("enable-debug-command yes", "shutdown-timeout 0", "repl-diskless-sync-delay 0")


class RedisServer:
    """A Redis server, or a sentinel, that can be hurt."""

    def __init__(self, folder: Path, *settings: str, port: int = 0, is_sentinel: bool = False) -> None:
        """Write its settings, lines of `redis.conf`; it is not started yet."""
        self.port = port or steady_port()
        self.process: subprocess.Popen[bytes] | None = None
        own = folder / f"redis-{self.port}"
        self.data = own / "data"
        self.data.mkdir(parents=True)
        self._log = own / "log"
        # Servers and sentinels write what they are told at run time into this file, so it is written once.
        self._settings = own / "redis.conf"
        basic = [f"port {self.port}", "bind 127.0.0.1", "protected-mode no", f'dir "{self.data}"']
        self._settings.write_text("\n".join([*basic, *settings, ""]))
        self._mode = ["--sentinel"] if is_sentinel else []

    def __repr__(self) -> str:
        return f"<Redis on {self.port}>"

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def limited_url(self) -> str:
        """Return the URL of a user with the rights that the documentation names, and no others."""
        rights = [word.rstrip(",") for word in RIGHTS.split() if word[0] in "~&+-"]
        await self.cli("ACL", "SETUSER", "limited", "reset", "on", f">{LIMITED}", *rights)
        return f"redis://limited:{LIMITED}@127.0.0.1:{self.port}/0"

    @property
    def is_alive(self) -> bool:
        """Whether its process is there; a paused one is."""
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def said(self) -> str:
        """Everything it has logged."""
        return self._log.read_text(errors="replace")

    async def start(self, *, keep_data: bool = True) -> None:
        """Start it on its port; return when it has loaded its data and answers.

        Args:
            keep_data: whether it finds what it had stored. Its settings, and what a node knows of its cluster, are kept.
        """
        assert not self.is_alive
        if not keep_data:
            shutil.rmtree(self.data)
            self.data.mkdir()
        self._run()
        await soon(self._answers, seen=lambda: self.said)

    def _run(self) -> None:
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [*TIED, "redis-server", str(self._settings), *self._mode],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    async def _answers(self) -> bool:
        assert self.is_alive, f"it ended\n{self.said}"
        try:
            return await self.cli("PING") == "PONG"
        except RedisSaid as error:
            if not str(error).startswith("LOADING"):
                raise
            return False

    def pause(self) -> None:
        """Stop it without a word (SIGSTOP): connections stay, the system still accepts new ones, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)  # all its threads

    def resume(self) -> None:
        """Let it go on (SIGCONT), first with what has arrived meanwhile."""
        os.kill(self.pid, signal.SIGCONT)

    async def kill(self) -> None:
        """End it as `kill -9` does, paused or not; return when it is gone."""
        assert self.process is not None
        self.process.kill()
        await asyncio.to_thread(self.process.wait, DEADLINE)

    async def stop(self) -> None:
        """End it as an operator does (SIGTERM); return when it is gone."""
        assert self.process is not None
        self.process.terminate()
        await asyncio.to_thread(self.process.wait, DEADLINE)

    async def restart(self, *, keep_data: bool = True) -> None:
        """Kill it and start it again on the same port.

        What it has appended to its file survives a kill whatever `appendfsync` is, because the system has it. For one
        that comes back with a part of its data: ``appendonly="no"``, and ``cli("SAVE")`` at the moment to fall back to.
        """
        if self.is_alive:
            await self.kill()
        await self.start(keep_data=keep_data)

    async def cli(self, *arguments: object) -> str:
        """Send a command on a connection of its own; return the reply, a list as lines.

        Raises:
            RedisSaid: the reply is an error.
            OSError: nobody listens, or the connection was cut.
            EOFError: the connection ended before the reply.
        """
        reader, writer = await asyncio.open_connection(*self.address)
        replies = Replies()
        try:
            writer.write(command(*arguments))
            while data := await reader.read(65536):
                for reply in replies.feed(data):
                    return text(reply)
            raise EOFError("the connection ended before the reply")
        finally:
            writer.close()

    async def facts(self, *arguments: object) -> dict[str, str]:
        """Return a reply of ``name:value`` lines by name, as of ``INFO replication``."""
        lines = (await self.cli(*arguments)).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    async def catch_up(self, primary: "RedisServer") -> None:
        """Return when it is a replica of the other and has what the other had when this was called."""
        offset = (await primary.facts("INFO", "replication"))["master_repl_offset"]

        async def has_it() -> bool:
            facts = await self.facts("INFO", "replication")
            is_linked = facts.get("master_port") == str(primary.port) and facts["master_link_status"] == "up"
            return is_linked and int(facts["slave_repl_offset"]) >= int(offset)

        await soon(has_it, seen=lambda: self.said)

    def end(self) -> None:
        """Leave no process behind."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(DEADLINE)


async def soon(condition: Callable[[], Awaitable[Any]], *, seen: Callable[[], Any] | None = None) -> None:
    """Ask servers until the answer is true; that one does not listen yet, or cuts its clients off, is none."""

    async def is_so() -> Any:
        try:
            return await condition()
        except (OSError, EOFError):
            return False

    await eventually(is_so, within=DEADLINE, every=0.005, seen=seen)


@asynccontextmanager
async def started(*servers: RedisServer) -> AsyncIterator[None]:
    """Run them, all started at once, until the block is left; they are killed."""
    async with AsyncExitStack() as stack:
        for server in servers:
            stack.callback(server.end)
        await asyncio.gather(*(server.start() for server in servers))
        yield


@asynccontextmanager
async def redis_server(
    folder: Path,
    *settings: str,
    appendonly: Literal["no", "always", "everysec"] = "no",
    save: bool = False,
    replica_of: RedisServer | None = None,
) -> AsyncIterator[RedisServer]:
    """Run a server until the block is left.

    Args:
        folder: where it makes a folder of its own.
        settings: further lines of `redis.conf`; they win.
        appendonly: whether it appends every change to a file, and when that is synchronised (`appendfsync`).
        save: whether it takes a snapshot each second in which something was written, and when it is stopped.
        replica_of: whose replica it is; it has caught up when the block begins.
    """
    stored = ["save 1 1" if save else 'save ""']
    if appendonly != "no":
        stored += ["appendonly yes", f"appendfsync {appendonly}"]
    if replica_of is not None:
        stored += ["replicaof {} {}".format(*replica_of.address)]
    server = RedisServer(folder, *TESTED, *stored, *settings)
    async with started(server):
        if replica_of is not None:
            await server.catch_up(replica_of)
        yield server
