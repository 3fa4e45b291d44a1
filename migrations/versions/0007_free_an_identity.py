"""Free an identity that nothing stands behind any more

Revision ID: 0007
Revises: 0006
Create Date: 2026-11-24 11:30:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_PINNED = sa.text("state NOT IN ('failed', 'cancelled')")
_AT_URL = "the file; null: at url"
_GONE = "the file; null: at url, or gone, as its job has ended"
_WHERE = "ck_inputs_where"


def upgrade() -> None:
    """Free an identity that nothing stands behind any more."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    _identities()
    op.create_index("ix_jobs_finished", "jobs", ["finished_at"], postgresql_where=sa.text("finished_at IS NOT NULL"))
    op.drop_constraint(op.f(_WHERE), "inputs")
    op.create_check_constraint(op.f(_WHERE), "inputs", "(url IS NULL) <> (content IS NULL AND sha256 IS NULL)")
    op.alter_column("inputs", "content", comment=_GONE, existing_comment=_AT_URL, existing_type=sa.LargeBinary())
    op.create_index("ix_inputs_kept", "inputs", ["job_id"], postgresql_where=sa.text("content IS NOT NULL"))
    op.add_column("events", sa.Column("duplicate_of", sa.Uuid(as_uuid=False), comment="the event that it tells again"))
    op.create_index("ix_events_occurred_at", "events", ["occurred_at"])


def _identities() -> None:
    op.add_column(
        "jobs",
        sa.Column(
            "body_id", sa.Uuid(as_uuid=False), comment="the identity that its message's body gives it, for a while"
        ),
    )
    op.create_unique_constraint(op.f("uq_jobs_body_id"), "jobs", ["body_id"])
    op.add_column(
        "jobs",
        sa.Column("retry_of", sa.Uuid(as_uuid=False), comment="the failed or cancelled job in whose place it is"),
    )
    op.create_unique_constraint(op.f("uq_jobs_retry_of"), "jobs", ["retry_of"])
    op.create_foreign_key(op.f("fk_jobs_retry_of"), "jobs", "jobs", ["retry_of"], ["id"], ondelete="SET NULL")
    op.drop_constraint(op.f("uq_jobs_idempotency_key"), "jobs")
    op.create_index("uq_jobs_pinned_key", "jobs", ["idempotency_key"], unique=True, postgresql_where=_PINNED)
    op.create_index("ix_jobs_idempotency_key", "jobs", ["idempotency_key"])


def downgrade() -> None:
    """Undo it; of several jobs of one key the newest keeps it."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.drop_index("ix_jobs_idempotency_key", table_name="jobs")
    op.drop_index("uq_jobs_pinned_key", table_name="jobs", postgresql_where=_PINNED)
    op.execute(
        "UPDATE jobs SET idempotency_key = NULL FROM jobs AS newer WHERE newer.idempotency_key = jobs.idempotency_key "
        "AND (newer.state NOT IN ('failed', 'cancelled'), newer.accepted_at, newer.id) "
        "> (jobs.state NOT IN ('failed', 'cancelled'), jobs.accepted_at, jobs.id)"
    )
    op.create_unique_constraint(op.f("uq_jobs_idempotency_key"), "jobs", ["idempotency_key"])
    op.drop_column("jobs", "retry_of")
    op.drop_column("jobs", "body_id")
    op.drop_index("ix_jobs_finished", table_name="jobs", postgresql_where=sa.text("finished_at IS NOT NULL"))
    op.drop_index("ix_inputs_kept", table_name="inputs", postgresql_where=sa.text("content IS NOT NULL"))
    op.alter_column("inputs", "content", comment=_AT_URL, existing_comment=_GONE, existing_type=sa.LargeBinary())
    op.drop_constraint(op.f(_WHERE), "inputs")
    # Files whose bytes are gone can't be brought back: they alone may be as they are.
    op.execute("ALTER TABLE inputs ADD CONSTRAINT ck_inputs_where CHECK ((url IS NULL) <> (content IS NULL)) NOT VALID")
    op.drop_index("ix_events_occurred_at", table_name="events")
    op.drop_column("events", "duplicate_of")
