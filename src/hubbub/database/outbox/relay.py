"""The relay: publishes what was committed, in the order in which it was."""

import asyncio
import contextlib
import logging
from functools import partial
from types import TracebackType
from typing import Self

from hubbub.clock import Clock
from hubbub.database.database import Database
from hubbub.database.errors import reason
from hubbub.database.liveness import FAREWELL
from hubbub.database.outbox import batch
from hubbub.database.outbox.backlog import Backlog
from hubbub.database.outbox.batch import Outcome
from hubbub.database.outbox.leadership import Lead, Leadership
from hubbub.database.outbox.patience import Patience
from hubbub.database.waking import Waiter
from hubbub.exceptions import Unavailable
from hubbub.hub.broker import Broker
from hubbub.hub.statistics import OutboxStatistics

logger = logging.getLogger(__name__)

TOPIC = "outbox"
"""What `hubbub.database.waking` calls these rows."""
LOOK = 1.0
"""Seconds after which it looks by itself."""
STOP = 5.0
"""Seconds that a stop waits for what is being published."""


class Relay:
    """Publishes the rows of the outbox. An async context manager.

    Of all relays on a database one does the work, and the others stand by. It publishes, then deletes what was published,
    then tells the broker that it will not be repeated. A relay that was killed in between is followed by one that publishes
    the same rows again, under the same idempotency keys: the broker knows them.

    Args:
        database: where the rows are; its membership is entered by whoever made the relay, for longer than that.
        broker: where they go; entered by whoever made it, for longer than the relay.
        clock: what time it is.
        statistics: where it counts.
    """

    def __init__(
        self,
        database: Database,
        broker: Broker,
        clock: Clock,
        statistics: OutboxStatistics,
    ) -> None:
        self._database = database
        self._liveness = database.membership.liveness
        self._waker = database.membership.waker
        self._broker = broker
        self._statistics = statistics
        self._leadership = Leadership(database)
        self._backlog = Backlog(database, clock, statistics)
        self._patience = Patience(clock)
        self._lead: Lead | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._complaint: str | None = None

    async def __aenter__(self) -> Self:
        self._stopping.clear()
        self._task = asyncio.create_task(self._run(), name="hubbub relay")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._waker.wake(TOPIC)
        has_ended = self._task is None or await self._ended(self._task)
        self._statistics.leave()
        lead, self._lead = self._lead, None
        if lead is None:
            return
        try:
            if not has_ended:
                raise TimeoutError
            async with asyncio.timeout(FAREWELL):
                await self._leadership.give_up(lead)
        except (Unavailable, TimeoutError) as error:
            logger.warning("Another relay waits for this one's lease: %s", reason(error))

    async def _ended(self, task: asyncio.Task[None]) -> bool:
        """Wait for the end of the round; cut it short, and return false, where it does not come."""
        try:
            await asyncio.wait_for(task, STOP)
        except TimeoutError:
            return False
        return True

    def _may_go_on(self) -> bool:
        """Whether nobody can have taken over yet: keys of rows that another relay marked are not kept for ever."""
        lead = self._lead
        return (
            lead is not None
            and lead.holder == self._liveness.id
            and self._liveness.is_sure
            and not self._stopping.is_set()
        )

    async def _run(self) -> None:
        wake = partial(self._waker.wake, TOPIC)
        with self._waker.waiter(TOPIC) as waiter, self._liveness.told(died=wake):
            while not self._stopping.is_set():
                try:
                    await self._round(waiter)
                except Unavailable as error:
                    self._complain(f"The outbox cannot be read at the moment: {reason(error)}")
                    await self._rest(LOOK)
                except Exception:
                    logger.exception("The relay of the outbox failed; it goes on")
                    await self._rest(LOOK)

    async def _round(self, waiter: Waiter) -> None:
        """Do what there is to do, or wait until there is."""
        lead = await self._leading()
        if lead is None or not self._may_go_on():
            await waiter.wait(LOOK)
            return
        resting = self._patience.resting()
        rows = await batch.read(self._database, resting)
        await self._backlog.look()
        if not rows:
            if not resting:
                self._content()
            await waiter.wait(self._patience.within(LOOK))
            return
        outcome = await batch.publish(self._broker, rows, self._may_go_on)
        self._judge(outcome)
        if not outcome.failed and not resting:
            self._content()
        await self._mark(lead, outcome)
        if outcome.failed and not outcome.published and not outcome.refused:
            await self._rest(self._patience.within(LOOK))

    async def _leading(self) -> Lead | None:
        if self._lead is not None and self._lead.holder != self._liveness.id:
            self._lose()
        if self._lead is None:
            self._lead = await self._leadership.take(self._liveness.id)
            if self._lead is not None:
                logger.debug("This process relays the outbox, as number %d.", self._lead.fence)
                self._statistics.is_relaying = True
        return self._lead

    def _lose(self) -> None:
        self._lead = None
        self._statistics.leave()

    def _judge(self, outcome: Outcome) -> None:
        """Let channels rest that the broker did not take, and put a row aside that fails again and again by itself."""
        for channel, (row, error) in list(outcome.failed.items()):
            if self._patience.is_over(row, error):
                del outcome.failed[channel]
                outcome.refused.append((row, error))
                logger.error("The broker failed on %r", channel, exc_info=error)
                continue
            self._complain(f"What was committed waits to be published; the broker takes nothing: {error}")
        self._patience.note(outcome)

    async def _mark(self, lead: Lead, outcome: Outcome) -> None:
        if not outcome.published and not outcome.refused:
            return
        if not await batch.mark(self._database, lead, outcome):
            logger.warning("Another relay of the outbox has taken over.")
            self._lose()
            return
        self._statistics.relayed += len(outcome.published)
        for row, error in outcome.refused:
            self._statistics.refused += 1
            logger.error(
                "The publication %s to %r can never be published and is put aside in %s: %s",
                row.draft.id,
                row.draft.channel,
                "hubbub_outbox.parked",
                error,
            )
        try:
            await batch.forget(self._broker, outcome.published)
        except Unavailable as error:
            logger.debug("%s", error)  # they go by themselves

    def _complain(self, about: str) -> None:
        """Say once what is wrong, until it is well again."""
        if self._complaint is None:
            logger.warning("%s", about)
        self._complaint = about

    def _content(self) -> None:
        if self._complaint is not None:
            logger.info("The outbox is relayed again.")
        self._complaint = None

    async def _rest(self, seconds: float) -> None:
        """Wait, whoever says that there are rows."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
