"""Databases: engines and transactions, the schema, who is alive, waking, the outbox; for SQLite and PostgreSQL."""

from hubbub.database.address import Address, Dialect
from hubbub.database.database import Database
from hubbub.database.errors import DatabaseUnavailable
from hubbub.database.metadata import metadata
from hubbub.database.schema import migrate

__all__ = ["Address", "Database", "DatabaseUnavailable", "Dialect", "metadata", "migrate"]
