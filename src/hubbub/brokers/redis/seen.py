"""What this node saw of the streams: the proof that a Redis which knows less has lost something."""

from collections import OrderedDict
from collections.abc import Callable, Iterator

REMEMBERED = 100_000
"""Channels; above it those are forgotten that nothing was heard of for longest."""

Place = tuple[str, int, str]
"""Epoch, offset and id of a publication."""


class Seen:
    """The newest publication of each channel that this node was told of, by whatever way."""

    def __init__(self) -> None:
        self._places: OrderedDict[str, Place] = OrderedDict()

    def note(self, channel: str, epoch: str, offset: int, publication_id: str) -> None:
        """Remember one; an older one of the same epoch changes nothing."""
        known = self._places.get(channel)
        if known is not None and known[0] == epoch and known[1] >= offset:
            return
        self._places[channel] = epoch, offset, publication_id
        self._places.move_to_end(channel)
        if len(self._places) > REMEMBERED:
            self._places.popitem(last=False)

    def forget(self, channel: str, place: Place) -> None:
        """Forget one that has been settled, unless there is a newer one."""
        if self._places.get(channel) == place:
            del self._places[channel]

    def among(self, belongs: Callable[[str], bool]) -> Iterator[tuple[str, Place]]:
        """Return those of some channels."""
        return iter([(channel, place) for channel, place in self._places.items() if belongs(channel)])
