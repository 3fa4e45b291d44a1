"""Photos are sent as addresses

Revision ID: 0013
Revises: 0012
Create Date: 2026-11-30 02:30:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_ADDRESSED = "whether a file is sent as an address of our object store; null: by a release that can't"

# Whoever forgets an input, or its job, loosens its file, as with outputs.
_WHEN_DELETED = """
CREATE TRIGGER sam3d_loosen_blob AFTER DELETE ON inputs FOR EACH ROW
WHEN (OLD.location IS NOT NULL) EXECUTE FUNCTION sam3d_loosen_blob()
"""
_WHEN_FORGOTTEN = """
CREATE TRIGGER sam3d_loosen_forgotten AFTER UPDATE OF location ON inputs FOR EACH ROW
WHEN (OLD.location IS NOT NULL AND NEW.location IS DISTINCT FROM OLD.location) EXECUTE FUNCTION sam3d_loosen_blob()
"""

# A worker of the last release would send such a job without its photo: its intent is refused, and the message comes
# again, until one of this release has it.
_KEEP = """
CREATE FUNCTION sam3d_keep_addressed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM inputs WHERE job_id = NEW.job_id AND location IS NOT NULL) THEN
        RAISE EXCEPTION 'the photos of this job are sent as addresses, which this release can not';
    END IF;
    RETURN NEW;
END $$
"""
_WHEN_UNAWARE = """
CREATE TRIGGER sam3d_keep_addressed BEFORE INSERT ON submissions FOR EACH ROW
WHEN (NEW.is_addressed IS NULL) EXECUTE FUNCTION sam3d_keep_addressed()
"""


def upgrade() -> None:
    """Send photos as addresses: of which file, leading where, and which submit each names."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.add_column(
        "inputs",
        sa.Column("location", sa.Text(), comment="of its blob in the object store, which is sent as an address"),
    )
    op.add_column(
        "inputs",
        sa.Column("place", sa.Text(), comment="a mark of where such an address leads, whoever signs it and when"),
    )
    op.alter_column(
        "inputs",
        "content",
        existing_type=sa.LargeBinary(),
        comment="the file; null: at url or location, or gone, as its job has ended",
        existing_comment="the file; null: at url, or gone, as its job has ended",
    )
    op.create_index("ix_inputs_location", "inputs", ["location"], postgresql_where=sa.text("location IS NOT NULL"))
    op.add_column("submissions", sa.Column("is_addressed", sa.Boolean(), comment=_ADDRESSED))
    op.add_column(
        "submissions",
        sa.Column("address", sa.Text(), comment="a mark of that address, which no other submit has: it names this one"),
    )
    op.create_unique_constraint(op.f("uq_submissions_address"), "submissions", ["address"])
    op.add_column(
        "strays",
        sa.Column("placed", postgresql.JSONB(), comment="the same with the places of URLs, where it has some"),
    )
    op.execute(_WHEN_DELETED)
    op.execute(_WHEN_FORGOTTEN)
    op.execute(_KEEP)
    op.execute(_WHEN_UNAWARE)


def downgrade() -> None:
    """Undo it; photos that an object store holds stay there, and their jobs can't be submitted any more."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.execute("DROP TRIGGER sam3d_keep_addressed ON submissions")
    op.execute("DROP FUNCTION sam3d_keep_addressed")
    op.execute("DROP TRIGGER sam3d_loosen_forgotten ON inputs")
    op.execute("DROP TRIGGER sam3d_loosen_blob ON inputs")
    op.drop_column("strays", "placed")
    op.drop_column("submissions", "address")
    op.drop_column("submissions", "is_addressed")
    op.drop_index("ix_inputs_location", table_name="inputs")
    op.alter_column(
        "inputs",
        "content",
        existing_type=sa.LargeBinary(),
        comment="the file; null: at url, or gone, as its job has ended",
        existing_comment="the file; null: at url or location, or gone, as its job has ended",
    )
    op.drop_column("inputs", "place")
    op.drop_column("inputs", "location")
