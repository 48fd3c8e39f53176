"""Counting the jobs of an owner that are not finished, however many are (`hubbub.jobs.sql.tables`)."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

UNFINISHED = "owner IS NOT NULL AND status IN ('delayed', 'pending', 'running')"


def upgrade() -> None:
    """Make the index."""
    predicate = sa.text(UNFINISHED)
    op.create_index(
        "ix_hubbub_jobs_unfinished",
        "hubbub_jobs",
        ["owner"],
        sqlite_where=predicate,
        postgresql_where=predicate,
    )
