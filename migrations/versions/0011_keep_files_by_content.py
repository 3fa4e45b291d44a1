"""Files are kept by what they hold

Revision ID: 0011
Revises: 0010
Create Date: 2026-11-29 21:50:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_BACK = """
INSERT INTO output_chunks (output_id, position, content)
SELECT outputs.id, blob_chunks.position, blob_chunks.content
FROM outputs JOIN blob_chunks ON blob_chunks.location = outputs.location
"""

# Whoever deletes an output, the scheduler of the last release and a person among them, loosens its file.
_LOOSEN = """
CREATE FUNCTION sam3d_loosen_blob() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE blobs SET loose_since = sam3d_now() WHERE location = OLD.location;
    RETURN NULL;
END $$
"""
_WHEN_DELETED = """
CREATE TRIGGER sam3d_loosen_blob AFTER DELETE ON outputs FOR EACH ROW
WHEN (OLD.location IS NOT NULL) EXECUTE FUNCTION sam3d_loosen_blob()
"""


def upgrade() -> None:
    """Keep files by what they hold; what workers of the last release store stays beside its row."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.create_table(
        "blobs",
        sa.Column(
            "location", sa.Text(), nullable=False, comment="which store, and the file's place in it, by its SHA-256"
        ),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="size of the file"),
        sa.Column(
            "is_whole",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="whether PostgreSQL has all of it; of an object its store tells",
        ),
        sa.Column(
            "loose_since",
            sa.DateTime(timezone=True),
            server_default=sa.text("sam3d_now()"),
            nullable=True,
            comment="since when no row names it; null: one does",
        ),
        sa.PrimaryKeyConstraint("location", name=op.f("pk_blobs")),
        comment="the files in each store, written before their first byte and deleted after their last",
    )
    op.create_index("ix_blobs_loose", "blobs", ["loose_since"], postgresql_where=sa.text("loose_since IS NOT NULL"))
    op.create_table(
        "blob_chunks",
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False, comment="from 0"),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="at most one chunk's length"),
        sa.ForeignKeyConstraint(
            ["location"], ["blobs.location"], name=op.f("fk_blob_chunks_location"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("location", "position", name=op.f("pk_blob_chunks")),
        comment="the bytes of files that are kept here, in chunks, so that none is ever whole in memory",
    )
    # Models and pictures are compressed already, or hardly can be: trying takes longer than writing them.
    op.execute("ALTER TABLE blob_chunks ALTER COLUMN content SET STORAGE EXTERNAL")
    op.add_column(
        "outputs",
        sa.Column("location", sa.Text(), comment="of its blob; null: in output_chunks, from an earlier release"),
    )
    op.add_column(
        "outputs",
        sa.Column(
            "role",
            sa.Text(),
            server_default="output",
            nullable=False,
            comment="output, or evidence of what was no output",
        ),
    )
    op.create_index("ix_outputs_stored", "outputs", ["role", "stored_at"])
    op.add_column("outputs", sa.Column("geometry", postgresql.JSONB(), comment="what was found in a model"))
    op.add_column(
        "jobs",
        sa.Column(
            "missing",
            postgresql.JSONB(),
            comment="files that were not to be had beside its model, each with the reason",
        ),
    )
    op.create_index("ix_outputs_location", "outputs", ["location"], postgresql_where=sa.text("location IS NOT NULL"))
    op.execute(_LOOSEN)
    op.execute(_WHEN_DELETED)


def downgrade() -> None:
    """Undo it; what an object store holds stays there, and is not found any more."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    op.execute(_BACK)
    op.execute("DROP TRIGGER sam3d_loosen_blob ON outputs")
    op.execute("DROP FUNCTION sam3d_loosen_blob")
    op.drop_index("ix_outputs_location", table_name="outputs")
    op.drop_column("jobs", "missing")
    op.drop_column("outputs", "geometry")
    op.drop_index("ix_outputs_stored", table_name="outputs")
    op.drop_column("outputs", "role")
    op.drop_column("outputs", "location")
    op.drop_table("blob_chunks")
    op.drop_table("blobs")
