"""The relay on a SQLite file, with a broker that fails as it is told: order, patience, what is put aside, who leads."""

import itertools
import time
from contextlib import asynccontextmanager

import pytest
from serving import eventually
from sqlalchemy import func, select

from hubbub.brokers.memory import MemoryBroker
from hubbub.clock import SystemClock
from hubbub.database import Database, migrate
from hubbub.database.keeping import Keeping
from hubbub.database.outbox import patience
from hubbub.database.outbox.backlog import Backlog
from hubbub.database.outbox.batch import KEY_TTL, Outcome, Waiting, read
from hubbub.database.outbox.leadership import Leadership, holds
from hubbub.database.outbox.patience import Patience
from hubbub.database.outbox.tables import outbox
from hubbub.database.outbox.writing import columns
from hubbub.exceptions import ConfigurationError, PublishError, PublishUncertain, TooLarge
from hubbub.hub.broker import Retention
from hubbub.hub.publications import Draft, Kind
from hubbub.hub.statistics import OutboxStatistics
from hubbub.testing import FakeClock
from hubbub.types import UserId

KEPT = Retention(1000, 3600.0)


class Moody(MemoryBroker):
    """Raises what it is told for a publication."""

    def __init__(self):
        super().__init__(SystemClock())
        self.moods = {}
        self.asked = []
        self.forgotten = []

    async def publish(self, draft, retention, idempotency_key=None, key_ttl=300.0):
        self.asked.append((draft.data.decode(), key_ttl))
        errors = self.moods.get(draft.data.decode(), [])
        if errors:
            error = errors.pop(0)
            if isinstance(error, PublishUncertain):
                await super().publish(draft, retention, idempotency_key, key_ttl)
            raise error
        return await super().publish(draft, retention, idempotency_key, key_ttl)

    async def forget(self, channel, keys):
        self.forgotten += keys
        await super().forget(channel, keys)

    async def said(self, channel):
        return [each.data.decode() for each in (await self.history(channel, limit=1000)).publications]


numbers = itertools.count()


class Stage:
    def __init__(self, keeping, broker, statistics):
        self.keeping, self.broker, self.statistics = keeping, broker, statistics

    async def write(self, *texts, channel="room:a"):
        async with self.keeping.database.transaction() as connection:
            for text in texts:
                draft = Draft(channel, "said", text.encode(), f"id-{next(numbers)}", time.time())
                await self.keeping.publish(connection, draft, KEPT)

    async def hears(self, *texts, channel="room:a"):
        async def does():
            return await self.broker.said(channel) == list(texts)

        await eventually(does, every=0.005)

    async def rows(self):
        async with self.keeping.database.reading() as connection:
            return (await connection.execute(select(func.count()).select_from(outbox))).scalar()

    async def has_rows(self, count):
        async def has():
            return await self.rows() == count

        await eventually(has, every=0.005)


@pytest.fixture
async def database(tmp_path):
    async with Database(f"sqlite:///{tmp_path}/outbox.db") as database:
        await migrate(database)
        yield database


@asynccontextmanager
async def running(database, broker=None):
    broker, statistics = broker or Moody(), OutboxStatistics()
    keeping = Keeping(database, broker, SystemClock(), statistics)
    keeping._tenure._shared = True  # as with a broker that others use too
    async with keeping:
        yield Stage(keeping, broker, statistics)


async def test_what_is_published_is_deleted_and_then_forgotten(database):
    async with running(database) as stage:
        await stage.write("1", "2")
        await stage.hears("1", "2")
        ids = [each.id for each in (await stage.broker.history("room:a", limit=9)).publications]
        await eventually(lambda: stage.broker.forgotten == [f"\x00{each}" for each in ids])
        assert await stage.rows() == 0
        assert {ttl for _, ttl in stage.broker.asked} == {KEY_TTL}
        assert (stage.statistics.relayed, stage.statistics.is_relaying) == (2, True)
    assert not stage.statistics.is_relaying


async def test_a_channel_waits_at_what_the_broker_does_not_take_and_the_others_go_on(database, caplog):
    async with running(database) as stage:
        stage.broker.moods = {"2": [PublishError("away")] * 2 + [PublishUncertain("lost")] * 2}
        await stage.write("1", "2", "3")
        await stage.write("other", channel="room:b")
        await stage.hears("other", channel="room:b")
        await stage.hears("1", "2", "3")
        await stage.has_rows(0)
        asked = [text for text, _ in stage.broker.asked if text in "123"]
        assert asked == ["1", *["2"] * 5, "3"]
    assert [each.message for each in caplog.records if "waits to be published" in each.message] == [
        "What was committed waits to be published; the broker takes nothing: away"
    ]


@pytest.mark.parametrize("error", [TooLarge("no"), ZeroDivisionError("bug")])
async def test_what_can_never_be_published_is_put_aside(database, error, caplog, monkeypatch):
    monkeypatch.setattr(patience, "LONGEST", 0.1)
    async with running(database) as stage:
        stage.broker.moods = {"2": [error] * 100}
        await stage.write("1", "2", "3")
        await stage.hears("1", "3")
        await stage.has_rows(1)
        async with database.reading() as connection:
            (row,) = (await connection.execute(select(outbox))).all()
        assert row.parked == f"{type(error).__name__}: {error}"
        assert "can never be published" in caplog.text
        await Backlog(database, FakeClock(), stage.statistics).look()
        assert (stage.statistics.parked, stage.statistics.waiting) == (1, 0)


async def test_one_relays_and_the_other_takes_over_when_it_ends(database):
    broker = Moody()
    async with running(database, broker) as two_later, running(database, broker) as one:
        stages = {stage.statistics.is_relaying: stage for stage in (one, two_later)}
        await eventually(lambda: one.statistics.is_relaying != two_later.statistics.is_relaying)
        stages = {stage.statistics.is_relaying: stage for stage in (one, two_later)}
        leader, other = stages[True], stages[False]
        await other.write("1")
        await leader.hears("1")
        await leader.keeping._relay.__aexit__(None, None, None)
        await eventually(lambda: other.statistics.is_relaying)
        await leader.write("2")
        await other.hears("1", "2")


async def test_whoever_lost_the_lead_marks_nothing(database):
    async with running(database) as stage:
        await eventually(lambda: stage.statistics.is_relaying)
        lead = stage.keeping._relay._lead
        async with database.transaction() as connection:
            assert await holds(connection, lead)
        await Leadership(database).give_up(lead)
        again = await Leadership(database).take(stage.keeping.database.membership.liveness.id)
        assert again.fence == lead.fence + 1
        async with database.transaction() as connection:
            assert not await holds(connection, lead)
        await stage.write("1")
        await stage.hears("1")
        await eventually(lambda: not stage.statistics.is_relaying)
        assert await stage.rows() == 1


async def test_an_attempt_whose_answer_was_lost_was_one(database):
    async with running(database) as stage:
        await eventually(lambda: stage.statistics.is_relaying)
        await stage.keeping._relay.__aexit__(None, None, None)
        leadership, process = Leadership(database), stage.keeping.database.membership.liveness.id
        lead = await leadership.take(process)
        assert await leadership.take(process) == lead
        assert await Leadership(database).take(process) is None
        assert await Leadership(database).take("nobody") is None


async def test_a_row_keeps_everything_of_a_publication(database):
    draft = Draft(
        "room:ä",
        "said",
        b'{"a":1}',
        "id",
        12.5,
        Kind.EPHEMERAL,
        exclude=frozenset({UserId("b"), UserId("a")}),
    )
    async with database.transaction() as connection:
        await connection.execute(outbox.insert().values(**columns(draft, Retention(3, float("inf")))))
    (row,) = await read(database)
    assert row.draft == draft
    assert (row.retention.size, row.retention.ttl) == (3, 36500 * 86400.0)
    assert await read(database, without={"room:ä"}) == []


def test_channels_rest_longer_each_time_and_are_tried_again():
    clock = FakeClock()
    patient = Patience(clock)
    row = Waiting(1, Draft("room:a", "said", b"1", "id", 1.0), KEPT)
    failed = Outcome(failed={"room:a": (row, PublishError("away"))})
    pauses = []
    for _ in range(9):
        patient.note(failed)
        assert set(patient.resting()) == {"room:a"}
        pauses.append(round(patient.within(100.0), 3))
        clock.advance(pauses[-1])
        assert not patient.resting()
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    patient.note(Outcome(published=[row]))
    patient.note(failed)
    assert patient.within(100.0) == pytest.approx(0.1)
    assert not patient.is_over(row, PublishError("away"))


async def test_a_database_without_tables_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match="hubbub migrate"):
        async with Keeping(f"sqlite:///{tmp_path}/new.db", Moody(), SystemClock(), OutboxStatistics()):
            pass
