"""Many nodes on one Redis: publications, presence and what nodes tell each other."""

from hubbub.brokers.redis.address import Address
from hubbub.brokers.redis.broker import RedisBroker
from hubbub.brokers.redis.presence import RedisPresence
from hubbub.brokers.redis.servers import Servers

__all__ = ["Address", "RedisBroker", "RedisPresence", "Servers"]
