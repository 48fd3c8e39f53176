"""Jobs that begin by the clock: cron expressions."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter  # type: ignore[import-untyped]

from hubbub.exceptions import ConfigurationError
from hubbub.jobs.job import Draft


@dataclass(frozen=True, slots=True)
class Cron:
    """Times that come again.

    Args:
        expression: five fields, ``minute hour day month weekday``, or six, with seconds as the last.
        timezone: in which it is read; in the hour that a clock is put back twice, it may come twice.

    Raises:
        ConfigurationError: it cannot be read, or there is no such time zone.
    """

    expression: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        try:
            self.following(0)
        except (CroniterError, ValueError, KeyError) as error:
            raise ConfigurationError(f"{self.expression!r} is no cron expression: {error}") from None

    def following(self, now: int) -> int:
        """Return the first time after `now`, both in milliseconds since 1970 UTC."""
        begin = datetime.fromtimestamp(now / 1000, self._zone())
        following = croniter(self.expression, begin).get_next(datetime)
        return int(following.timestamp() * 1000)

    def _zone(self) -> tzinfo:
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
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
