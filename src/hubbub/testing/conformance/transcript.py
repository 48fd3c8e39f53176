"""What one client was sent of one channel, held against what was published."""

from collections.abc import Iterable
from typing import Any

from hubbub.hub.publications import Position
from hubbub.types import Epoch


class Transcript:
    """Reads a client's messages in their order; each has to follow from those before it.

    Args:
        since: where the client stood when it subscribed; `None` where it named no position.
    """

    def __init__(self, since: Position | None = None) -> None:
        self._since = since
        self.here: Position | None = None
        """Where the client stands."""
        self.contents: list[Any] = []
        """What was said, in the order in which it came."""
        self.told: list[str] = []
        """Each time it was told that it may miss something, and how."""
        self._sure_from: Position | None = None
        """From where on it was promised everything."""
        self._ids: dict[tuple[str, int], str] = {}

    def __repr__(self) -> str:
        return f"<Transcript at {self.here} after {self.contents}, told {self.told}>"

    def read(self, message: dict[str, Any]) -> None:
        """Take a message of the plain JSON dialect; one of another kind is passed over."""
        step = getattr(self, f"_{message['type']}", None)
        if step is not None:
            step(message)

    def come_back(self) -> Position | None:
        """Begin another connection of the same client; return the position that it names."""
        self._since = self.here
        return self.here

    def has_reached(self, position: Position) -> bool:
        """Whether the client got there."""
        here = self.here
        return here is not None and here.epoch == position.epoch and here.offset >= position.offset

    def check(self, published: Iterable[tuple[Any, Position]], *, may_be_told: bool) -> None:
        """Hold it against what was published, and came back from the broker with a position.

        Everything has to be there, unless the client was plainly told, which only a stream that lost something excuses.
        """
        assert may_be_told or not self.told, self.told
        assert self.here is not None, "it never subscribed"
        start = self._sure_from
        assert start is not None
        places: dict[tuple[str, int], Any] = {}
        for content, position in published:
            other = places.setdefault((position.epoch, position.offset), content)
            assert other == content, f"{position} was given to both {other!r} and {content!r}"
            if position.epoch != start.epoch:
                assert self.told, f"{content!r} is of another epoch, and nobody was told"
            elif position.offset > start.offset:
                held = self._ids.get((position.epoch, position.offset))
                assert held == position.id, (
                    f"{content!r} at {position.offset} is missing: {held}; it stands at {self.here}"
                )

    def _subscribed(self, message: dict[str, Any]) -> None:
        epoch, top = Epoch(message["epoch"]), message["offset"]
        if message.get("recovered") is False:
            self.told.append("recovered: false")
            assert message["messages"] == []
            self._stand(epoch, top)
            return
        if message.get("recovered"):
            assert self._since is not None
            assert self._since.epoch == epoch, "recovered, and of another epoch"
            if self._sure_from is None:
                self._stand(epoch, self._since.offset)
            for each in message["messages"]:
                self._message(each)
            assert self.here is not None
            assert self.here.offset == top, f"recovered up to {self.here.offset}, and the top is {top}"
        else:
            self._stand(epoch, top)

    def _message(self, message: dict[str, Any]) -> None:
        assert self.here is not None, "it came before the subscription was answered"
        offset = message["offset"]
        assert offset == self.here.offset + 1, f"{offset} came after {self.here.offset}: {message}"
        self.here = Position(self.here.epoch, offset, message["id"])
        self._ids[self.here.epoch, offset] = message["id"]
        self.contents.append(message["content"])

    def _reset(self, message: dict[str, Any]) -> None:
        self.told.append("reset")
        self._stand(Epoch(message["epoch"]), message["offset"])

    def _gap(self, message: dict[str, Any]) -> None:
        assert self.here is not None
        assert message["from"] == self.here.offset + 1, f"a gap from {message['from']} after {self.here}"
        self.told.append("gap")
        self._stand(self.here.epoch, message["to"])

    def _unsubscribed(self, message: dict[str, Any]) -> None:
        raise AssertionError(f"the subscription was ended: {message}")

    def _error(self, message: dict[str, Any]) -> None:
        raise AssertionError(f"the server answered with an error: {message}")

    def _stand(self, epoch: Epoch, offset: int) -> None:
        self.here = self._sure_from = Position(epoch, offset)
