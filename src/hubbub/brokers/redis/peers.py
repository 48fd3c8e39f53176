"""The other nodes on the same Redis, as their canaries are heard."""

from collections.abc import Callable

AWAY = 10.0
"""Seconds after which a node that is not heard is no longer waited for."""


class Peers:
    """Who is there, and which servers' lives each of them has held against what it saw.

    Args:
        monotonic: tells seconds that never run backwards.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._heard: dict[str, float] = {}
        self._compared: dict[str, set[str]] = {}

    def heard(self, node: str, life: str) -> None:
        """Take note of a canary: its node has compared everything with this life of a server."""
        self._heard[node] = self._monotonic()
        self._compared.setdefault(node, set()).add(life)

    def gone(self, node: str) -> None:
        """Forget a node that said goodbye."""
        self._heard.pop(node, None)
        self._compared.pop(node, None)

    def outstanding(self, since: float, life: str) -> set[str]:
        """Return who was there at a moment and has not compared with this life of a server yet."""
        for node in [node for node, at in self._heard.items() if at < since - AWAY]:
            self.gone(node)
        return {node for node in self._heard if life not in self._compared[node]}
