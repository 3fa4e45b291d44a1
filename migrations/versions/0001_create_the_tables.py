"""Create the tables

Revision ID: 0001
Revises: -
Create Date: 2026-11-22 15:55:46.540312

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create the tables."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    # The one source of time: a test can shift it for the whole database.
    op.execute("CREATE FUNCTION sam3d_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT clock_timestamp()'")
    op.create_table(
        "accounts",
        sa.Column("name", sa.Text(), nullable=False, comment="`default` if unnamed"),
        sa.Column(
            "held_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="since when the account is stopped; null: it works",
        ),
        sa.Column("held_cause", sa.Text(), nullable=True, comment="credits, key, forbidden, limit, model or protocol"),
        sa.Column("held_message", sa.Text(), nullable=True, comment="a sentence for the operator"),
        sa.Column(
            "probed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when a waiting job was last let through to try the account",
        ),
        sa.Column(
            "probe_job_id",
            sa.Uuid(as_uuid=False),
            nullable=True,
            comment="the one job that may be submitted while the account is held",
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_accounts")),
        comment="one row for each account at the vendor",
    )
    op.create_table(
        "events",
        sa.Column(
            "id",
            sa.Uuid(as_uuid=False),
            nullable=False,
            comment="the CloudEvent's id; the same however often it is sent",
        ),
        sa.Column(
            "position", sa.BigInteger(), sa.Identity(always=False), nullable=False, comment="the order of the history"
        ),
        sa.Column(
            "job_id",
            sa.Uuid(as_uuid=False),
            nullable=True,
            comment="the subject; not a key, as a refused one has no job",
        ),
        sa.Column("type", sa.Text(), nullable=False, comment="the CloudEvent's type and routing key"),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="the CloudEvent's data"),
        sa.Column(
            "occurred_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("sam3d_now()"),
            nullable=False,
            comment="the CloudEvent's time",
        ),
        sa.Column(
            "published_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the broker confirmed it; null: it waits in the outbox",
        ),
        sa.Column("was_routed", sa.Boolean(), nullable=True, comment="whether a queue was bound for it"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        sa.UniqueConstraint("position", name=op.f("uq_events_position")),
        comment="the outbox, and the history of each job",
    )
    op.create_index(op.f("ix_events_job_id"), "events", ["job_id"], unique=False)
    op.create_index(
        "ix_events_outbox", "events", ["position"], unique=False, postgresql_where=sa.text("published_at IS NULL")
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False, comment="the request's identity"),
        sa.Column("account", sa.Text(), server_default="default", nullable=False, comment="who pays"),
        sa.Column("state", sa.Text(), nullable=False, comment="a JobState"),
        sa.Column(
            "version",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="counts the writes; the fence of every step",
        ),
        sa.Column(
            "idempotency_key", sa.Text(), nullable=True, comment="the sender's; another payload under it is refused"
        ),
        sa.Column("fingerprint", sa.Text(), nullable=False, comment="SHA-256 of the request without its identity"),
        sa.Column(
            "parameters",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="the vendor's parameters, without files",
        ),
        sa.Column(
            "metadata",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default="{}",
            nullable=False,
            comment="the sender's, given back untouched",
        ),
        sa.Column("priority", sa.SmallInteger(), server_default="0", nullable=False, comment="higher goes first"),
        sa.Column(
            "due_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("sam3d_now()"),
            nullable=False,
            comment="when the next step is due",
        ),
        sa.Column(
            "sweep_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("sam3d_now()"),
            nullable=False,
            comment="when the row counts as left behind",
        ),
        sa.Column(
            "lease_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="until when a worker owns the row; null: nobody does",
        ),
        sa.Column(
            "expired_leases",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="workers that died on it in a row",
        ),
        sa.Column(
            "redrives",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="messages the sweep sent since the last step",
        ),
        sa.Column(
            "attempts", sa.Integer(), server_default="0", nullable=False, comment="failed tries that were tried again"
        ),
        sa.Column(
            "server_errors", sa.Integer(), server_default="0", nullable=False, comment="submits answered with a 5xx"
        ),
        sa.Column(
            "broken_files", sa.Integer(), server_default="0", nullable=False, comment="outputs that arrived broken"
        ),
        sa.Column("polls", sa.Integer(), server_default="0", nullable=False, comment="looks at the vendor's status"),
        sa.Column("waits_for", sa.Text(), nullable=True, comment="why the job is not further, in words"),
        sa.Column("request_id", sa.Text(), nullable=True, comment="the vendor's id of the paid run"),
        sa.Column("remote_status", sa.Text(), nullable=True, comment="the vendor's status when last seen"),
        sa.Column(
            "metrics",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="the vendor's times in seconds and cost in USD",
        ),
        sa.Column("cost", sa.Numeric(), nullable=True, comment="what the run cost, USD"),
        sa.Column("error_code", sa.Text(), nullable=True, comment="why it failed, stable"),
        sa.Column("error_field", sa.Text(), nullable=True, comment="which field of the request was wrong"),
        sa.Column("error_message", sa.Text(), nullable=True, comment="why it failed, a sentence"),
        sa.Column(
            "accepted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("sam3d_now()"),
            nullable=False,
            comment="when the row was committed",
        ),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True, comment="when the vendor had it"),
        sa.Column(
            "completed_at", sa.DateTime(timezone=True), nullable=True, comment="when the run was seen to be over"
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True, comment="when the job became final"),
        sa.CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name=op.f("ck_jobs_error_code")),
        sa.CheckConstraint(
            "state IN ('accepted', 'submitting', 'processing', 'fetching', 'review', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_jobs_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('processing', 'fetching') OR request_id IS NOT NULL", name=op.f("ck_jobs_request_id")
        ),
        sa.ForeignKeyConstraint(["account"], ["accounts.name"], name=op.f("fk_jobs_account")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_jobs_idempotency_key")),
        sa.UniqueConstraint("request_id", name=op.f("uq_jobs_request_id")),
        comment="one row for each request",
    )
    op.create_index(
        "ix_jobs_overdue",
        "jobs",
        ["sweep_at"],
        unique=False,
        postgresql_where=sa.text("state NOT IN ('succeeded', 'failed', 'cancelled')"),
    )
    op.create_index("ix_jobs_recent", "jobs", [sa.literal_column("accepted_at DESC")], unique=False)
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        ["account", sa.literal_column("priority DESC"), "accepted_at"],
        unique=False,
        postgresql_where=sa.text("state = 'accepted'"),
    )
    op.create_table(
        "inputs",
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="image or mask"),
        sa.Column("url", sa.Text(), nullable=True, comment="where the vendor reads it from; null: in content"),
        sa.Column("media_type", sa.Text(), nullable=True, comment="as found in the content"),
        sa.Column("bytes", sa.BigInteger(), nullable=True, comment="size of the content"),
        sa.Column("sha256", sa.Text(), nullable=True, comment="of the content"),
        sa.Column("content", sa.LargeBinary(), nullable=True, comment="the file; null: at url"),
        sa.CheckConstraint("(url IS NULL) <> (content IS NULL)", name=op.f("ck_inputs_where")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_inputs_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_inputs")),
        comment="the files of a request",
    )
    op.create_table(
        "outputs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="ours, never the vendor's: model.glb, artifacts.zip"),
        sa.Column("media_type", sa.Text(), nullable=False, comment="as found in the content"),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="size of the file"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the file"),
        sa.Column(
            "stored_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("sam3d_now()"),
            nullable=False,
            comment="when it was committed",
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_outputs_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outputs")),
        comment="what was made",
    )
    op.create_index("uq_outputs_job_id_name", "outputs", ["job_id", "name"], unique=True)
    op.create_table(
        "submissions",
        sa.Column(
            "token", sa.Uuid(as_uuid=False), nullable=False, comment="names the POST; its answer is written by it"
        ),
        sa.Column("job_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False, comment="host and process that made the POST"),
        sa.Column(
            "intended_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("sam3d_now()"),
            nullable=False,
            comment="committed before the first byte",
        ),
        sa.Column(
            "answered_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when the answer was written; null: none is known",
        ),
        sa.Column("verdict", sa.Text(), nullable=True, comment="accepted, refused, held, not_started or unknown"),
        sa.Column("request_id", sa.Text(), nullable=True, comment="the vendor's id, as answered"),
        sa.Column("detail", sa.Text(), nullable=True, comment="what came in place of an id, in words"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_submissions_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("token", name=op.f("pk_submissions")),
        sa.UniqueConstraint("request_id", name=op.f("uq_submissions_request_id")),
        comment="one row for each POST that may cost money, written before it: the ledger",
    )
    op.create_index(op.f("ix_submissions_job_id"), "submissions", ["job_id"], unique=False)
    op.create_table(
        "output_chunks",
        sa.Column("output_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="from 0"),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="at most one chunk's length"),
        sa.ForeignKeyConstraint(
            ["output_id"], ["outputs.id"], name=op.f("fk_output_chunks_output_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("output_id", "position", name=op.f("pk_output_chunks")),
        comment="the bytes of outputs, in chunks, so that no file is ever whole in memory",
    )
    op.execute("INSERT INTO accounts (name) VALUES ('default')")


def downgrade() -> None:
    """Undo it."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.drop_table("output_chunks")
    op.drop_index(op.f("ix_submissions_job_id"), table_name="submissions")
    op.drop_table("submissions")
    op.drop_index("uq_outputs_job_id_name", table_name="outputs")
    op.drop_table("outputs")
    op.drop_table("inputs")
    op.drop_index("ix_jobs_waiting", table_name="jobs", postgresql_where=sa.text("state = 'accepted'"))
    op.drop_index("ix_jobs_recent", table_name="jobs")
    op.drop_index(
        "ix_jobs_overdue",
        table_name="jobs",
        postgresql_where=sa.text("state NOT IN ('succeeded', 'failed', 'cancelled')"),
    )
    op.drop_table("jobs")
    op.drop_index("ix_events_outbox", table_name="events", postgresql_where=sa.text("published_at IS NULL"))
    op.drop_index(op.f("ix_events_job_id"), table_name="events")
    op.drop_table("events")
    op.drop_table("accounts")
    op.execute("DROP FUNCTION sam3d_now()")
