"""The indexes of jobs: each has only the rows that are looked for in it.

None has a column, in its condition neither, that most steps change: the new version of a row would go to all of them.
"""

from sqlalchemy import Index, text

from worker.database.phases import Phase

OF_JOBS = (
    *(
        Index(f"uq_jobs_{name}", name, unique=True, postgresql_where=text(f"{name} IS NOT NULL"))
        for name in ("body_id", "retry_of")
    ),
    Index("ix_jobs_idempotency_key", "idempotency_key", postgresql_where=text("idempotency_key IS NOT NULL")),
    Index(
        "uq_jobs_shared_run",
        "share_key",
        unique=True,
        postgresql_where=text("is_shared AND phase IS NOT NULL"),
    ),
    Index("ix_jobs_shares", "shares", "phase", postgresql_where=text("shares IS NOT NULL")),
    Index(
        "uq_jobs_owned_key",
        text("coalesce(source, '')"),
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL AND phase IS NOT NULL"),
    ),
    Index("ix_jobs_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    Index(
        "ix_jobs_live",
        "phase",
        "accepted_at",
        postgresql_where=text(f"phase >= {Phase.UNDER_WAY} AND phase <= {Phase.LATER}"),
    ),
    Index(
        "ix_jobs_waiting",
        "account",
        text("priority DESC"),
        "accepted_at",
        postgresql_where=text(f"phase = {Phase.WAITING}"),
    ),
    Index("ix_jobs_awaited", "waits_until", postgresql_where=text("waits_until IS NOT NULL")),
)
