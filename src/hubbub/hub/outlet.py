"""Where a session's bytes leave, and how they are written.

An *encoding* is a dialect and a framing together: it turns one publication into one frame, which is then the same
object for every session that shares the encoding.
"""

from typing import Any, Protocol

from hubbub.hub.commands import Command
from hubbub.hub.publications import Publication
from hubbub.hub.replies import Reply


class Encoding(Protocol):
    """A dialect and a framing. Sessions that share one share their frames, so it is compared by identity."""

    def decode(self, data: str | bytes) -> Command:
        """Understand one message of a client.

        Raises:
            BadRequest: it cannot be understood; the message says what was expected.
        """
        ...

    def publication(self, publication: Publication) -> Any:
        """Make the frame of a publication."""
        ...

    def reply(self, reply: Reply) -> Any:
        """Make the frame of a reply."""
        ...


class Listener(Protocol):
    """Who an outlet tells that it cannot keep up, and that it can again."""

    def pause(self) -> None:
        """Write no publications from now on; called inside `Outlet.write`."""
        ...

    def resume(self) -> None:
        """Write again."""
        ...


class Outlet(Protocol):
    """The way out of one session. Nothing here waits; nothing here raises for a peer that is gone."""

    progress: int
    """Rises whenever bytes have left."""

    def attach(self, listener: Listener) -> None:
        """Name the one who is told about congestion."""
        ...

    def write(self, frame: Any) -> None:
        """Send a frame after those before it; dropped once closed."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Send a Close frame after those before it; nothing follows it."""
        ...

    def abort(self) -> None:
        """Give up what was not sent and end the connection."""
        ...

    @property
    def pending(self) -> int:
        """How many bytes wait to leave."""
        ...
