"""The order of commits on PostgreSQL: what makes it, whatever transactions do, and what it must not cost."""

import asyncio
import itertools
import random
from collections import defaultdict

import pytest
from outbox_stage import engine
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DBAPIError

from hubbub.database import migrate
from hubbub.database.outbox.tables import outbox

ROW = {
    "publication": "p", "event": "said", "data": b"1", "kind": 0, "time": 1.0, "history_size": 1, "history_ttl": 1.0,
}  # fmt: skip

SLOW_COMMITS = (
    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(random() / 200); RETURN NULL; END $$",
    (
        "CREATE CONSTRAINT TRIGGER zz_slow AFTER INSERT ON hubbub_outbox DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION slow()"
    ),
)
"""Time passes between a row's getting its place and its being seen."""


@pytest.fixture
async def url(shared_postgres):
    await shared_postgres.ready()
    url = await shared_postgres.new_database()
    await migrate(url)
    return url


@pytest.fixture
async def own(url):
    own = engine(url, pool_size=40)
    yield own
    await own.dispose()


async def write(connection, *channels):
    for channel in channels:
        await connection.execute(insert(outbox).values(channel=channel, **ROW))


async def channels_in_order(own):
    query = select(outbox.c.channel).where(outbox.c.place.is_not(None)).order_by(outbox.c.place, outbox.c.id)
    async with own.connect() as connection:
        return list((await connection.scalars(query)).all())


async def test_nothing_is_ever_seen_behind_what_was_seen_already(own):
    """The property itself: a row that becomes visible later has a higher place than all of its channel before."""
    async with own.begin() as connection:
        for statement in SLOW_COMMITS:
            await connection.execute(text(statement))
    over = asyncio.Event()
    dice = random.Random(7)

    async def publish(seed):
        mine = random.Random(seed)
        for _ in range(15):
            async with own.begin() as connection:
                channels = mine.sample("abc", mine.randint(1, 3))
                await write(connection, *channels)
                await connection.execute(text("SELECT pg_sleep(:s)"), {"s": mine.random() / 200})
                if mine.random() < 0.2:
                    await connection.rollback()

    async def watch():
        seen, highest = set(), defaultdict(int)
        query = select(outbox.c.id, outbox.c.channel, outbox.c.place)
        while True:
            is_last = over.is_set()
            async with own.connect() as connection:
                rows = [row for row in (await connection.execute(query)).all() if row.id not in seen]
            for row in rows:
                assert row.place > highest[row.channel]
            for row in rows:
                highest[row.channel] = max(highest[row.channel], row.place)
                seen.add(row.id)
            if is_last:
                return len(seen)
            await asyncio.sleep(dice.random() / 500)

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(publish(seed) for seed in range(16)))
    over.set()
    assert await watching > 16 * 15


async def test_two_that_share_channels_never_wait_for_each_other(own):
    async def publish(*channels):
        for _ in range(50):
            async with own.begin() as connection:
                await write(connection, *channels)

    async with asyncio.timeout(30):
        await asyncio.gather(*(publish(*order) for order in itertools.permutations("abc")))
    assert len(await channels_in_order(own)) == 6 * 50 * 3


@pytest.mark.parametrize("isolation", ["REPEATABLE READ", "SERIALIZABLE"])
async def test_transactions_that_have_nothing_to_do_with_each_other_do_not_fail(url, isolation):
    """Two that are serializable may fail where one reads what the other writes; the outbox is nothing that they read."""
    own = engine(url, isolation_level=isolation, pool_size=20)

    async def publish(number):
        for _ in range(25):
            async with own.begin() as connection:
                await write(connection, f"channel{number % 4}")

    await asyncio.gather(*(publish(number) for number in range(16)))
    assert len(await channels_in_order(own)) == 16 * 25
    await own.dispose()


async def test_a_prepared_transaction_stands_where_it_was_prepared_and_holds_its_channels(own):
    one, two, other = [await own.connect() for _ in range(3)]
    await write(one, "a", "b")
    await one.execute(text("PREPARE TRANSACTION 'first'"))
    await one.close()
    await write(other, "c")
    await other.commit()
    await write(two, "a")
    second = asyncio.create_task(two.commit())
    async with own.connect() as connection:
        waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        while not (await connection.execute(waiting)).scalar():
            await connection.rollback()
    assert await channels_in_order(own) == ["c"]
    async with own.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("COMMIT PREPARED 'first'"))
    await second
    assert await channels_in_order(own) == ["a", "b", "c", "a"]
    await two.close()
    await other.close()


async def test_savepoints_and_constraints_that_are_checked_early(own):
    async with own.begin() as connection:
        await write(connection, "a")
        savepoint = await connection.begin_nested()
        await write(connection, "b")
        await connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
        await write(connection, "c")
        await savepoint.rollback()
        await write(connection, "d")
        kept = await connection.begin_nested()
        await write(connection, "e")
        await kept.commit()
    async with own.begin() as connection:
        await write(connection, "f")
        await connection.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
        await write(connection, "g")
    async with own.begin() as connection:
        await write(connection, "h")
        await connection.rollback()
    assert await channels_in_order(own) == ["a", "d", "e", "f", "g"]
    async with own.connect() as connection:
        assert (await connection.execute(select(func.count()).where(outbox.c.place.is_(None)))).scalar() == 0


async def test_a_transaction_may_publish_to_thousands_of_channels(own):
    rows = [{"channel": f"c{number}", **ROW} for number in range(5000)]
    async with own.begin() as connection:
        await connection.execute(insert(outbox), rows)
    assert len(await channels_in_order(own)) == 5000


async def test_rows_that_their_own_transaction_changes_have_a_place_too(own):
    async with own.begin() as connection:
        await write(connection, "a", "b", "c")
        await connection.execute(text("UPDATE hubbub_outbox SET event = 'new' WHERE channel = 'b'"))
        await connection.execute(text("DELETE FROM hubbub_outbox WHERE channel = 'c'"))
    assert await channels_in_order(own) == ["a", "b"]


async def test_whoever_commits_may_have_another_search_path(own):
    async with own.begin() as connection:
        await write(connection, "a")
        await connection.execute(text("SET LOCAL search_path = pg_catalog"))
    assert await channels_in_order(own) == ["a"]


async def test_who_is_refused_at_the_commit_has_published_nothing(own):
    async with own.connect() as connection:
        await write(connection, "a")
        await connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
        async with own.begin() as holding:
            await write(holding, "a")
            await holding.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
            with pytest.raises(DBAPIError):
                await connection.commit()
    assert await channels_in_order(own) == ["a"]
