import pytest
from starlette.exceptions import HTTPException

from hubbub.server.attempts import MemoryAttempts


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def refused(attempts: MemoryAttempts, caller: str) -> HTTPException:
    with pytest.raises(HTTPException) as caught:
        await attempts.check(caller)
    return caught.value


async def test_after_so_many_failures_a_caller_waits_for_the_window_to_end():
    time = Time()
    attempts = MemoryAttempts(most=2, window=60, now=time)
    await attempts.check("a")
    await attempts.failed("a")
    time.now += 20
    await attempts.check("a")
    await attempts.failed("a")
    error = await refused(attempts, "a")
    assert (error.status_code, error.headers) == (429, {"Retry-After": "40"})
    assert error.detail == "Too many attempts to sign in failed; try again in 40 s."
    await attempts.check("b")
    time.now += 39.9
    assert (await refused(attempts, "a")).headers == {"Retry-After": "1"}
    time.now += 0.1
    await attempts.check("a")


async def test_a_failure_in_the_next_window_counts_anew():
    time = Time()
    attempts = MemoryAttempts(most=2, window=60, now=time)
    await attempts.failed("a")
    time.now += 61
    await attempts.failed("a")
    await attempts.check("a")
    await attempts.failed("a")
    await refused(attempts, "a")


async def test_only_so_many_callers_are_remembered():
    attempts = MemoryAttempts(most=1, callers=2, now=Time())
    for caller in ("a", "b", "c"):
        await attempts.failed(caller)
    await attempts.check("a")
    await refused(attempts, "b")
    await refused(attempts, "c")
