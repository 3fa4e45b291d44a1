"""Notice a database that was set back

Revision ID: 0008
Revises: 0007
Create Date: 2026-11-24 11:30:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


_TIME = sa.DateTime(timezone=True)

# A restore of the data folder, a failover and a restart start the server anew; one from a dump, into the server that
# runs, makes the table's file anew, and a copy of the database lies in another folder.
_INCARNATION = """
CREATE FUNCTION sam3d_incarnation() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT extract(epoch FROM pg_postmaster_start_time())::text || ' ' || pg_relation_filepath('submissions')
$$
"""

# What is deleted, by whomever, is not missing: a restore deletes nothing, it brings another state.
_SETTLE = """
CREATE FUNCTION sam3d_settle() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE newest timestamptz;
BEGIN
    SELECT max(intended_at) INTO newest FROM gone;
    UPDATE accounts SET settled_until = newest WHERE newest > coalesce(settled_until, '-infinity');
    RETURN NULL;
END $$
"""
_ON_DELETE = """
CREATE TRIGGER sam3d_settle AFTER DELETE ON submissions
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION sam3d_settle()
"""


def _accounts() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column(
            "compared_with",
            sa.Text(),
            comment="the incarnation of the database that was compared last; null: none was yet",
        ),
        sa.Column(
            "missing_since",
            _TIME,
            comment="from when on submits are missing that a process knows of; null: none is",
        ),
        sa.Column("settled_until", _TIME, comment="submits until then may be missing: deleted, or compared since"),
    )


def upgrade() -> None:
    """Notice a database that was set back."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.execute(_INCARNATION)
    op.execute(_SETTLE)
    op.execute(_ON_DELETE)
    for column in _accounts():
        op.add_column("accounts", column)
    # A database that comes from before this may be a backup: it is compared once, unless nothing was ever submitted.
    op.execute("UPDATE accounts SET compared_with = 'none' WHERE EXISTS (SELECT FROM submissions)")
    op.create_table(
        "strays",
        sa.Column("run", sa.Text(), nullable=False, comment="the vendor's id in one writing"),
        sa.Column("request_id", sa.Text(), nullable=False, comment="the vendor's id as it gave it"),
        sa.Column("inputs", postgresql.JSONB(), nullable=False, comment="a mark of each input as sent"),
        sa.Column("remote_status", sa.Text(), nullable=False, comment="as it was listed"),
        sa.Column("made_at", _TIME, nullable=False, comment="when the vendor had it"),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_strays")),
        comment="runs of jobs that were lost when the database was set back: for whoever sends the same request again",
    )


def downgrade() -> None:
    """Undo it."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.drop_table("strays")
    op.execute("DROP TRIGGER sam3d_settle ON submissions")
    op.execute("DROP FUNCTION sam3d_settle()")
    op.execute("DROP FUNCTION sam3d_incarnation()")
    for column in _accounts():
        op.drop_column("accounts", column.name)
