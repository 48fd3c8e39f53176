"""A process that only runs jobs; with Redis and PostgreSQL it is in `tests/integration/test_worker_command.py`."""

import asyncio
import logging
import signal

import pytest
from serving import eventually

from hubbub import ConfigurationError
from hubbub.server.jobs_worker import create_voice, run_worker, work
from hubbub.server.settings import Settings

pytestmark = pytest.mark.usefixtures("server_folder")


def test_alone_it_says_why_it_does_not_start():
    with pytest.raises(ConfigurationError, match=r"runs its jobs itself.*\n?.*HUBBUB_REDIS_URL"):
        run_worker(Settings(), 3)


async def said(caplog, text):
    await eventually(lambda: text in caplog.text)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it(caplog, number):
    with caplog.at_level(logging.INFO):
        working = asyncio.create_task(work(Settings(drain_time=2.0), 3))
        await said(caplog, "Running background jobs of sqlite:///hubbub-data/hubbub.db, 3 at once.")
        signal.raise_signal(number)
        async with asyncio.timeout(10):
            await working
    assert "running jobs have 2 s to finish" in caplog.text
    assert "Stopped." in caplog.text


async def test_its_hub_lets_nobody_in_and_knows_the_namespaces(folder):
    (folder / "hubbub.toml").write_text("[namespaces.board]\n")
    hub = create_voice(Settings())
    assert {namespace.name for namespace in hub._namespaces} >= {"job", "user", "board"}
