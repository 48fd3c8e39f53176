"""What the kernel says about a server's process: its CPU time, its memory, its cores, the port it listens on."""

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

LISTENING = "0A"
CPU_CLOCK = 2
"""The clock of all threads of a process, in the id that Linux makes of a process id and this (clock_getcpuclockid)."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process and its children hold, in KiB."""

    pss: int
    rss: int


@dataclass(frozen=True, slots=True)
class Process:
    """A running process and its children."""

    pid: int

    def cpu_seconds(self) -> float:
        """Return user and system time of all threads; finer than the hundredths in `/proc/PID/stat`."""
        total = 0.0
        for pid in self._family():
            with contextlib.suppress(OSError):  # a child has ended
                total += time.clock_gettime((~pid << 3) | CPU_CLOCK)
        return total

    def memory(self) -> Memory:
        """Return the memory, from `smaps_rollup`.

        Raises:
            PermissionError: it is somebody else's process.
        """
        pss = rss = 0
        for pid in self._family():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, _, value = line.partition(":")
                if name == "Pss":
                    pss += int(value.split()[0])
                elif name == "Rss":
                    rss += int(value.split()[0])
        return Memory(pss, rss)

    def is_readable(self) -> bool:
        """Tell whether it lives and its memory may be read."""
        try:
            return self.memory().rss > 0
        except (OSError, IndexError):
            return False

    def cores(self) -> set[int]:
        """Return the cores that its main thread may run on."""
        return os.sched_getaffinity(self.pid)

    def _family(self) -> list[int]:
        pids = [self.pid]
        for parent in pids:  # grows while it is read: children, then theirs
            for task in Path(f"/proc/{parent}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    pids.extend(map(int, task.read_text().split()))
        return pids


def listening(port: int) -> Process | None:
    """Find the process of this machine that listens on a port; the parent where its children share the socket."""
    inodes = {inode for table in ("tcp", "tcp6") for inode in _listening_inodes(table, port)}
    if not inodes:
        return None
    sockets = {f"socket:[{inode}]" for inode in inodes}
    holders = {
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and _holds(folder / "fd", sockets)
    }
    return next((Process(pid) for pid in sorted(holders) if _parent(pid) not in holders), None)


def _listening_inodes(table: str, port: int) -> list[str]:
    try:
        _, *rows = Path("/proc/self/net", table).read_text().splitlines()
    except OSError:
        return []
    fields = [row.split() for row in rows]
    return [row[9] for row in fields if row[3] == LISTENING and int(row[1].rpartition(":")[2], 16) == port]


def _holds(descriptors: Path, sockets: set[str]) -> bool:
    with contextlib.suppress(OSError):  # it has ended, or is somebody else's
        for descriptor in descriptors.iterdir():
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) in sockets:
                    return True
    return False


def _parent(pid: int) -> int:
    try:
        # The name of the command, in brackets, may hold spaces: count the fields from behind it.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
