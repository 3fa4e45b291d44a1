"""A job writes less to the database's log

Revision ID: 0015
Revises: 0014
Create Date: 2026-11-30 07:10:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_CONSTRAINTS = {"jobs": ("body_id", "retry_of", "request_id"), "submissions": ("address", "run")}
"""Columns whose index is a constraint so far: it has all rows, of which most have no value."""

_CANONICAL = "lower(replace(request_id, '-', ''))"
_NOT_FREED = "state <> ALL (ARRAY['failed', 'cancelled'])"

_OLD = {
    "ix_jobs_idempotency_key": "INDEX {} ON jobs (idempotency_key)",
    "uq_jobs_owned_key": f"UNIQUE INDEX {{}} ON jobs (coalesce(source, ''), idempotency_key) WHERE {_NOT_FREED}",
    "ix_jobs_run_id": f"INDEX {{}} ON jobs ({_CANONICAL})",
    "ix_submissions_told": "INDEX {} ON submissions (told)",
    "ix_submissions_request_id": "INDEX {} ON submissions (request_id)",
    "ix_submissions_run_id": f"INDEX {{}} ON submissions ({_CANONICAL})",
}
_NEW = {
    **{
        f"uq_{table}_{column}": f"UNIQUE INDEX {{}} ON {table} ({column}) WHERE {column} IS NOT NULL"
        for table, columns in _CONSTRAINTS.items()
        for column in columns
    },
    "ix_jobs_idempotency_key": "INDEX {} ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL",
    "uq_jobs_owned_key": "UNIQUE INDEX {} ON jobs (coalesce(source, ''), idempotency_key) "
    f"WHERE idempotency_key IS NOT NULL AND {_NOT_FREED}",
    "ix_jobs_run_id": f"INDEX {{}} ON jobs ({_CANONICAL}) WHERE request_id IS NOT NULL",
    "ix_submissions_told": "INDEX {} ON submissions (told) WHERE told IS NOT NULL AND run IS DISTINCT FROM told",
    "ix_submissions_run_id": f"INDEX {{}} ON submissions ({_CANONICAL}) WHERE run IS NULL AND request_id IS NOT NULL",
}


def upgrade() -> None:
    """Let indexes have those rows alone that are looked for in them. The tables are read: that takes seconds."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    for table, columns in _CONSTRAINTS.items():
        for column in columns:
            op.drop_constraint(op.f(f"uq_{table}_{column}"), table)
    _replace(_OLD, _NEW)


def downgrade() -> None:
    """Undo it."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    _replace(_NEW, _OLD)
    for table, columns in _CONSTRAINTS.items():
        for column in columns:
            op.create_unique_constraint(op.f(f"uq_{table}_{column}"), table, [column])


def _replace(those: dict[str, str], by: dict[str, str]) -> None:
    for name in those:
        op.execute(f"DROP INDEX {name}")
    for name, what in by.items():
        op.execute(f"CREATE {what.format(name)}")
