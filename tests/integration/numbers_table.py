"""A table of an application, beside ours."""

from sqlalchemy import Column, Integer, MetaData, Table, select

from hubbub.database import Database

numbers = Table("numbers", MetaData(), Column("number", Integer, primary_key=True))


async def made(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.run_sync(numbers.metadata.create_all)


async def all_numbers(database: Database) -> list[int]:
    async with database.reading() as connection:
        return sorted((await connection.scalars(select(numbers.c.number))).all())
