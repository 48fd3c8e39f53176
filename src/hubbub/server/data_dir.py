"""`DATA_DIR`: one server at a time, and where the one that runs can be found."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubbub import ConfigurationError
from hubbub.server.settings import PREFIX
from hubbub.server.signing_keys import make_folder

LOCK = "lock"


@contextmanager
def only_server(data_dir: Path, *, shared: bool = False) -> Iterator[int]:
    """Hold the folder for this process; yield the lock, to `announce` the server's address in.

    The kernel lets go of the lock when the process ends, however it ends: there is nothing to clean up.

    Args:
        data_dir: the folder.
        shared: whether others may hold it too, because Redis connects them.

    Raises:
        ConfigurationError: another server holds it that cannot share it, or this one cannot.
    """
    make_folder(data_dir)
    path = data_dir / LOCK
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be opened: {error.strerror}.") from error
    try:
        if not _taken(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
            at = running_at(data_dir)
            raise ConfigurationError(
                f"Another server{f' (at {at})' if at else ''} runs on {data_dir.resolve()}: without Redis one process "
                f"serves alone, since two would not see each other's rooms. Stop it, set {PREFIX}REDIS_URL for both, or "
                f"set {PREFIX}DATA_DIR to another folder."
            )
        os.ftruncate(lock, 0)
        yield lock
    finally:
        os.close(lock)


def announce(lock: int, address: str) -> None:
    """Write where the server listens, for `hubbub token` to make links of."""
    os.pwrite(lock, address.encode(), 0)


def _taken(lock: int, kind: int) -> bool:
    # Whoever only looks (`running_at`) holds the lock for that moment: a server that comes just then tries again.
    for wait in (0.02, 0.05, 0.1, None):
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if wait is not None:
                time.sleep(wait)
        else:
            return True
    return False


def running_at(data_dir: Path) -> str | None:
    """Return the address of the server that runs on a folder, or `None` where none does."""
    try:
        with (data_dir / LOCK).open("rb") as file:
            if not _taken(file.fileno(), fcntl.LOCK_EX):
                return file.read().decode() or None
    except OSError:
        pass
    return None
