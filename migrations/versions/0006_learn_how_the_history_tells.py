"""Learn how the vendor's history tells of runs

Revision ID: 0006
Revises: 0005
Create Date: 2026-11-24 11:30:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_DIGEST = "of the inputs as sent: what the request history is searched for"
_DIGEST_NOW = "of the inputs as sent, for workers of the last release"
_IN_ONE_WRITING = sa.text("lower(replace(request_id, '-', ''))")


def upgrade() -> None:
    """Learn how the vendor's history tells of runs."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.alter_column("submissions", "inputs_sha256", existing_type=sa.Text(), comment=_DIGEST_NOW)
    moment = sa.DateTime(timezone=True)
    for column in (
        sa.Column("inputs", JSONB(), comment="a mark of each input as sent: what the request history is searched for"),
        # New, and so without the doubles that older rows may have.
        sa.Column("run", sa.Text(), comment="that id in one writing: a run is one POST's"),
        sa.Column("told", sa.Text(), comment="the run that its answer named, whoever's it turns out to be"),
        sa.Column(
            "missed_at",
            moment,
            comment="when the request history last did not list its run, though it was read whole",
        ),
        sa.Column("looked_at", moment, comment="when the history was last searched for it, once nothing waits for it"),
    ):
        op.add_column("submissions", column)
    op.create_unique_constraint(op.f("uq_submissions_run"), "submissions", ["run"])
    op.create_index(op.f("ix_submissions_told"), "submissions", ["told"])
    op.create_index("ix_submissions_intended_at", "submissions", ["intended_at"])
    op.create_index("ix_submissions_run_id", "submissions", [_IN_ONE_WRITING])
    op.create_index("ix_jobs_run_id", "jobs", [_IN_ONE_WRITING])


def downgrade() -> None:
    """Undo it."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.drop_index("ix_jobs_run_id", table_name="jobs")
    op.drop_index("ix_submissions_run_id", table_name="submissions")
    op.drop_index("ix_submissions_intended_at", table_name="submissions")
    op.drop_index(op.f("ix_submissions_told"), table_name="submissions")
    op.drop_constraint(op.f("uq_submissions_run"), "submissions", type_="unique")
    for name in ("looked_at", "missed_at", "told", "run", "inputs"):
        op.drop_column("submissions", name)
    op.alter_column("submissions", "inputs_sha256", existing_type=sa.Text(), comment=_DIGEST)
