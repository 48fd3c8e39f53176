"""The tables as a later release may have made them."""

import sqlalchemy
from sqlalchemy import inspect

from hubbub.database import Database
from hubbub.database.metadata import PREFIX
from hubbub.database.schema import VERSION_TABLE


async def migrated_by_a_later_release(database: Database) -> None:
    """Add to every table what a migration may add: columns with a default or without a value, an index; and a table."""

    def change(connection: sqlalchemy.Connection) -> None:
        inspector = inspect(connection)
        tables = [name for name in inspector.get_table_names() if name.startswith(PREFIX)]
        for table in tables:
            if table == VERSION_TABLE:
                continue
            for column in ("later_note TEXT", "later_number INTEGER NOT NULL DEFAULT 7"):
                connection.execute(sqlalchemy.text(f"ALTER TABLE {table} ADD COLUMN {column}"))
            connection.execute(sqlalchemy.text(f"CREATE INDEX {table}_later ON {table} (later_number)"))
        connection.execute(sqlalchemy.text(f"CREATE TABLE {PREFIX}later (id INTEGER PRIMARY KEY)"))
        connection.execute(sqlalchemy.text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))

    async with database.transaction() as connection:
        await connection.run_sync(change)
