"""What all tables of Hubbub share."""

from sqlalchemy import MetaData

PREFIX = "hubbub_"
"""What the names of all of them begin with, so that they can stand beside an application's own."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""The tables of the features; each registers its own where it defines them."""
