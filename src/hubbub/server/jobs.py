"""The server's background jobs: the tasks that it comes with."""

from hubbub.database import Database
from hubbub.jobs import Jobs, SqlEngine
from hubbub.server.demo import add_demo

KEEP_FAILED = 30 * 24 * 3600.0
"""Seconds: anybody who may start jobs may start some that fail, so they are not kept for ever."""


def create_jobs(database: Database, concurrency: int, drain: float) -> Jobs:
    """Build the jobs with the server's own tasks.

    Args:
        database: where they are; entered by its owner.
        concurrency: how many run at once in this process; 0 for none.
        drain: seconds that running ones are given at the end.
    """
    jobs = Jobs(SqlEngine(database, keep_failed=KEEP_FAILED), concurrency=concurrency, drain=drain)
    add_demo(jobs)
    return jobs
