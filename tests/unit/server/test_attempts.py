import pytest
from starlette.exceptions import HTTPException

from hubbub.server.attempts import Attempts


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def refused(attempts: Attempts, caller: str) -> HTTPException:
    with pytest.raises(HTTPException) as caught:
        attempts.check(caller)
    return caught.value


def test_after_so_many_failures_a_caller_waits_for_the_window_to_end():
    time = Time()
    attempts = Attempts(most=2, window=60, now=time)
    attempts.check("a")
    attempts.failed("a")
    time.now += 20
    attempts.check("a")
    attempts.failed("a")
    error = refused(attempts, "a")
    assert (error.status_code, error.headers) == (429, {"Retry-After": "40"})
    assert error.detail == "Too many attempts to sign in failed; try again in 40 s."
    attempts.check("b")
    time.now += 39.9
    assert refused(attempts, "a").headers == {"Retry-After": "1"}
    time.now += 0.1
    attempts.check("a")


def test_a_failure_in_the_next_window_counts_anew():
    time = Time()
    attempts = Attempts(most=2, window=60, now=time)
    attempts.failed("a")
    time.now += 61
    attempts.failed("a")
    attempts.check("a")
    attempts.failed("a")
    refused(attempts, "a")


def test_only_so_many_callers_are_remembered():
    attempts = Attempts(most=1, callers=2, now=Time())
    for caller in ("a", "b", "c"):
        attempts.failed(caller)
    attempts.check("a")
    refused(attempts, "b")
    refused(attempts, "c")
