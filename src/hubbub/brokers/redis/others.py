"""The other nodes on the same Redis, as their canaries are heard."""

from collections.abc import Callable

AWAY = 10.0
"""Seconds after which a node that is not heard is no longer waited for."""
SILENCE = 2.0
"""Seconds between two canaries, of whichever node, that count at most: while nothing is heard at all, nobody is away."""


class Peers:
    """Who is there, and which servers' lives each of them has held against what it saw.

    Args:
        monotonic: tells seconds that never run backwards.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._latest = monotonic()
        self._listened = 0.0
        """Seconds in which something was heard."""
        self._heard: dict[str, float] = {}
        self._compared: dict[str, set[str]] = {}

    def listening(self) -> None:
        """Take note that this node hears itself."""
        now = self._monotonic()
        self._listened += min(now - self._latest, SILENCE)
        self._latest = now

    def heard(self, node: str, life: str) -> None:
        """Take note of a canary: its node has compared everything with this life of a server."""
        self.listening()
        self._heard[node] = self._listened
        self._compared.setdefault(node, set()).add(life)

    def gone(self, node: str) -> None:
        """Forget a node that said goodbye."""
        self._heard.pop(node, None)
        self._compared.pop(node, None)

    def outstanding(self, life: str) -> set[str]:
        """Return who is there and has not compared with this life of a server yet."""
        for node in [node for node, at in self._heard.items() if at < self._listened - AWAY]:
            self.gone(node)
        return {node for node in self._heard if life not in self._compared[node]}
