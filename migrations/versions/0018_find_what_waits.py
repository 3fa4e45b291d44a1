"""What waits, is under way or is open is found without walking through all of it

Revision ID: 0018
Revises: 0017
Create Date: 2026-11-30 16:45:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_OLD = {
    "ix_jobs_live": "jobs (phase) WHERE phase >= 1 AND phase <= 2",
    "ix_jobs_waiting": "jobs (account, priority DESC, accepted_at, waits_until) WHERE phase = 0",
}
_NEW = {
    "ix_jobs_live": "jobs (phase, accepted_at) WHERE phase >= 1 AND phase <= 2",
    "ix_jobs_waiting": "jobs (account, priority DESC, accepted_at) WHERE phase = 0",
    "ix_jobs_awaited": "jobs (waits_until) WHERE waits_until IS NOT NULL",
    "ix_submissions_open": "submissions (intended_at) WHERE verdict IS NULL OR verdict IN ('unknown', 'unresolved')",
}


def upgrade() -> None:
    """Have indexes of few rows in the order in which they are looked for; it writes no row."""
    _replace(_OLD, _NEW)
    op.execute("ANALYZE jobs")


def downgrade() -> None:
    """Undo it."""
    _replace(_NEW, _OLD)


def _replace(gone: dict[str, str], made: dict[str, str]) -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    for name in gone:
        op.execute(f"DROP INDEX {name}")
    for name, what in made.items():
        op.execute(f"CREATE INDEX {name} ON {what}")
