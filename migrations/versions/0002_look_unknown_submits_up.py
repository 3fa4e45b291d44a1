"""Look unknown submits up

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-22 17:20:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_CAUSE = "credits, key, forbidden, limit, model or protocol"
_CAUSE_NOW = "credits, key, forbidden, limit, model, protocol or operator"
_VERDICT = "accepted, refused, held, not_started or unknown"
_VERDICT_NOW = "accepted, refused, held, not_started, unknown; or, looked up: adopted, absent, unresolved"
_REQUEST_ID = "the vendor's id, as answered"
_REQUEST_ID_NOW = "the vendor's id, as answered or as found in its history"
_PROBED = "when a waiting job was last let through to try the account"
_PROBED_NOW = "when the held account was last tried"
_PROBE_JOB = "the one job that may be submitted while the account is held"
_PROBE_JOB_NOW = "the one job that may try the held account"


def upgrade() -> None:
    """Look unknown submits up."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.add_column(
        "accounts",
        sa.Column(
            "stops_reads",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="whether polls and fetches wait as well: the key is refused, not only submits",
        ),
    )
    op.add_column(
        "accounts",
        sa.Column(
            "refused_probes",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="jobs that were let through since it is held, and refused",
        ),
    )
    op.alter_column("accounts", "held_cause", existing_type=sa.Text(), comment=_CAUSE_NOW)
    op.alter_column("accounts", "probed_at", existing_type=sa.DateTime(timezone=True), comment=_PROBED_NOW)
    op.alter_column("accounts", "probe_job_id", existing_type=sa.Uuid(as_uuid=False), comment=_PROBE_JOB_NOW)
    for column in (
        sa.Column("session", sa.BigInteger(), comment="the advisory lock that this process holds while it lives"),
        sa.Column(
            "inputs_sha256", sa.Text(), comment="of the inputs as sent: what the request history is searched for"
        ),
        sa.Column("is_inline", sa.Boolean(), comment="whether a file was sent in the body, not as a URL"),
        sa.Column("http_status", sa.SmallInteger(), comment="what the vendor answered with; null: nothing came"),
    ):
        op.add_column("submissions", column)
    op.alter_column("submissions", "verdict", existing_type=sa.Text(), comment=_VERDICT_NOW)
    op.alter_column("submissions", "request_id", existing_type=sa.Text(), comment=_REQUEST_ID_NOW)
    # What makes a request id one job's is on the job; an answer is written whatever became of it meanwhile.
    op.drop_constraint(op.f("uq_submissions_request_id"), "submissions", type_="unique")
    op.create_index(op.f("ix_submissions_request_id"), "submissions", ["request_id"])
    # Nothing that reads these was ever released.
    op.drop_column("jobs", "server_errors")
    op.drop_column("jobs", "redrives")
    op.create_index("ix_jobs_submitting", "jobs", ["due_at"], postgresql_where=sa.text("state = 'submitting'"))


def downgrade() -> None:
    """Undo it."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.drop_index("ix_jobs_submitting", table_name="jobs", postgresql_where=sa.text("state = 'submitting'"))
    op.add_column(
        "jobs",
        sa.Column(
            "redrives",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="messages the sweep sent since the last step",
        ),
    )
    op.add_column(
        "jobs",
        sa.Column(
            "server_errors",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="submits answered with a 5xx",
        ),
    )
    op.drop_index(op.f("ix_submissions_request_id"), table_name="submissions")
    op.create_unique_constraint(op.f("uq_submissions_request_id"), "submissions", ["request_id"])
    op.alter_column("submissions", "request_id", existing_type=sa.Text(), comment=_REQUEST_ID)
    op.alter_column("submissions", "verdict", existing_type=sa.Text(), comment=_VERDICT)
    for name in ("http_status", "is_inline", "inputs_sha256", "session"):
        op.drop_column("submissions", name)
    op.alter_column("accounts", "probe_job_id", existing_type=sa.Uuid(as_uuid=False), comment=_PROBE_JOB)
    op.alter_column("accounts", "probed_at", existing_type=sa.DateTime(timezone=True), comment=_PROBED)
    op.alter_column("accounts", "held_cause", existing_type=sa.Text(), comment=_CAUSE)
    op.drop_column("accounts", "refused_probes")
    op.drop_column("accounts", "stops_reads")
