"""Engines whose driver is missing."""

import sys

import pytest

from hubbub import ConfigurationError
from hubbub.database import Database


@pytest.mark.parametrize(
    ("url", "driver", "extra"),
    [
        ("postgresql://db/hub", "asyncpg", "hubbub[server,postgres]"),
        ("sqlite:///hub.db", "aiosqlite", "hubbub[database]"),
    ],
)
def test_the_message_says_what_to_install(monkeypatch, url, driver, extra):
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(ConfigurationError, match=f"needs {driver}: pip install") as refused:
        Database(url)
    assert extra in str(refused.value)
