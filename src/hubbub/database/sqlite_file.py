"""The file of a SQLite database: whether it is still the one that its connections have open."""

import errno
import os
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine

GONE = "the file has been deleted or moved away"
IDENTITY = "hubbub_file"

Identity = tuple[int, int]


class SqliteFile:
    """Looks after the file of an engine. With a write-ahead log SQLite itself goes on writing into one that was deleted.

    While it is missing its connections raise `FileNotFoundError`, and none makes an empty one. Where another one is in its
    place, such as a backup, they are opened anew.

    Args:
        path: of the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._was_there = False

    def watch(self, engine: AsyncEngine) -> None:
        """Do so from now on."""
        event.listen(engine.sync_engine, "do_connect", self._connecting)
        event.listen(engine.sync_engine, "connect", self._connected)
        event.listen(engine.sync_engine, "checkout", self._lent)

    def _identity(self) -> Identity:
        try:
            found = os.stat(self._path)  # noqa: PTH116 (asked for each transaction, it is to be quick)
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, GONE, self._path) from None
        return found.st_dev, found.st_ino

    def _connecting(self, dialect: Any, record: Any, arguments: Any, options: Any) -> None:
        if self._was_there:
            self._identity()

    def _connected(self, connection: Any, record: Any) -> None:
        record.info[IDENTITY] = self._identity()
        self._was_there = True

    def _lent(self, connection: Any, record: Any, proxy: Any) -> None:
        if record.info[IDENTITY] != self._identity():
            raise InvalidatePoolError(GONE)
