"""`hubbub worker`: a process that only runs background jobs; what becomes of them goes live through Redis."""

import asyncio
import logging
import signal

from fastapi import FastAPI

from hubbub import ConfigurationError, Hub
from hubbub.database.tenure import Tenure
from hubbub.jobs.live import LiveJobs
from hubbub.server.jobs import create_jobs
from hubbub.server.logs import configure_logs
from hubbub.server.namespaces import read_namespaces
from hubbub.server.schema import database_address, open_database, prepare_database, ready
from hubbub.server.settings import PREFIX, Settings
from hubbub.server.shared import choose_shared, reach_shared

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run_worker(settings: Settings, concurrency: int) -> None:
    """Run jobs until Ctrl-C or SIGTERM.

    Args:
        settings: those of the server.
        concurrency: how many run at once.

    Raises:
        ConfigurationError: it cannot start; the message says why.
    """
    if settings.redis_url is None:
        raise ConfigurationError(
            "hubbub worker: without Redis a server is one process, which runs its jobs itself: what another one does "
            f"could not be told to its clients. Set {PREFIX}REDIS_URL for both, or start `hubbub serve` alone."
        )
    configure_logs(settings)
    reach_shared(settings)
    prepare_database(settings)
    asyncio.run(work(settings, concurrency))


async def work(settings: Settings, concurrency: int) -> None:
    """Run jobs until a signal comes; then give those that run `DRAIN_TIME`, and hand over the rest."""
    stopping = asyncio.Event()
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 (this is one)

    def stop() -> None:
        if stopping.is_set():
            task.cancel()
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, stop)
    hub = create_voice(settings)
    database = open_database(settings)
    jobs = create_jobs(database, concurrency, settings.drain_time)
    live = LiveJobs(hub, jobs)
    async with ready(database), Tenure(database, shared=True), hub.lifespan(FastAPI()), live, jobs:
        logger.info("Running background jobs of %s, %d at once.", database_address(settings), concurrency)
        await stopping.wait()
        logger.info(
            "Stopping: running jobs have %g s to finish, then others go on with them.", settings.drain_time
        )
    logger.info("Stopped.")


def create_voice(settings: Settings) -> Hub:
    """Build a hub that publishes, and lets nobody in."""
    shared = choose_shared(settings)
    # Without the database: those that serve relay what was committed.
    hub = Hub(broker=shared.broker, presence=shared.presence, tickets=shared.tickets)
    for name, policy in read_namespaces(settings.config).items():
        hub.namespace(name, **policy)
    return hub
