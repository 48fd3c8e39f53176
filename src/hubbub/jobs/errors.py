"""What goes wrong with jobs.

::

    HubbubError
     ├─ Refusal
     │   ├─ UnknownJob         there is no such job
     │   ├─ UnknownTask        there is no such task, or clients may not start it
     │   ├─ InvalidParams      the params are not those of the task
     │   ├─ JobTooLarge        the params are over their limit
     │   └─ JobConflict        the job is not in a state in which this can be done
     ├─ GiveUp                 raised by a task: it fails for good, whatever retries are left
     └─ RetryLater             raised by a task: it is tried again after so many seconds
"""

import math

from hubbub.codes import ErrorCode
from hubbub.exceptions import HubbubError, Refusal
from hubbub.jobs.bounds import LONGEST_WAIT, is_number


class UnknownJob(Refusal):
    """There is no such job; it may have been swept."""

    code = ErrorCode.NOT_FOUND


class UnknownTask(Refusal):
    """There is no task of that kind, or clients may not start it."""

    code = ErrorCode.NOT_FOUND


class InvalidParams(Refusal):
    """The params are not those that the task takes; the message says which and why."""

    code = ErrorCode.INVALID_PARAMS


class JobTooLarge(Refusal):
    """The params are larger than the limit in bytes of JSON: store the data, and hand over where it is."""

    code = ErrorCode.TOO_LARGE


class JobConflict(Refusal):
    """The job is not in a state in which this can be done: it is finished, or it is not."""

    code = ErrorCode.CONFLICT


class GiveUp(HubbubError):
    """Raised by a task whose repetition would not help: the job fails for good with this message."""


class RetryLater(HubbubError):
    """Raised by a task to be tried again; it counts as an attempt.

    Args:
        after: seconds until then; less than 0 is at once, and the most is a year.
        message: what is stored as the error meanwhile.

    Raises:
        TypeError: `after` is no number.
        ValueError: it is not finite, or longer than a year.
    """

    def __init__(self, after: float, message: str = "To be tried again later.") -> None:
        if not isinstance(after, int | float):
            raise TypeError(f"RetryLater takes a number of seconds, not {after!r}.")
        if not is_number(after, -math.inf, LONGEST_WAIT):
            raise ValueError(f"RetryLater takes a number of seconds, of at most a year, not {after!r}.")
        super().__init__(message)
        self.after = after
