"""Broadcasts: what goes to every session of this node, whatever it subscribed to."""

from collections.abc import Iterable
from typing import Any

from hubbub.hub.outlet import Encoding
from hubbub.hub.publications import Publication
from hubbub.hub.session import Session
from hubbub.hub.turn import Turn


class Everyone:
    """Stands among the feeds, for the channel that nobody has to subscribe to. Nothing of it is kept.

    Args:
        sessions: who receives.
        turn: calls `flush` at the end of a turn in which something arrived, and counts.
    """

    __slots__ = ("_pending", "_sessions", "_turn")

    is_crowd = False

    def __init__(self, sessions: Iterable[Session], turn: Turn) -> None:
        self._sessions = sessions
        self._turn = turn
        self._pending: list[Publication] = []

    def deliver(self, publication: Publication) -> None:
        """Hand a publication to every session, at the end of the turn."""
        if not self._pending:
            self._turn.put_off(self)
        self._pending.append(publication)

    def flush(self) -> None:
        """Give every session what arrived; one that is slow goes without."""
        batch, self._pending = self._pending, []
        statistics = self._turn.statistics
        for publication in batch:
            frames: dict[Encoding, Any] = {}
            for session in self._sessions:
                if session.closed or not session.greeted or not publication.is_for(session.user_id):
                    continue
                if session.slow:
                    statistics.count(statistics.gaps, "not_kept")
                    continue
                encoding = session.encoding
                if encoding not in frames:
                    frames[encoding] = encoding.publications((publication,))
                session.outlet.write(frames[encoding])
                statistics.deliveries += 1
