"""The engine that comes with Hubbub: jobs in a table, for SQLite and PostgreSQL."""

from hubbub.jobs.sql.engine import SqlEngine

__all__ = ["SqlEngine"]
