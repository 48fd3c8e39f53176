"""What a hub stands on."""

import sys

import pytest

from hubbub import ConfigurationError
from hubbub.authentication.tickets import MemoryTickets
from hubbub.brokers.memory import MemoryBroker
from hubbub.brokers.memory_presence import MemoryPresence
from hubbub.brokers.redis import RedisBroker, RedisPresence
from hubbub.clock import SystemClock
from hubbub.endpoints.engines import choose_engines, redis_servers
from hubbub.endpoints.redis_credentials import RedisTickets


def test_without_anything_each_run_has_streams_of_its_own():
    engines = choose_engines(None, None, None, SystemClock())
    assert isinstance(engines.broker(), MemoryBroker)
    assert isinstance(engines.presence(), MemoryPresence)
    assert engines.broker() is not engines.broker()


def test_an_address_brings_everything_that_nodes_share():
    engines = choose_engines("redis://localhost", None, None, SystemClock())
    broker, presence = engines.broker(), engines.presence()
    assert isinstance(broker, RedisBroker)
    assert isinstance(presence, RedisPresence)
    assert isinstance(engines.tickets, RedisTickets)
    assert engines.broker() is broker


def test_what_is_named_wins_even_where_it_is_empty():
    broker, presence, tickets = MemoryBroker(), MemoryPresence(), MemoryTickets()
    assert not len(tickets)
    engines = choose_engines(broker, presence, tickets, SystemClock())
    assert (engines.broker(), engines.presence(), engines.tickets) == (broker, presence, tickets)


def test_without_its_client_it_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("hubbub.brokers.redis")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'hubbub\[redis\]'"):
        redis_servers("redis://localhost")
