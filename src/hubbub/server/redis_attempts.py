"""The bound on failed attempts to sign in, over all nodes that have the same Redis."""

from hubbub.brokers.redis import Servers
from hubbub.endpoints.redis_credentials import asked, counted, digest
from hubbub.server.attempts import MOST, WINDOW, too_many


class RedisAttempts:
    """Counts what fails, by caller, in windows of a fixed length.

    Args:
        servers: the Redis; somebody else enters it.
        most: failures in one window before a caller is turned away.
        window: its seconds.
    """

    def __init__(self, servers: Servers, most: int = MOST, window: float = WINDOW) -> None:
        self._servers = servers
        self._most = most
        self._window = window

    async def check(self, caller: str) -> None:
        """Turn away a caller who failed too often.

        Raises:
            HTTPException: 429, with the seconds to wait.
            AuthenticationUnavailable: Redis cannot be reached.
        """
        key, slot = self._servers.keys.alone(self._name(caller))
        count = await asked(self._servers.ask(slot, "GET", key))
        if count is None or int(count) < self._most:
            return
        left = await asked(self._servers.ask(slot, "PTTL", key))
        if left > 0:
            raise too_many(left / 1000)

    async def failed(self, caller: str) -> None:
        """Count a failure; raises `AuthenticationUnavailable` where Redis cannot be reached."""
        await counted(self._servers, self._name(caller), self._window)

    def _name(self, caller: str) -> str:
        return f"a:{digest(caller)}"
