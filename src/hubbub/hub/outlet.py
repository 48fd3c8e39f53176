"""Where a session's bytes leave, and how they are written.

An *encoding* is a dialect and a framing together: it turns publications into one frame, which is then the same object
for every session that shares the encoding.
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, Protocol

from hubbub.hub.commands import Command
from hubbub.hub.publications import Publication
from hubbub.hub.replies import Reply


class Encoding(Protocol):
    """A dialect and a framing. Sessions that share one share their frames, so it is compared by identity."""

    def decode(self, data: str) -> Command:
        """Understand one message of a client.

        Raises:
            BadRequest: it cannot be understood; the message says what was expected.
        """
        ...

    def publications(self, publications: Sequence[Publication]) -> Any:
        """Make one frame of publications, in their order; its `len` is about that of its bytes."""
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


class Pulse(Enum):
    """How the other side of an outlet is found to be."""

    WELL = auto()
    SILENT = auto()
    """It has sent nothing, not even the answer to a ping, since it was asked for a sign of life."""
    STUCK = auto()
    """Bytes wait for it, and it took none of them since the last time."""


class Outlet(Protocol):
    """The way out of one session. Nothing here waits; nothing here raises for a peer that is gone."""

    def attach(self, listener: Listener) -> None:
        """Name the one who is told about congestion."""
        ...

    def write(self, frame: Any) -> None:
        """Send a frame after those before it, at the end of the turn at the latest; dropped once closed."""
        ...

    def write_through(self, frame: Any) -> None:
        """Send a frame now, for a receiver in a crowd; `Turn.flush_outlets` was called before."""
        ...

    def proceed(self) -> None:
        """Go on reading what the client asks for: its session is no longer slow, or it is over."""
        ...

    def pulse(self) -> Pulse:
        """Say how the peer has been since the last time, and ask it for a sign of life; once a heartbeat."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Send a Close frame after those before it; nothing follows it."""
        ...

    def abort(self) -> None:
        """Give up what was not sent and end the connection; harmless when it is over."""
        ...
