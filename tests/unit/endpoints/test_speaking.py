"""`Hub(database=…)` and `publish(transaction=…)`: what is refused before there is a database."""

import sys

import pytest

from hubbub import ConfigurationError, Hub


async def test_without_a_database_there_are_no_transactions():
    hub = Hub()
    hub.namespace("topic")
    assert (hub.has_database, hub.database_problem) == (False, None)
    async with hub.lifespan(None):
        for publishing in (
            hub.publish("topic:a", "said", 1, transaction=object()),
            hub.to_user("ada").send("said", 1, transaction=object()),
        ):
            with pytest.raises(ConfigurationError, match=r"Hub\(database=…\)"):
                await publishing


@pytest.mark.parametrize("url", ["mysql://db/hub", "sqlite://", "nonsense"])
def test_a_database_that_there_cannot_be_is_told_at_once(url):
    with pytest.raises(ConfigurationError):
        Hub(database=url)


def test_what_is_missing_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("hubbub.database")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(ConfigurationError, match=r"hubbub\[database\]"):
        Hub(database="sqlite:///hub.db")


def test_a_database_that_does_not_run_is_no_part_that_is_well(tmp_path):
    hub = Hub(database=f"sqlite:///{tmp_path}/hub.db")
    assert (hub.has_database, hub.database_problem) == (True, "not running")
