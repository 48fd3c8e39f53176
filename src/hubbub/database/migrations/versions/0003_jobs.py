"""Background jobs (`hubbub.jobs.sql.tables`)."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

PARTIAL: tuple[tuple[str, list[str | sa.TextClause], str], ...] = (
    ("ix_hubbub_jobs_pending", [sa.text("priority DESC"), "due", "id"], "status = 'pending'"),
    ("ix_hubbub_jobs_delayed", ["due"], "status = 'delayed'"),
    ("ix_hubbub_jobs_running", ["holder"], "status = 'running'"),
    ("ix_hubbub_jobs_failed", ["id"], "status = 'failed'"),
)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "hubbub_jobs",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(255), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(255)),
        sa.Column("key", sa.String(255)),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(64)),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("cancelling", sa.Boolean(), nullable=False),
        sa.Column("progress", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text()),
        sa.Column("result", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("started", sa.BigInteger()),
        sa.Column("finished", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_hubbub_jobs"),
    )
    for name, columns, where in PARTIAL:
        predicate = sa.text(where)
        op.create_index(name, "hubbub_jobs", columns, sqlite_where=predicate, postgresql_where=predicate)
    unfinished = sa.text("key IS NOT NULL AND status IN ('delayed', 'pending', 'running')")
    op.create_index(
        "uq_hubbub_jobs_key",
        "hubbub_jobs",
        ["kind", "key"],
        unique=True,
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )
    op.create_index("ix_hubbub_jobs_owner_id", "hubbub_jobs", ["owner", "id"])
    op.create_index("ix_hubbub_jobs_finished", "hubbub_jobs", ["finished"])
    op.create_table(
        "hubbub_job_logs",
        sa.Column("job_id", sa.String(64), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("level", sa.String(16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "fence", "number", name="pk_hubbub_job_logs"),
        sa.ForeignKeyConstraint(
            ["job_id"], ["hubbub_jobs.id"], name="fk_hubbub_job_logs_job_id_hubbub_jobs", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "hubbub_job_schedules",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("cron", sa.String(255), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_hubbub_job_schedules"),
    )
