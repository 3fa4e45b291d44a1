"""A job writes less to the database's log again

Revision ID: 0016
Revises: 0015
Create Date: 2026-11-30 10:10:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_PHASE = (
    "(CASE state WHEN 'accepted' THEN 0 WHEN 'submitting' THEN 1 WHEN 'processing' THEN 1 WHEN 'fetching' THEN 1 "
    "WHEN 'succeeded' THEN 3 WHEN 'failed' THEN NULL WHEN 'cancelled' THEN NULL ELSE 2 END)::smallint"
)

_OLD = {
    "uq_jobs_shared_run": "UNIQUE INDEX {} ON jobs (share_key) WHERE is_shared AND stage IS NOT NULL",
    "ix_jobs_shares": "INDEX {} ON jobs (shares, stage) WHERE shares IS NOT NULL",
    "uq_jobs_owned_key": "UNIQUE INDEX {} ON jobs (coalesce(source, ''), idempotency_key) "
    "WHERE idempotency_key IS NOT NULL AND stage IS NOT NULL",
    "ix_jobs_live": "INDEX {} ON jobs (stage, waits_until) WHERE stage <= 2",
    "ix_jobs_waiting": "INDEX {} ON jobs (account, priority DESC, accepted_at) WHERE stage = 0",
    "uq_jobs_run_id": "UNIQUE INDEX {} ON jobs (lower(replace(request_id, '-', ''))) WHERE request_id IS NOT NULL",
    "ix_jobs_recent": "INDEX {} ON jobs (accepted_at DESC)",
    "ix_jobs_submitted": "INDEX {} ON jobs (account, submitted_at DESC) WHERE submitted_at IS NOT NULL",
    "ix_submissions_answered": "INDEX {} ON submissions (answered_at DESC) WHERE answered_at IS NOT NULL",
    "ix_outputs_location": "INDEX {} ON outputs (location) WHERE location IS NOT NULL",
    "ix_blobs_loose": "INDEX {} ON blobs (loose_since) WHERE loose_since IS NOT NULL",
    "ix_events_occurred_at": "INDEX {} ON events (occurred_at)",
}
_NEW = {
    "uq_jobs_shared_run": "UNIQUE INDEX {} ON jobs (share_key) WHERE is_shared AND phase IS NOT NULL",
    "ix_jobs_shares": "INDEX {} ON jobs (shares, phase) WHERE shares IS NOT NULL",
    "uq_jobs_owned_key": "UNIQUE INDEX {} ON jobs (coalesce(source, ''), idempotency_key) "
    "WHERE idempotency_key IS NOT NULL AND phase IS NOT NULL",
    "ix_jobs_live": "INDEX {} ON jobs (phase) WHERE phase >= 1 AND phase <= 2",
    "ix_jobs_waiting": "INDEX {} ON jobs (account, priority DESC, accepted_at, waits_until) WHERE phase = 0",
    "ix_outputs_location": "INDEX {} ON outputs USING hash (location) WHERE location IS NOT NULL",
    "ix_events_occurred_at": "INDEX {} ON events (occurred_at) WHERE substr(id::text, 15, 1) <> '7'",
}

# Each run of a job is in the ledger, which has none twice: so nobody else gets it.
_OWN = (
    """
UPDATE submissions AS own SET run = lower(replace(own.request_id, '-', ''))
FROM (
    SELECT DISTINCT ON (lower(replace(jobs.request_id, '-', ''))) submissions.token
    FROM jobs JOIN submissions ON submissions.job_id = jobs.id
        AND lower(replace(submissions.request_id, '-', '')) = lower(replace(jobs.request_id, '-', ''))
    WHERE submissions.run IS NULL
    ORDER BY lower(replace(jobs.request_id, '-', '')), submissions.intended_at DESC
) AS last
WHERE own.token = last.token AND NOT EXISTS (SELECT FROM submissions WHERE run = lower(replace(own.request_id, '-', '')))
""",
    """
INSERT INTO submissions (token, job_id, worker, intended_at, answered_at, verdict, request_id, run, is_addressed, detail)
SELECT gen_random_uuid(), id, '', coalesce(submitted_at, accepted_at), coalesce(submitted_at, accepted_at), 'adopted',
    request_id, lower(replace(request_id, '-', '')), false, 'its job has this run'
FROM jobs
WHERE request_id IS NOT NULL AND NOT EXISTS (SELECT FROM submissions WHERE run = lower(replace(jobs.request_id, '-', '')))
""",
    """
CREATE FUNCTION sam3d_own_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO submissions (token, job_id, worker, answered_at, verdict, request_id, run, is_addressed, detail)
    SELECT gen_random_uuid(), id, '', sam3d_now(), 'adopted', request_id, lower(replace(request_id, '-', '')), false,
        'its job has this run'
    FROM jobs
    WHERE id = NEW.id AND request_id = NEW.request_id AND NOT EXISTS (
        SELECT FROM submissions WHERE job_id = NEW.id AND run = lower(replace(NEW.request_id, '-', ''))
    );
    RETURN NULL;
END $$
""",
    """
CREATE CONSTRAINT TRIGGER sam3d_own_first_run AFTER INSERT ON jobs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (NEW.request_id IS NOT NULL) EXECUTE FUNCTION sam3d_own_run()
""",
    """
CREATE CONSTRAINT TRIGGER sam3d_own_run AFTER UPDATE OF request_id ON jobs DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
WHEN (NEW.request_id IS NOT NULL AND NEW.request_id IS DISTINCT FROM OLD.request_id) EXECUTE FUNCTION sam3d_own_run()
""",
)

# An event's id tells its time, as UUIDs of version 7 do: so they need no index of it, and lie together in their own.
_IDS = (
    """
CREATE FUNCTION sam3d_first_id(at timestamptz) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT rpad(lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$
""",
    """
CREATE FUNCTION sam3d_event_id(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT overlay(gen_random_uuid()::text PLACING left(sam3d_first_id(at)::text, 13) || '-7' FROM 1 FOR 15)::uuid
$$
""",
)
_NOW = "CREATE OR REPLACE FUNCTION sam3d_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT {}()'"

_LOOSE = "since when no row names it{}"
_PUT = ", if none does: put last, or let go by one; null: by an earlier release"


def upgrade() -> None:
    """Have steps change less that is in an index: it writes jobs anew, which takes seconds."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.execute(_NOW.format("statement_timestamp"))
    for statement in (*_OWN, *_IDS):
        op.execute(statement)
    for name in _OLD:
        op.execute(f"DROP INDEX {name}")
    op.execute("ALTER TABLE jobs SET (fillfactor = 45)")
    op.execute(f"ALTER TABLE jobs ADD COLUMN phase smallint GENERATED ALWAYS AS ({_PHASE}) STORED")
    op.execute("COMMENT ON COLUMN jobs.phase IS 'a Phase: what indexes know of the state'")
    op.execute("COMMENT ON COLUMN jobs.stage IS 'for workers of the last release'")
    op.execute(f"COMMENT ON COLUMN blobs.loose_since IS '{_LOOSE.format(_PUT)}'")
    op.execute("ALTER TABLE blobs RESET (fillfactor)")
    for name, what in _NEW.items():
        op.execute(f"CREATE {what.format(name)}")
    op.create_table(
        "walks",
        sa.Column("name", sa.Text(), nullable=False, comment="the table that is walked through"),
        sa.Column("reached", sa.Text(), nullable=False, comment="its last row that was looked at, by its key"),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_walks")),
        comment="how far the upkeep has come in tables that it looks through a little at a time, again and again",
    )
    op.execute("ANALYZE jobs")


def downgrade() -> None:
    """Undo it; the ledger keeps what it was given."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.drop_table("walks")
    for name in _NEW:
        op.execute(f"DROP INDEX {name}")
    op.execute("ALTER TABLE blobs SET (fillfactor = 70)")
    op.execute("ALTER TABLE jobs SET (fillfactor = 70)")
    op.execute("ALTER TABLE jobs DROP COLUMN phase")
    op.execute("COMMENT ON COLUMN jobs.stage IS 'a Stage: what indexes know of the state'")
    op.execute(f"COMMENT ON COLUMN blobs.loose_since IS '{_LOOSE.format('; null: one does')}'")
    for name, what in _OLD.items():
        op.execute(f"CREATE {what.format(name)}")
    op.execute("DROP TRIGGER sam3d_own_first_run ON jobs")
    op.execute("DROP TRIGGER sam3d_own_run ON jobs")
    for function in ("sam3d_own_run()", "sam3d_event_id(timestamptz)", "sam3d_first_id(timestamptz)"):
        op.execute(f"DROP FUNCTION {function}")
    op.execute(_NOW.format("clock_timestamp"))
