"""The database refuses an answer that names a run which another submit knows

Revision ID: 0017
Revises: 0016
Create Date: 2026-11-30 14:00:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# What another has as its run the unique index refuses, which waits for whoever writes that just now. So it is asked
# after it, and each query here sees what is committed by then: who had the run, and has given it back meanwhile.
# An early release wrote it in the vendor's writing alone.
_REFUSE = """
CREATE FUNCTION sam3d_known_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM submissions
        WHERE told = NEW.run AND told IS NOT NULL AND run IS DISTINCT FROM told AND token <> NEW.token
    ) OR EXISTS (
        SELECT FROM submissions
        WHERE lower(replace(request_id, '-', '')) = NEW.run AND run IS NULL AND request_id IS NOT NULL
            AND token <> NEW.token
    ) THEN
        RAISE unique_violation
            USING MESSAGE = 'another submit knows this run', TABLE = 'submissions', CONSTRAINT = 'sam3d_known_run';
    END IF;
    RETURN NULL;
END $$
"""

# What the history or a person tells is no answer: that says whose a run is which others were told. Nor is it asked of
# rows that are there: a run that two know since before stays as it is.
_ASK = """
CREATE TRIGGER sam3d_known_run AFTER UPDATE OF run ON submissions FOR EACH ROW
WHEN (NEW.run IS NOT NULL AND NEW.run IS DISTINCT FROM OLD.run AND NEW.verdict IS DISTINCT FROM 'adopted')
EXECUTE FUNCTION sam3d_known_run()
"""


def upgrade() -> None:
    """Have an answer refused by whatever statement writes it; it writes no row."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute(_REFUSE)
    op.execute(_ASK)


def downgrade() -> None:
    """Undo it."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("DROP TRIGGER sam3d_known_run ON submissions")
    op.execute("DROP FUNCTION sam3d_known_run()")
