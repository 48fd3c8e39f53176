"""The task `demo`: steps that take time and do nothing, so that a new server has something to try."""

import asyncio
from typing import Annotated

from pydantic import Field

from hubbub.jobs import GiveUp, JobContext, Jobs

LONGEST = 240.0
"""Seconds; a task may take 300."""
PRIORITY = -10
"""What is wanted for its own sake goes first, however many demos wait."""


def add_demo(jobs: Jobs) -> None:
    """Add the task `demo`, which everybody who is signed in may start."""

    @jobs.task(name="demo", public=True, priority=PRIORITY)
    async def demo(
        ctx: JobContext,
        steps: Annotated[int, Field(ge=1, le=1000)] = 10,
        seconds: Annotated[float, Field(ge=0.0, le=LONGEST)] = 1.0,
        fail: bool = False,
    ) -> dict[str, int]:
        """Take steps, which last so many seconds all together; half-way give up where it is asked to `fail`."""
        ctx.log(f"{steps} steps in {seconds:g} s")
        await ctx.progress(0, f"Step 1 of {steps}")
        for step in range(1, steps + 1):
            await asyncio.sleep(seconds / steps)
            if fail and step * 2 >= steps:
                raise GiveUp(f"It was asked to fail, and did in step {step} of {steps}.")
            await ctx.progress(100 * step / steps, f"Step {min(step + 1, steps)} of {steps}")
        return {"steps": steps}
