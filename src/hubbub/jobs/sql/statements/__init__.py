"""SQL that SQLAlchemy does not say for both databases alike."""

from importlib import resources

from sqlalchemy import TextClause, text

from hubbub.database.address import Dialect


def statement(name: str, dialect: Dialect) -> TextClause:
    """Read ``NAME.DIALECT.sql``, beside this file."""
    return text((resources.files(__package__) / f"{name}.{dialect.value}.sql").read_text())
