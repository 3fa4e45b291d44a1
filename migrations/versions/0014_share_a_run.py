"""Equal requests share a run

Revision ID: 0014
Revises: 0013
Create Date: 2026-11-30 02:30:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_BEFORE = "'accepted', 'submitting', 'processing', 'fetching', 'review', 'succeeded', 'failed', 'cancelled'"
_REFUSE = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM jobs WHERE state = 'sharing') THEN
        RAISE EXCEPTION 'jobs wait for runs that they share'
        USING HINT = 'Unset SAM3D_SHARE_RUNS and let them end, or cancel them, before you go back.';
    END IF;
END $$
"""
_IS_LIVE_RUN = sa.text("is_shared AND state NOT IN ('failed', 'cancelled')")


def upgrade() -> None:
    """Add the runs that jobs share, and the state of a job that waits for one. The table is read: that takes seconds."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    key = "what requests have in common that may share a run; null: it has its own"
    is_shared = "whether it is a run that jobs share: nobody's own request, and announced to them"
    op.add_column("jobs", sa.Column("share_key", sa.Text(), comment=key))
    op.add_column(
        "jobs", sa.Column("is_shared", sa.Boolean(), nullable=False, server_default="false", comment=is_shared)
    )
    op.add_column("jobs", sa.Column("shares", sa.Uuid(), comment="the row of the run that it shares"))
    op.create_foreign_key(
        "fk_jobs_shares", "jobs", "jobs", ["shares"], ["id"], ondelete="SET NULL", deferrable=True, initially="DEFERRED"
    )
    _allow(f"{_BEFORE}, 'sharing'")
    op.create_check_constraint(op.f("ck_jobs_shares"), "jobs", "state <> 'sharing' OR shares IS NOT NULL")
    op.create_index("uq_jobs_shared_run", "jobs", ["share_key"], unique=True, postgresql_where=_IS_LIVE_RUN)
    op.create_index("ix_jobs_shares", "jobs", ["shares", "state"], postgresql_where=sa.text("shares IS NOT NULL"))


def downgrade() -> None:
    """Undo it, unless jobs wait for a run: the last release would tell none of them how it ends."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.drop_index("ix_jobs_shares", table_name="jobs")
    op.drop_index("uq_jobs_shared_run", table_name="jobs")
    op.execute(_REFUSE)
    for constraint in ("fk_jobs_shares", "ck_jobs_shares"):
        op.drop_constraint(op.f(constraint), "jobs")
    for column in ("shares", "is_shared", "share_key"):
        op.drop_column("jobs", column)
    _allow(_BEFORE)


def _allow(states: str) -> None:
    op.drop_constraint(op.f("ck_jobs_state"), "jobs")
    op.create_check_constraint(op.f("ck_jobs_state"), "jobs", f"state IN ({states})")
