"""The indexes of jobs: each has only the rows that are looked for in it.

None has a column, in its condition neither, that most steps change: the new version of a row would go to all of them.
"""

from sqlalchemy import Index, text

from worker.database.stages import Stage

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
        postgresql_where=text("is_shared AND stage IS NOT NULL"),
    ),
    Index("ix_jobs_shares", "shares", "stage", postgresql_where=text("shares IS NOT NULL")),
    Index(
        "uq_jobs_owned_key",
        text("coalesce(source, '')"),
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL AND stage IS NOT NULL"),
    ),
    Index("ix_jobs_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    Index("ix_jobs_live", "stage", "waits_until", postgresql_where=text(f"stage <= {Stage.LATER}")),
    Index(
        "ix_jobs_waiting",
        "account",
        text("priority DESC"),
        "accepted_at",
        postgresql_where=text(f"stage = {Stage.WAITING}"),
    ),
    Index(
        "uq_jobs_run_id",
        text("lower(replace(request_id, '-', ''))"),
        unique=True,
        postgresql_where=text("request_id IS NOT NULL"),
    ),
    Index("ix_jobs_recent", text("accepted_at DESC")),
    Index("ix_jobs_submitted", "account", text("submitted_at DESC"), postgresql_where=text("submitted_at IS NOT NULL")),
)
