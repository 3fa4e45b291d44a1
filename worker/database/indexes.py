"""The indexes of jobs. Each has only the rows that are looked for in it: one more is written to for each job."""

from sqlalchemy import Index, text

_LIVE = "state NOT IN ('succeeded', 'failed', 'cancelled')"

OF_JOBS = (
    *(
        Index(f"uq_jobs_{name}", name, unique=True, postgresql_where=text(f"{name} IS NOT NULL"))
        for name in ("body_id", "retry_of", "request_id")
    ),
    Index("ix_jobs_idempotency_key", "idempotency_key", postgresql_where=text("idempotency_key IS NOT NULL")),
    Index(
        "uq_jobs_shared_run",
        "share_key",
        unique=True,
        postgresql_where=text("is_shared AND state NOT IN ('failed', 'cancelled')"),
    ),
    Index("ix_jobs_shares", "shares", "state", postgresql_where=text("shares IS NOT NULL")),
    Index(
        "uq_jobs_owned_key",
        text("coalesce(source, '')"),
        "idempotency_key",
        unique=True,
        postgresql_where=text("idempotency_key IS NOT NULL AND state NOT IN ('failed', 'cancelled')"),
    ),
    Index("ix_jobs_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    Index("ix_jobs_overdue", "sweep_at", postgresql_where=text(_LIVE)),
    Index(
        "ix_jobs_waiting",
        "account",
        text("priority DESC"),
        "accepted_at",
        postgresql_where=text("state = 'accepted'"),
    ),
    Index("ix_jobs_submitting", "due_at", postgresql_where=text("state = 'submitting'")),
    Index(
        "ix_jobs_run_id",
        text("lower(replace(request_id, '-', ''))"),
        postgresql_where=text("request_id IS NOT NULL"),
    ),
    Index("ix_jobs_recent", text("accepted_at DESC")),
    Index("ix_jobs_submitted", "account", text("submitted_at DESC"), postgresql_where=text("submitted_at IS NOT NULL")),
)
