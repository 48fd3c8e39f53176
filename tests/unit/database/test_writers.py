"""Who waits how long for a SQLite file that another process has."""

import asyncio
import sqlite3

import pytest
from sqlalchemy.exc import DBAPIError

from hubbub.database import DatabaseUnavailable
from hubbub.database.engines import BUSY
from hubbub.database.errors import reason
from hubbub.database.writers import HELD, Writers
from hubbub.testing import FakeClock


def failed(code):
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    return DBAPIError("BEGIN IMMEDIATE", {}, error)


class File:
    """A file for which writers queue; time passes only while one has its turn."""

    def __init__(self):
        self.clock = FakeClock()
        self.writers = Writers(self.clock.monotonic)

    async def write(self, seconds=0.0, error=None):
        """Take so long to begin, and fail then or not; return for how long it would have waited."""
        async with self.writers.turn() as patience:
            await asyncio.sleep(0)  # the others queue meanwhile
            try:
                with self.writers.beginning():
                    self.clock.advance(seconds)
                    if error is not None:
                        raise failed(error)
            except DBAPIError:
                return patience
            await asyncio.sleep(0)
            return patience

    async def why_refused(self):
        """Tell why nobody even asked for the file; empty if somebody did."""
        try:
            await self.write()
        except DatabaseUnavailable as error:
            return reason(error)
        return ""


async def test_those_who_queued_all_the_while_are_told_with_the_first():
    file = File()
    refused = await asyncio.gather(
        file.write(BUSY, sqlite3.SQLITE_BUSY), *(file.why_refused() for _ in range(9))
    )
    assert refused == [BUSY, *([HELD] * 9)]
    assert await file.write() == BUSY  # who comes later tries for himself


async def test_those_who_came_meanwhile_have_what_is_left():
    file = File()

    async def later():
        file.clock.advance(3)
        return await file.write(BUSY - 3, sqlite3.SQLITE_BUSY)

    assert await asyncio.gather(file.write(BUSY - 3, sqlite3.SQLITE_BUSY), later()) == [BUSY, 3]


async def test_a_queue_that_moves_may_take_as_long_as_it_does():
    file = File()
    assert await asyncio.gather(*(file.write(BUSY / 2) for _ in range(9))) == [BUSY] * 9


async def test_once_somebody_had_the_file_the_others_have_all_their_time_again():
    file = File()
    found = await asyncio.gather(file.write(3, sqlite3.SQLITE_BUSY), file.write(1), file.write())
    assert found == [BUSY, BUSY - 3, BUSY]


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])
async def test_other_errors_are_of_one_alone(code):
    file = File()
    assert await asyncio.gather(file.write(BUSY, code), file.why_refused()) == [BUSY, ""]
