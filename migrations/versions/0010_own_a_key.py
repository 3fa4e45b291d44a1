"""A key is its sender's own

Revision ID: 0010
Revises: 0009
Create Date: 2026-11-29 15:30:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_PINNED = sa.text("state NOT IN ('failed', 'cancelled')")
_SOURCE = "who sent it, by the broker or its CloudEvent; its key is his own; empty: nobody says; null: nobody asked yet"

# A worker of the last release, which names no source, knows no key but by its name alone: where that is taken by anybody
# its row is left out, as by a conflict, and it tells the sender of the job that has it.
_KEEP_KEYS = """
CREATE FUNCTION sam3d_keep_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM jobs WHERE idempotency_key = NEW.idempotency_key AND state NOT IN ('failed', 'cancelled')) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$
"""
_WHEN_NOBODY_ASKED = """
CREATE TRIGGER sam3d_keep_key BEFORE INSERT ON jobs FOR EACH ROW
WHEN (NEW.source IS NULL AND NEW.idempotency_key IS NOT NULL) EXECUTE FUNCTION sam3d_keep_key()
"""


def upgrade() -> None:
    """Make a key its sender's own; those that were used before, or by workers of the last release, are everybody's."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.add_column("jobs", sa.Column("source", sa.Text(), comment=_SOURCE))
    op.add_column(
        "jobs",
        sa.Column("correlation_id", sa.Text(), comment="what its sender calls the message; given back in events"),
    )
    owned: list[str | sa.TextClause] = [sa.text("coalesce(source, '')"), "idempotency_key"]
    op.create_index("uq_jobs_owned_key", "jobs", owned, unique=True, postgresql_where=_PINNED)
    op.drop_index("uq_jobs_pinned_key", table_name="jobs")
    op.execute(_KEEP_KEYS)
    op.execute(_WHEN_NOBODY_ASKED)
    op.add_column("events", sa.Column("correlation_id", sa.Text(), comment="what the sender calls its message"))


def downgrade() -> None:
    """Undo it; of several senders' jobs of one key the newest keeps it."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.drop_column("events", "correlation_id")
    op.execute("DROP TRIGGER sam3d_keep_key ON jobs")
    op.execute("DROP FUNCTION sam3d_keep_key")
    op.execute(
        "UPDATE jobs SET idempotency_key = NULL FROM jobs AS newer WHERE newer.idempotency_key = jobs.idempotency_key "
        "AND newer.source IS DISTINCT FROM jobs.source AND (newer.state NOT IN ('failed', 'cancelled'), newer.accepted_at, newer.id) "
        "> (jobs.state NOT IN ('failed', 'cancelled'), jobs.accepted_at, jobs.id)"
    )
    op.create_index("uq_jobs_pinned_key", "jobs", ["idempotency_key"], unique=True, postgresql_where=_PINNED)
    op.drop_index("uq_jobs_owned_key", table_name="jobs")
    op.drop_column("jobs", "correlation_id")
    op.drop_column("jobs", "source")
