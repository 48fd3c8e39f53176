"""Publications in transactions: what is committed is published once, in order, and nothing else is."""

import time

import pytest
from outbox_stage import CHANNEL, App, app, engine
from serving import eventually, hubbub_serve
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from hubbub import ConfigurationError, Hub, TooLarge, UnknownChannel
from hubbub.database import Database, metadata, migrate
from hubbub.database.outbox.tables import outbox


@pytest.fixture
async def url(database_url):
    await migrate(database_url)
    return database_url


async def test_what_is_committed_is_published_and_what_is_not_is_not(url):
    async with app(url) as one:
        async with AsyncSession(one.engine) as session:
            first = await one.hub.publish(CHANNEL, "said", {"n": 1}, transaction=session, exclude={"eve"})
            assert await one.heard() == []
            await session.commit()
            await one.hears({"n": 1})
            (publication,) = await one.publications()
            assert (publication.id, publication.exclude, publication.sender) == (first, {"eve"}, None)
            await one.hub.publish(CHANNEL, "said", "never", transaction=session)
            await session.rollback()
            async with session.begin_nested() as savepoint:
                await one.hub.publish(CHANNEL, "said", "nor this", transaction=session)
                await savepoint.rollback()
            await one.hub.to_user("ada").send("hello", "ada", transaction=session)
            await one.hub.publish(CHANNEL, "said", "but this", transaction=session)
            await session.commit()
        await one.hears({"n": 1}, "but this")
        await one.hears("ada", channel="user:ada")


async def test_rows_of_one_transaction_are_in_the_order_of_writing(url):
    async with app(url) as one:
        await one.say(*map(str, range(1200)))
        await one.hears(*map(str, range(1200)))
        assert one.hub.statistics.outbox.relayed == 1200


async def test_what_is_wrong_is_told_at_once_and_writes_nothing(url):
    async with app(url) as one:
        async with one.engine.begin() as connection:
            with pytest.raises(UnknownChannel):
                await one.hub.publish("nowhere:1", "said", 1, transaction=connection)
            with pytest.raises(TooLarge):
                await one.hub.publish(CHANNEL, "said", "x" * 70_000, transaction=connection)
            with pytest.raises(ValueError, match="idempotency_key"):
                await one.hub.publish(CHANNEL, "said", 1, transaction=connection, idempotency_key="k")
            with pytest.raises(ValueError, match="idempotency_key"):
                await one.hub.to_user("ada").send("said", 1, transaction=connection, idempotency_key="k")
        with pytest.raises(TypeError, match="AsyncSession"):
            await one.hub.publish(CHANNEL, "said", 1, transaction=one.engine)
        assert await one.rows() == 0


async def test_another_kind_of_database_is_not_the_hubs(url, tmp_path, shared_postgres):
    await shared_postgres.ready()
    other = (
        f"sqlite:///{tmp_path}/other.db"
        if url.startswith("postgresql")
        else await shared_postgres.new_database()
    )
    elsewhere = engine(other)
    async with app(url) as one, elsewhere.connect() as connection:
        with pytest.raises(ConfigurationError, match="Hubbub's database is"):
            await one.hub.publish(CHANNEL, "said", 1, transaction=connection)
    await elsewhere.dispose()


async def test_a_database_without_tables_is_told_at_the_start(database_url):
    with pytest.raises(ConfigurationError, match=r"hubbub_outbox.*hubbub migrate.*hubbub.database.migrate"):
        async with app(database_url):
            pass


async def test_tables_that_the_application_made_itself_do_too(database_url):
    async with Database(database_url) as database, database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
    async with app(database_url) as one:
        await one.say("a", "b")
        await one.hears("a", "b")
    async with Database(database_url) as database:
        async with database.transaction() as connection:
            await connection.run_sync(metadata.drop_all)
        async with database.transaction() as connection:
            await connection.run_sync(metadata.create_all)


async def test_a_row_that_the_broker_refuses_is_put_aside_and_the_others_go_on(url, redis, caplog):
    async with app(url, redis.url) as one:
        one.hub._namespaces.resolve(CHANNEL)[1].max_message_bytes = 0
        await one.say("before", "x" * 1_100_000, "after")

        async def gone_on() -> bool:
            return await one.heard() == ["before", "after"]

        await eventually(gone_on)
        statistics = one.hub.statistics.outbox
        await eventually(lambda: (statistics.relayed, statistics.refused) == (2, 1))
        async with one.engine.connect() as connection:
            (row,) = (await connection.execute(select(outbox.c.parked))).all()
        assert row.parked.startswith("TooLarge: ")
        assert "put aside" in caplog.text


async def test_an_engine_of_the_application_is_a_database_too(url):
    own = engine(url)
    hub = Hub(database=own)
    hub.namespace("topic")
    async with hub.lifespan(None), AsyncSession(own) as session:
        await hub.publish(CHANNEL, "said", "hi", transaction=session)
        await session.commit()

        async def arrived() -> bool:
            return len((await hub.history(CHANNEL)).publications) == 1

        await eventually(arrived)
    async with own.connect() as connection:  # it is not ended with the hub
        assert (await connection.execute(text("SELECT 1"))).scalar() == 1
    await own.dispose()


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
async def test_order_is_that_of_the_commits_even_where_all_are_seen_at_once(shared_postgres, isolation):
    """Rows are written in one order and committed in the other, while nobody relays; the relay then sees all of them."""
    await shared_postgres.ready()
    url = await shared_postgres.new_database()
    await migrate(url)
    writer = App(url)
    own = engine(url, isolation_level=isolation)
    async with app(url) as publisher:
        await publisher.hub._keeping._relay.__aexit__(None, None, None)  # it stands still
        sessions = [await own.connect() for _ in range(6)]
        for number, session in enumerate(sessions):
            await publisher.hub.publish(CHANNEL, "said", number, transaction=session)
        for session in reversed(sessions):
            await session.commit()
        assert await publisher.rows() == 6
        for session in sessions:
            await session.close()
    async with app(url) as relaying:
        await relaying.hears(5, 4, 3, 2, 1, 0)
    await own.dispose()
    await writer.engine.dispose()


async def test_the_server_has_the_outbox_in_its_database(tmp_path):
    with hubbub_serve(tmp_path) as server:
        assert (await server.get("/readyz")).json()["parts"] == {"broker": "ok", "database": "ok"}
        own = engine(f"sqlite:///{tmp_path}/data/hubbub.db")
        row = {
            "publication": "p", "channel": "topic:a", "event": "said", "data": b'"hi"',
            "kind": 0, "time": time.time(), "history_size": 10, "history_ttl": 60.0,
        }  # fmt: skip
        async with own.begin() as connection:
            await connection.execute(insert(outbox).values(**row))
        await own.dispose()

        async def relayed():
            return (await server.counts())("hubbub_outbox_relayed_total") == 1

        await eventually(relayed)
        assert (await server.counts())("hubbub_outbox_relaying") == 1
        assert server.complaints() == []
