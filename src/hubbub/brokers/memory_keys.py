"""Idempotency keys in memory: what was published under them, for as long as each is kept."""

from collections import OrderedDict
from collections.abc import Iterable

from hubbub.hub.broker import KEY_TTL
from hubbub.hub.publications import Position

KEYS = 100_000
"""Keys that are remembered at once; above it the oldest of those that are kept shortest are forgotten early."""

Name = tuple[str, str]
"""A channel and a key in it."""


class SeenKeys:
    """Remembers keys. They are kept in a line for each time that they are kept for, so that the first is the next to go."""

    def __init__(self) -> None:
        self._lines: dict[float, OrderedDict[Name, tuple[float, Position]]] = {}

    def find(self, name: Name, now: float) -> Position | None:
        """Return what was published under a key that is still kept."""
        self._forget_old(now)
        for line in self._lines.values():
            seen = line.get(name)
            if seen is not None:
                return seen[1]
        return None

    def keep(self, name: Name, position: Position, now: float, ttl: float) -> None:
        """Remember a key for so many seconds."""
        self._lines.setdefault(ttl, OrderedDict())[name] = (now, position)

    def shorten(self, names: Iterable[Name], now: float) -> None:
        """Keep keys for the usual time from now on, and those no longer that would have gone before."""
        for name in names:
            for ttl, line in list(self._lines.items()):
                seen = line.get(name)
                if seen is not None and seen[0] + ttl > now + KEY_TTL:
                    del line[name]
                    self.keep(name, seen[1], now, KEY_TTL)

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def _forget_old(self, now: float) -> None:
        for ttl in list(self._lines):
            line = self._lines[ttl]
            while line and now - next(iter(line.values()))[0] >= ttl:
                line.popitem(last=False)
            if not line:
                del self._lines[ttl]
        while len(self) >= KEYS:
            shortest = min(self._lines)
            self._lines[shortest].popitem(last=False)
            if not self._lines[shortest]:
                del self._lines[shortest]
