"""`hubbub migrate`: brings the database up to date, and says what it was."""

from hubbub.database.schema import State
from hubbub.server.schema import database_address, migrate_schema
from hubbub.server.settings import load_settings

DONE = {
    State.EMPTY: "tables made.",
    State.OLD: "brought up to date.",
    State.CURRENT: "up to date already.",
    State.NEWER: "has the tables of a later version already, which this one can use.",
}
"""What is said of a database that was so."""


def bring_up_to_date() -> str:
    """Bring the database of the settings up to date; return what is said of it.

    Raises:
        ConfigurationError: the settings cannot be read, or the database cannot be used.
    """
    settings = load_settings()
    before = migrate_schema(settings)
    return f"{database_address(settings)}: {DONE[before]}"
