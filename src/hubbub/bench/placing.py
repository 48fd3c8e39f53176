"""Cores: the client on one, the server on others, so that neither takes the other's time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from hubbub.bench.processes import Process


@contextmanager
def hold_to_a_core(server: Process | None, *, pin_server: bool = False) -> Iterator[str]:
    """Keep this process to one core while the block runs; yield a sentence on who is where.

    Args:
        server: whose cores are avoided, where it is on this machine.
        pin_server: whether the server's main thread is kept off that core meanwhile.
    """
    ours = os.sched_getaffinity(0)
    theirs = server.cores() if server is not None else set()
    core = own_core(ours, theirs)
    os.sched_setaffinity(0, {core})
    moved = server is not None and pin_server and core in theirs and len(theirs) > 1
    if server is not None and moved:
        os.sched_setaffinity(server.pid, theirs - {core})
    try:
        yield sentence(core, len(ours), server.cores() if server is not None else None)
    finally:
        os.sched_setaffinity(0, ours)
        if server is not None and moved:
            with suppress(ProcessLookupError):
                os.sched_setaffinity(server.pid, theirs)


def own_core(ours: set[int], theirs: set[int]) -> int:
    """Choose the client's core: the last one that the server may not use, or else the last one."""
    return max(ours - theirs or ours)


def sentence(core: int, cores: int, theirs: set[int] | None) -> str:
    """Say who is where."""
    if cores == 1:
        return "there is one core: client and server take each other's time"
    if theirs is None:
        return f"the client is held to core {core}"
    if core in theirs:
        return f"the client is held to core {core}, which the server may use too (--pin-server keeps it off)"
    return f"the client is held to core {core}, the server to {', '.join(map(str, sorted(theirs)))}"
