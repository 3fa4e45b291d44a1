"""Look once for the end and the result of a run

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-24 11:30:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_TIME = sa.DateTime(timezone=True)
_KINDS = "submit, poll, fetch, probe; or limited: answered with 429"
_KINDS_NOW = "submit, poll, fetch, probe, history; or limited: answered with 429"
COLUMNS = {
    "jobs": (
        sa.Column(
            "vendor_submitted_at", _TIME, comment="when the vendor had it, by its own clock; null: it did not say"
        ),
        sa.Column(
            "gone_looks",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="looks in a row, after its hour at the vendor, that found nothing",
        ),
        sa.Column("addresses", JSONB(), comment="where outputs are that are not stored yet; null: to be asked for"),
        sa.Column("kept", JSONB(), comment="where each output came from that is stored already, with its name"),
    ),
    "accounts": (
        sa.Column(
            "single_look", sa.Boolean(), comment="whether a look at a result also tells that it runs; null: unknown"
        ),
        sa.Column("single_look_at", _TIME, comment="when that was seen; that it does not counts for a day"),
    ),
}


def upgrade() -> None:
    """Look once for the end and the result of a run."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    for table, columns in COLUMNS.items():
        for column in columns:
            op.add_column(table, column)
    op.alter_column("requests", "kind", existing_type=sa.Text(), comment=_KINDS_NOW, existing_comment=_KINDS)


def downgrade() -> None:
    """Undo it."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.alter_column("requests", "kind", existing_type=sa.Text(), comment=_KINDS, existing_comment=_KINDS_NOW)
    for table, columns in COLUMNS.items():
        for column in columns:
            op.drop_column(table, column.name)
