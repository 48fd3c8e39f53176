"""Jobs that begin by the clock: cron expressions."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter  # type: ignore[import-untyped]

from hubbub.exceptions import ConfigurationError
from hubbub.jobs.bounds import NAME
from hubbub.jobs.job import Draft

FIELDS = (5, 6)
CHANCE = re.compile(r"(?:^|\s)[rR](?:[(/\s]|$)")
"""A field that croniter draws by lot."""


@dataclass(frozen=True, slots=True)
class Cron:
    """Times that come again.

    Args:
        expression: five fields, ``minute hour day month weekday``, or six, with seconds as the last.
        timezone: in which it is read; in the hour that a clock is put back twice, it may come twice.

    Raises:
        ConfigurationError: it cannot be read, there is no such time zone, or it is a time that never comes.
    """

    expression: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        try:
            fields, _ = croniter.expand(self.expression)
            self.following(0)
        except (CroniterError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{self.expression!r} is no cron expression: {error}") from None
        if len(fields) not in FIELDS:  # a seventh is the year, and years end
            raise ConfigurationError(
                f"{self.expression!r} is no cron expression here: it has five fields, or six with the seconds as the last."
            )
        if CHANCE.search(self.expression):
            raise ConfigurationError(
                f"{self.expression!r} is another time each time it is read: say when, or have the task wait."
            )
        if len(str(self)) > NAME:
            raise ConfigurationError(f"A cron expression of {len(self.expression)} characters is too long.")

    def following(self, now: int) -> int:
        """Return the first time after `now`, both in milliseconds since 1970 UTC."""
        begin = datetime.fromtimestamp(now / 1000, self._zone())
        following = croniter(self.expression, begin).get_next(datetime)
        return int(following.timestamp() * 1000)

    def _zone(self) -> tzinfo:
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            raise ConfigurationError(f"There is no time zone {self.timezone!r}.") from None


@dataclass(frozen=True, slots=True)
class Schedule:
    """A job that begins by the clock.

    Args:
        name: under which the cluster agrees on its times.
        cron: when.
        draft: makes the job.
    """

    name: str
    cron: Cron
    draft: Callable[[], Draft]
