"""Joining the caller's transaction."""

from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from hubbub.database.address import Dialect
from hubbub.database.waking import Transaction
from hubbub.exceptions import ConfigurationError


async def joined(transaction: Transaction, dialect: Dialect) -> AsyncConnection:
    """Return what a transaction runs on, so that rows of ours are written in it.

    Args:
        transaction: the caller's, whichever engine it is of.
        dialect: that of the database in which our rows are looked for.

    Raises:
        ConfigurationError: the transaction is one of another kind of database, or of none.
        TypeError: it is no transaction.
    """
    try:
        connection = await connection_of(transaction)
    except UnboundExecutionError as error:
        raise ConfigurationError(f"The session has no one engine to write with: {error}") from None
    if connection.dialect.name != dialect.value:
        raise ConfigurationError(
            f"The transaction is one of {connection.dialect.name}, and Hubbub's database is {dialect.value}: "
            "rows are read there only, so give it a session or a connection on that database."
        )
    return connection


async def connection_of(transaction: Transaction) -> AsyncConnection:
    """Return what a transaction runs on.

    Raises:
        TypeError: it is none.
    """
    if isinstance(transaction, AsyncSession):
        return await transaction.connection()
    if isinstance(transaction, AsyncConnection):
        return transaction
    raise TypeError(
        f"transaction takes an AsyncSession or AsyncConnection of SQLAlchemy, not {type(transaction).__name__}"
    )
