"""One round of a worker: what its transaction stores, and what it found."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import Row

from hubbub.jobs.engine import Outcome
from hubbub.jobs.job import LogLine
from hubbub.jobs.sql.runs import Run


@dataclass(slots=True)
class Round:
    """What one transaction stores, and what it found."""

    ended: list[tuple[Run, Outcome]]
    changed: dict[Run, int]
    """Those whose progress is stored, and how much they had reported by then."""
    lines: dict[Run, list[LogLine]]
    room: int
    is_looking: bool
    is_promoting: bool
    is_unsure: bool
    holder: str
    stored: Sequence[Row[Any]] = ()
    missing: Sequence[Row[Any]] = ()
    """What there is instead of what was to be stored, where it may have been stored before."""
    orphans: Sequence[Row[Any]] = ()
    claimed: list[Row[Any]] = field(default_factory=list)
    is_idle: bool = False
    """Whether there was nothing to claim; `next_due` is known then."""
    next_due: float | None = None
    """Seconds until the next delayed job begins; `None` where there is none."""

    @property
    def has_work(self) -> bool:
        """Whether there is anything to ask the database for."""
        return bool(self.ended or self.changed or self.room > 0 or self.is_looking)
