"""Publications that wait to be relayed (`hubbub.database.outbox`)."""

import sqlalchemy as sa
from alembic import op

from hubbub.database.outbox.tables import statements

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and on PostgreSQL what gives rows their order."""
    op.create_table(
        "hubbub_outbox",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("place", sa.BigInteger()),
        sa.Column("publication", sa.String(36), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("exclude", sa.Text()),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("history_size", sa.BigInteger(), nullable=False),
        sa.Column("history_ttl", sa.Double(), nullable=False),
        sa.Column("parked", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_hubbub_outbox"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_hubbub_outbox_waiting",
        "hubbub_outbox",
        ["place", "id"],
        postgresql_where=sa.text("parked IS NULL"),
    )
    op.create_table(
        "hubbub_outbox_relay",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.String(64)),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_hubbub_outbox_relay"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE SEQUENCE hubbub_outbox_places AS BIGINT")
        for statement in statements():
            op.get_bind().exec_driver_sql(statement)
