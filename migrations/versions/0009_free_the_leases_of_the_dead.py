"""Free the leases of the dead

Revision ID: 0009
Revises: 0008
Create Date: 2026-11-24 11:30:00.000000

Before you commit this: workers of the last release run while it is applied, so add first and drop a release
later; a new NOT NULL column needs a default; all of it is one transaction, so keep it short. The lock
time-out makes a migration fail rather than queue every worker behind it: run it again.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Free the leases of the dead."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '60s'")
    owner = sa.Column(
        "session", sa.BigInteger(), comment="the session of the process that took the row to read; null: none"
    )
    op.add_column("jobs", owner)


def downgrade() -> None:
    """Undo it."""
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.drop_column("jobs", "session")
