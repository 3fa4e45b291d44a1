"""Share one request budget

Revision ID: 0003
Revises: 0002
Create Date: 2026-11-22 21:00:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TIME = sa.DateTime(timezone=True)


def _accounts() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column(
            "next_slot_at", _TIME, comment="when the request budget allows the next request; null: none was drawn yet"
        ),
        sa.Column("closed_until", _TIME, comment="until when the vendor's request limit is used up"),
        sa.Column("closed_at", _TIME, comment="since when it is, where the vendor named the end"),
        sa.Column(
            "closes_reads",
            sa.Boolean(),
            nullable=False,
            server_default="false",
            comment="whether it is used up for polls and results as well",
        ),
        sa.Column(
            "reads_count", sa.Boolean(), comment="whether reads were found to count against the limit; null: not known"
        ),
        sa.Column(
            "learnt_limit", sa.Numeric(), comment="requests a minute that the vendor was found to allow; null: as set"
        ),
        sa.Column("learnt_at", _TIME, comment="when it was lowered; it rises from then on"),
    )


def _jobs() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column(
            "requests",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="requests to the vendor, polls included",
        ),
        sa.Column("slot_at", _TIME, comment="the slot of the request budget that its next request has drawn"),
        sa.Column("running_at", _TIME, comment="when the run was last seen not to be over"),
    )


def upgrade() -> None:
    """Share one request budget."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    # In the order in which workers lock them: jobs before accounts.
    for column in _jobs():
        op.add_column("jobs", column)
    op.create_index(
        "ix_jobs_submitted",
        "jobs",
        ["account", sa.text("submitted_at DESC")],
        postgresql_where=sa.text("submitted_at IS NOT NULL"),
    )
    for column in _accounts():
        op.add_column("accounts", column)
    op.create_table(
        "requests",
        sa.Column("account", sa.Text(), sa.ForeignKey("accounts.name", name=op.f("fk_requests_account"))),
        sa.Column("minute", _TIME, comment="its beginning"),
        sa.Column("kind", sa.Text(), comment="submit, poll, fetch, probe; or limited: answered with 429"),
        sa.Column("count", sa.Integer(), nullable=False, server_default="1"),
        sa.PrimaryKeyConstraint("account", "minute", "kind", name=op.f("pk_requests")),
        comment="what the request budget was used for",
    )


def downgrade() -> None:
    """Undo it."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.drop_index("ix_jobs_submitted", table_name="jobs", postgresql_where=sa.text("submitted_at IS NOT NULL"))
    for column in _jobs():
        op.drop_column("jobs", column.name)
    for column in _accounts():
        op.drop_column("accounts", column.name)
    op.drop_table("requests")
