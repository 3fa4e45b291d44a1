"""A job writes less to the database's log

Revision ID: 0015
Revises: 0014
Create Date: 2026-11-30 07:10:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_CONSTRAINTS = {
    "jobs": ("body_id", "retry_of", "request_id"),
    "events": ("position",),
    "submissions": ("address", "run"),
}
"""Columns whose index is a constraint so far: it has all rows, of which most have no value."""

_CANONICAL = "lower(replace(request_id, '-', ''))"
_NOT_FREED = "state <> ALL (ARRAY['failed', 'cancelled'])"
_LIVE = "state <> ALL (ARRAY['succeeded', 'failed', 'cancelled'])"
_STAGE = (
    "(CASE state WHEN 'accepted' THEN 0 WHEN 'submitting' THEN 1 WHEN 'succeeded' THEN 3 "
    "WHEN 'failed' THEN NULL WHEN 'cancelled' THEN NULL ELSE 2 END)::smallint"
)
_WAITS_UNTIL = "CASE WHEN state = 'accepted' THEN sweep_at END"

_MOVED = {
    "ix_jobs_finished": "INDEX {} ON jobs (finished_at) WHERE finished_at IS NOT NULL",
    "ix_jobs_submitted": "INDEX {} ON jobs (account, submitted_at DESC) WHERE submitted_at IS NOT NULL",
    "ix_submissions_answered": "INDEX {} ON submissions (answered_at DESC) WHERE answered_at IS NOT NULL",
}
"""Indexes that stay as they are, of columns that are moved."""

_OLD = {
    "ix_jobs_idempotency_key": "INDEX {} ON jobs (idempotency_key)",
    "uq_jobs_owned_key": f"UNIQUE INDEX {{}} ON jobs (coalesce(source, ''), idempotency_key) WHERE {_NOT_FREED}",
    "uq_jobs_shared_run": f"UNIQUE INDEX {{}} ON jobs (share_key) WHERE is_shared AND {_NOT_FREED}",
    "ix_jobs_shares": "INDEX {} ON jobs (shares, state) WHERE shares IS NOT NULL",
    "ix_jobs_overdue": f"INDEX {{}} ON jobs (sweep_at) WHERE {_LIVE}",
    "ix_jobs_waiting": "INDEX {} ON jobs (account, priority DESC, accepted_at) WHERE state = 'accepted'",
    "ix_jobs_submitting": "INDEX {} ON jobs (due_at) WHERE state = 'submitting'",
    "ix_jobs_run_id": f"INDEX {{}} ON jobs ({_CANONICAL})",
    **_MOVED,
    "ix_events_outbox": "INDEX {} ON events (position) WHERE published_at IS NULL",
    "ix_submissions_told": "INDEX {} ON submissions (told)",
    "ix_submissions_request_id": "INDEX {} ON submissions (request_id)",
    "ix_submissions_run_id": f"INDEX {{}} ON submissions ({_CANONICAL})",
}
_NEW = {
    **{
        f"uq_{table}_{column}": f"UNIQUE INDEX {{}} ON {table} ({column}) WHERE {column} IS NOT NULL"
        for table, columns in _CONSTRAINTS.items()
        for column in columns
        if (table, column) not in {("jobs", "request_id"), ("events", "position")}
    },
    "ix_jobs_idempotency_key": "INDEX {} ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL",
    "uq_jobs_owned_key": "UNIQUE INDEX {} ON jobs (coalesce(source, ''), idempotency_key) "
    "WHERE idempotency_key IS NOT NULL AND stage IS NOT NULL",
    "uq_jobs_shared_run": "UNIQUE INDEX {} ON jobs (share_key) WHERE is_shared AND stage IS NOT NULL",
    "ix_jobs_shares": "INDEX {} ON jobs (shares, stage) WHERE shares IS NOT NULL",
    "ix_jobs_live": "INDEX {} ON jobs (stage, waits_until) WHERE stage <= 2",
    "ix_jobs_waiting": "INDEX {} ON jobs (account, priority DESC, accepted_at) WHERE stage = 0",
    "uq_jobs_run_id": f"UNIQUE INDEX {{}} ON jobs ({_CANONICAL}) WHERE request_id IS NOT NULL",
    **_MOVED,
    "ix_events_outbox": "INDEX {} ON events (position) WHERE left_at IS NOT NULL",
    "ix_submissions_told": "INDEX {} ON submissions (told) WHERE told IS NOT NULL AND run IS DISTINCT FROM told",
    "ix_submissions_run_id": f"INDEX {{}} ON submissions ({_CANONICAL}) WHERE run IS NULL AND request_id IS NOT NULL",
}

_LAST = {
    "jobs": (
        ("request_id", "submitted_at", "vendor_submitted_at"),
        ("remote_status", "metrics", "cost", "completed_at", "addresses", "kept", "missing", "result", "finished_at"),
        (
            "state",
            "version",
            "due_at",
            "sweep_at",
            "lease_until",
            "session",
            "requests",
            "polls",
            "slot_at",
            "waits_for",
        ),
        ("running_at",),
    ),
    "submissions": (("answered_at", "http_status", "verdict", "request_id", "run", "told", "detail"),),
}
"""What steps write, in the order of the steps: PostgreSQL logs of an update all from the first changed byte to the last."""

_CHECKS = {
    "state": "state IN ('accepted', 'submitting', 'processing', 'fetching', 'review', 'succeeded', 'failed', 'cancelled', "
    "'sharing')",
    "request_id": "state NOT IN ('processing', 'fetching') OR request_id IS NOT NULL",
    "error_code": "state <> 'failed' OR error_code IS NOT NULL",
    "shares": "state <> 'sharing' OR shares IS NOT NULL",
}

# A copy of each column is a generated one at first, so that the table is written anew once for all of them.
_MOVE = """
DO $$
DECLARE each record; last text; adds text[]; frees text[]; drops text[]; lasts text[];
BEGIN
    FOR each IN
        SELECT quote_ident(attname) AS name, format_type(atttypid, atttypmod) AS kind, attnotnull AS has_value,
            pg_get_expr(adbin, adrelid) AS given, col_description(attrelid, attnum) AS said
        FROM unnest(ARRAY[{columns}]) WITH ORDINALITY AS moved (name, place)
        JOIN pg_attribute ON attrelid = '{table}'::regclass AND attname = moved.name
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        ORDER BY place
    LOOP
        adds := adds || format('ADD COLUMN new_%s %s %s GENERATED ALWAYS AS (%s) STORED',
            each.name, each.kind, CASE WHEN each.has_value THEN 'NOT NULL' ELSE '' END, each.name);
        frees := frees || format('ALTER COLUMN new_%s DROP EXPRESSION', each.name);
        drops := drops || format('DROP COLUMN %s', each.name);
        lasts := lasts || format('ALTER TABLE {table} RENAME COLUMN new_%s TO %s', each.name, each.name);
        lasts := lasts || format('COMMENT ON COLUMN {table}.%s IS %L', each.name, each.said);
        IF each.given IS NOT NULL THEN
            lasts := lasts || format('ALTER TABLE {table} ALTER COLUMN %s SET DEFAULT %s', each.name, each.given);
        END IF;
    END LOOP;
    EXECUTE 'ALTER TABLE {table} ' || array_to_string(adds, ', ');
    EXECUTE 'ALTER TABLE {table} ' || array_to_string(frees, ', ');
    EXECUTE 'ALTER TABLE {table} ' || array_to_string(drops, ', ');
    FOREACH last IN ARRAY lasts LOOP EXECUTE last; END LOOP;
END $$
"""

# What waits now, and what somebody lets wait again, a worker of the last release or a person among them, is left.
_OUTBOX = (
    "INSERT INTO outbox (begins_at) VALUES (sam3d_now() - interval '10 minutes')",
    "UPDATE events SET left_at = sam3d_now() WHERE published_at IS NULL",
    """
CREATE FUNCTION sam3d_leave_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE events SET left_at = CASE WHEN NEW.published_at IS NULL THEN sam3d_now() END WHERE id = NEW.id;
    RETURN NULL;
END $$
""",
    """
CREATE TRIGGER sam3d_leave_event AFTER UPDATE OF published_at ON events FOR EACH ROW
WHEN (CASE WHEN NEW.published_at IS NULL THEN OLD.published_at IS NOT NULL ELSE OLD.left_at IS NOT NULL END)
EXECUTE FUNCTION sam3d_leave_event()
""",
)

_ROOM = ("jobs", "events", "submissions", "blobs", "inputs")
"""Tables whose rows are updated: a new version goes beside the old one, and to no index, while its page has room."""


def upgrade() -> None:
    """Write jobs and submits anew, what steps change at the end, with indexes that steps seldom change: it takes seconds."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    for table, columns in _CONSTRAINTS.items():
        for column in columns:
            op.drop_constraint(op.f(f"uq_{table}_{column}"), table)
    _begin_outbox()
    for name in _OLD:
        op.execute(f"DROP INDEX {name}")
    _move_last()
    op.execute(
        f"ALTER TABLE jobs ADD COLUMN stage smallint GENERATED ALWAYS AS ({_STAGE}) STORED, "
        f"ADD COLUMN waits_until timestamptz GENERATED ALWAYS AS ({_WAITS_UNTIL}) STORED"
    )
    op.execute("COMMENT ON COLUMN jobs.stage IS 'a Stage: what indexes know of the state'")
    op.execute("COMMENT ON COLUMN jobs.waits_until IS 'when an accepted row counts as left behind'")
    for name, what in _NEW.items():
        op.execute(f"CREATE {what.format(name)}")
    for table in _ROOM:
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 70)")
    op.execute("ANALYZE jobs")
    op.execute("ANALYZE submissions")


def _begin_outbox() -> None:
    left = "since when it waits though it should be out; set by the relay; null: it does not"
    op.add_column("events", sa.Column("left_at", sa.DateTime(timezone=True), comment=left))
    begins = "of before each that waits has left_at; moved on by the relay"
    op.create_table(
        "outbox",
        sa.Column("id", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("begins_at", sa.DateTime(timezone=True), nullable=False, comment=begins),
        sa.CheckConstraint("id = 1", name=op.f("ck_outbox_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        comment="one row: from when on an event may wait that the relay has not seen",
    )
    for statement in _OUTBOX:
        op.execute(statement)


def _move_last() -> None:
    for name in _CHECKS:
        op.drop_constraint(op.f(f"ck_jobs_{name}"), "jobs")
    for table, columns in _LAST.items():
        names = ", ".join(f"'{name}'" for group in columns for name in group)
        op.execute(_MOVE.format(table=table, columns=names))
    checks = (f"ADD CONSTRAINT ck_jobs_{name} CHECK ({what})" for name, what in _CHECKS.items())
    op.execute(f"ALTER TABLE jobs {', '.join(checks)}")


def downgrade() -> None:
    """Undo it, but for the order of columns, which nothing depends on."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    for name in _NEW:
        op.execute(f"DROP INDEX {name}")
    for table in _ROOM:
        op.execute(f"ALTER TABLE {table} RESET (fillfactor)")
    op.execute("DROP TRIGGER sam3d_leave_event ON events")
    op.execute("DROP FUNCTION sam3d_leave_event")
    op.drop_table("outbox")
    op.drop_column("events", "left_at")
    op.execute("ALTER TABLE jobs DROP COLUMN stage, DROP COLUMN waits_until")
    for name, what in _OLD.items():
        op.execute(f"CREATE {what.format(name)}")
    for table, columns in _CONSTRAINTS.items():
        for column in columns:
            op.create_unique_constraint(op.f(f"uq_{table}_{column}"), table, [column])
