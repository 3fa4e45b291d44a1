"""Tell an account's trouble from a job's

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-24 11:30:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TIME = sa.DateTime(timezone=True)
COMMENTS = (
    (
        "accounts",
        "held_cause",
        "credits, key, forbidden, limit, model, protocol or operator",
        "why the vendor refuses it: a HoldCause",
    ),
    (
        "submissions",
        "verdict",
        "accepted, refused, held, not_started, unknown; or, looked up: adopted, absent, unresolved",
        "accepted, refused, held, disputed, not_started, unknown; or, looked up: adopted, absent, unresolved",
    ),
)


def _count(name: str, comment: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=False, server_default="0", comment=comment)


def _jobs() -> tuple[sa.Column[Any], ...]:
    return (
        _count("refusals", "requests that were refused or left in doubt; a job with fewer tries a held account first"),
        sa.Column("refused_at", _TIME, comment="since when the reads of its run are refused; null: they are not"),
    )


def _accounts() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column(
            "paused_at", _TIME, comment="since when a person stops its submits, whatever the vendor does; null: nobody"
        ),
        sa.Column("paused_message", sa.Text(), comment="why, as that person says"),
        sa.Column("resumed_at", _TIME, comment="when it went on last"),
        _count("unknown_submits", "submits in a row whose answer does not tell, none accepted in between"),
    )


def upgrade() -> None:
    """Tell an account's trouble from a job's."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    for column in _jobs():
        op.add_column("jobs", column)
    op.create_index(
        "ix_submissions_answered",
        "submissions",
        [sa.text("answered_at DESC")],
        postgresql_where=sa.text("answered_at IS NOT NULL"),
    )
    for column in _accounts():
        op.add_column("accounts", column)
    # The row stays held as well: workers of the last release know of no other hold.
    op.execute("UPDATE accounts SET paused_at = held_at, paused_message = held_message WHERE held_cause = 'operator'")
    for table, name, was, comment in COMMENTS:
        op.alter_column(table, name, existing_type=sa.Text(), existing_comment=was, comment=comment)


def downgrade() -> None:
    """Undo it."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    for table, name, comment, was in COMMENTS:
        op.alter_column(table, name, existing_type=sa.Text(), existing_comment=was, comment=comment)
    op.drop_index(
        "ix_submissions_answered", table_name="submissions", postgresql_where=sa.text("answered_at IS NOT NULL")
    )
    for column in _jobs():
        op.drop_column("jobs", column.name)
    op.execute(
        "UPDATE accounts SET held_at = paused_at, held_cause = 'operator', held_message = paused_message,"
        " stops_reads = false WHERE paused_at IS NOT NULL"
    )
    for column in _accounts():
        op.drop_column("accounts", column.name)
