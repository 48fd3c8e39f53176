"""What the processes of one system share."""

import pytest

from hubbub import ConfigurationError
from hubbub.brokers.redis import RedisBroker, RedisPresence
from hubbub.server.redis_attempts import RedisAttempts
from hubbub.server.settings import Settings
from hubbub.server.shared import Shared, choose_shared


def test_without_redis_nothing_is_shared():
    assert choose_shared(Settings(_env_file=None)) == Shared()


def test_with_redis_everything_is():
    shared = choose_shared(Settings(_env_file=None, redis_url="redis://localhost/3"))
    assert isinstance(shared.broker, RedisBroker)
    assert isinstance(shared.presence, RedisPresence)
    assert isinstance(shared.attempts, RedisAttempts)
    assert shared.tickets is not None
    assert shared.used is not None


def test_an_address_that_is_none_shows_no_password():
    with pytest.raises(ConfigurationError) as caught:
        choose_shared(Settings(_env_file=None, redis_url="redis://ada:secret@host/x"))
    assert "secret" not in str(caught.value)
