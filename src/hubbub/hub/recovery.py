"""What a client that returns with a position is given. Plain functions over values."""

from collections.abc import Sequence

from hubbub.hub.broker import Reading
from hubbub.hub.publications import Position, Publication
from hubbub.types import UserId


def recovered(reading: Reading, since: Position | None) -> bool | None:
    """Say whether a reading is all that was missed; `None` where nothing was asked for."""
    return None if since is None else reading.whole


def visible(publications: tuple[Publication, ...], user_id: UserId) -> tuple[Publication, ...]:
    """Leave out what excludes this user; offsets rise and need not be contiguous for one reader.

    Where nothing is left out, these are the same that others are given, and written once for all.
    """
    shown = tuple(publication for publication in publications if publication.is_for(user_id))
    return publications if len(shown) == len(publications) else shown


def newest_within(publications: Sequence[Publication], size_bound: int) -> int:
    """Return how many from the front to drop so that the rest holds at most `size_bound` bytes of data.

    The newest is always kept.
    """
    size = 0
    for index in range(len(publications) - 1, -1, -1):
        size += len(publications[index].data)
        if size > size_bound and index < len(publications) - 1:
            return index + 1
    return 0


def newest_for(publications: Sequence[Publication], user_id: UserId) -> int:
    """Return how many from the front to drop so that the rest begins with the newest one for this user.

    Where none is for them, nothing is dropped: who gets nothing of it has lost nothing.
    """
    return next(
        (index for index in reversed(range(len(publications))) if publications[index].is_for(user_id)), 0
    )
