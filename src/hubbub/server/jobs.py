"""The server's background jobs: the tasks that it comes with."""

from hubbub.database import Database
from hubbub.jobs import Jobs
from hubbub.server.demo import add_demo


def create_jobs(database: Database, concurrency: int, drain: float) -> Jobs:
    """Build the jobs with the server's own tasks.

    Args:
        database: where they are; entered by its owner.
        concurrency: how many run at once in this process; 0 for none.
        drain: seconds that running ones are given at the end.
    """
    jobs = Jobs(database, concurrency=concurrency, drain=drain)
    add_demo(jobs)
    return jobs
