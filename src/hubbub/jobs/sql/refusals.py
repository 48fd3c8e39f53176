"""Whose fault it is that something cannot be stored."""

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

CLASSES = ("22", "23", "54")
"""Data exceptions, violated constraints, exceeded limits (PostgreSQL's manual, appendix A)."""


def is_about_values(error: Exception) -> bool:
    """Tell whether a database refused what it was given: the same again would be refused again.

    Anything else that it says is about itself: a right that was taken away, a table that is missing, a damaged file. What is to be stored
    waits until somebody has put that right.
    """
    if not isinstance(error, DBAPIError) or isinstance(error, DataError | IntegrityError):
        return True  # of the driver or of ours, before the database was asked
    state = getattr(error.orig, "sqlstate", None) or ""
    return state.startswith(CLASSES)
