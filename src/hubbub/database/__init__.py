"""Databases: engines and transactions, the schema, who is alive, waking; for SQLite and PostgreSQL."""

from hubbub.database.address import Address, Dialect
from hubbub.database.database import Database
from hubbub.database.errors import DatabaseUnavailable
from hubbub.database.metadata import metadata

__all__ = ["Address", "Database", "DatabaseUnavailable", "Dialect", "metadata"]
