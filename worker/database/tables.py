"""The tables. Times are set by the database's clock, through ``sam3d_now()``, which a test can shift."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from worker.rules.lifecycle import JobState

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

now = func.sam3d_now(type_=DateTime(timezone=True))
"""The database's time."""

incarnation = func.sam3d_incarnation(type_=Text)
"""Names the life of the database that answers: another one after each start of its server, and after each restore."""

_TIME = DateTime(timezone=True)
_NOW = text("sam3d_now()")
_LIVE = "state NOT IN ('succeeded', 'failed', 'cancelled')"
_STATES = ", ".join(f"'{state}'" for state in JobState)


accounts = Table(
    "accounts",
    metadata,
    Column("name", Text, primary_key=True, comment="`default` if unnamed"),
    Column("held_at", _TIME, comment="since when the account is stopped; null: it works"),
    Column("held_cause", Text, comment="why the vendor refuses it: a HoldCause"),
    Column("held_message", Text, comment="a sentence for the operator"),
    Column(
        "stops_reads",
        Boolean,
        nullable=False,
        server_default="false",
        comment="whether polls and fetches wait as well: the key is refused, not only submits",
    ),
    Column("probed_at", _TIME, comment="when the held account was last tried"),
    Column("probe_job_id", Uuid(as_uuid=False), comment="the one job that may try the held account"),
    Column(
        "refused_probes",
        Integer,
        nullable=False,
        server_default="0",
        comment="jobs that were let through since it is held, and refused",
    ),
    Column("paused_at", _TIME, comment="since when a person stops its submits, whatever the vendor does; null: nobody"),
    Column("paused_message", Text, comment="why, as that person says"),
    Column("resumed_at", _TIME, comment="when it went on last"),
    Column(
        "unknown_submits",
        Integer,
        nullable=False,
        server_default="0",
        comment="submits in a row whose answer does not tell, none accepted in between",
    ),
    Column("next_slot_at", _TIME, comment="when the request budget allows the next request; null: none was drawn yet"),
    Column("closed_until", _TIME, comment="until when the vendor's request limit is used up"),
    Column("closed_at", _TIME, comment="since when it is, where the vendor named the end"),
    Column(
        "closes_reads",
        Boolean,
        nullable=False,
        server_default="false",
        comment="whether it is used up for polls and results as well",
    ),
    Column("reads_count", Boolean, comment="whether reads were found to count against the limit; null: not known"),
    Column("learnt_limit", Numeric, comment="requests a minute that the vendor was found to allow; null: as set"),
    Column("learnt_at", _TIME, comment="when it was lowered; it rises from then on"),
    Column("single_look", Boolean, comment="whether a look at a result also tells that it runs; null: unknown"),
    Column("single_look_at", _TIME, comment="when that was seen; that it does not counts for a day"),
    Column("compared_with", Text, comment="the incarnation of the database that was compared last; null: none was yet"),
    Column("missing_since", _TIME, comment="from when on submits are missing that a process knows of; null: none is"),
    Column("settled_until", _TIME, comment="submits until then may be missing: deleted, or compared since"),
    comment="one row for each account at the vendor",
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True, comment="the request's identity"),
    Column(
        "account",
        Text,
        ForeignKey("accounts.name"),
        nullable=False,
        server_default="default",
        comment="who pays",
    ),
    Column("state", Text, nullable=False, comment="a JobState"),
    Column(
        "version",
        Integer,
        nullable=False,
        server_default="1",
        comment="counts the writes; the fence of every step",
    ),
    Column(
        "source",
        Text,
        comment="who sent it, by the broker or its CloudEvent; its key is his own; empty: nobody says; null: nobody "
        "asked yet",
    ),
    Column("correlation_id", Text, comment="what its sender calls the message; given back in events"),
    Column("idempotency_key", Text, index=True, comment="the sender's; another payload under it is refused"),
    Column(
        "body_id",
        Uuid(as_uuid=False),
        unique=True,
        comment="the identity that its message's body gives it, for a while",
    ),
    Column(
        "retry_of",
        Uuid(as_uuid=False),
        ForeignKey("jobs.id", ondelete="SET NULL"),
        unique=True,
        comment="the failed or cancelled job in whose place it is",
    ),
    Column("fingerprint", Text, nullable=False, comment="SHA-256 of the request without its identity"),
    Column(
        "parameters",
        JSONB,
        nullable=False,
        server_default="{}",
        comment="the vendor's parameters, without files",
    ),
    Column("metadata", JSONB, nullable=False, server_default="{}", comment="the sender's, given back untouched"),
    Column("priority", SmallInteger, nullable=False, server_default="0", comment="higher goes first"),
    Column("due_at", _TIME, nullable=False, server_default=_NOW, comment="when the next step is due"),
    Column("sweep_at", _TIME, nullable=False, server_default=_NOW, comment="when the row counts as left behind"),
    Column("lease_until", _TIME, comment="until when a worker owns the row; null: nobody does"),
    Column("session", BigInteger, comment="the session of the process that took the row to read; null: none"),
    Column(
        "expired_leases",
        Integer,
        nullable=False,
        server_default="0",
        comment="workers that died on it in a row",
    ),
    Column("attempts", Integer, nullable=False, server_default="0", comment="failed tries that were tried again"),
    Column(
        "refusals",
        Integer,
        nullable=False,
        server_default="0",
        comment="requests that were refused or left in doubt; a job with fewer tries a held account first",
    ),
    Column("refused_at", _TIME, comment="since when the reads of its run are refused; null: they are not"),
    Column("broken_files", Integer, nullable=False, server_default="0", comment="outputs that arrived broken"),
    Column("polls", Integer, nullable=False, server_default="0", comment="looks at the vendor's status"),
    Column("requests", Integer, nullable=False, server_default="0", comment="requests to the vendor, polls included"),
    Column("slot_at", _TIME, comment="the slot of the request budget that its next request has drawn"),
    Column("waits_for", Text, comment="why the job is not further, in words"),
    Column("request_id", Text, unique=True, comment="the vendor's id of the paid run"),
    Column("remote_status", Text, comment="the vendor's status when last seen"),
    Column("metrics", JSONB, comment="the vendor's times in seconds and cost in USD"),
    Column("cost", Numeric, comment="what the run cost, USD"),
    Column("error_code", Text, comment="why it failed, stable"),
    Column("error_field", Text, comment="which field of the request was wrong"),
    Column("error_message", Text, comment="why it failed, a sentence"),
    Column("accepted_at", _TIME, nullable=False, server_default=_NOW, comment="when the row was committed"),
    Column("submitted_at", _TIME, comment="when the vendor had it"),
    Column("vendor_submitted_at", _TIME, comment="when the vendor had it, by its own clock; null: it did not say"),
    Column("running_at", _TIME, comment="when the run was last seen not to be over"),
    Column(
        "gone_looks",
        Integer,
        nullable=False,
        server_default="0",
        comment="looks in a row, after its hour at the vendor, that found nothing",
    ),
    Column(
        "addresses",
        JSONB(none_as_null=True),
        comment="where outputs are that are not stored yet; null: to be asked for",
    ),
    Column(
        "kept", JSONB(none_as_null=True), comment="where each output came from that is stored already, with its name"
    ),
    Column("completed_at", _TIME, comment="when the run was seen to be over"),
    Column("finished_at", _TIME, comment="when the job became final"),
    CheckConstraint(f"state IN ({_STATES})", name="state"),
    CheckConstraint("state NOT IN ('processing', 'fetching') OR request_id IS NOT NULL", name="request_id"),
    CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name="error_code"),
    Index(
        "uq_jobs_owned_key",
        text("coalesce(source, '')"),
        "idempotency_key",
        unique=True,
        postgresql_where=text("state NOT IN ('failed', 'cancelled')"),
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
    Index("ix_jobs_run_id", text("lower(replace(request_id, '-', ''))")),
    Index("ix_jobs_recent", text("accepted_at DESC")),
    Index("ix_jobs_submitted", "account", text("submitted_at DESC"), postgresql_where=text("submitted_at IS NOT NULL")),
    comment="one row for each request",
)

submissions = Table(
    "submissions",
    metadata,
    Column("token", Uuid(as_uuid=False), primary_key=True, comment="names the POST; its answer is written by it"),
    Column("job_id", Uuid(as_uuid=False), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("worker", Text, nullable=False, comment="host and process that made the POST"),
    Column("session", BigInteger, comment="the advisory lock that this process holds while it lives"),
    Column("inputs_sha256", Text, comment="of the inputs as sent, for workers of the last release"),
    Column("inputs", JSONB, comment="a mark of each input as sent: what the request history is searched for"),
    Column("is_inline", Boolean, comment="whether a file was sent in the body, not as a URL"),
    Column("intended_at", _TIME, nullable=False, server_default=_NOW, comment="committed before the first byte"),
    Column("answered_at", _TIME, comment="when the answer was written; null: none is known"),
    Column("http_status", SmallInteger, comment="what the vendor answered with; null: nothing came"),
    Column(
        "verdict",
        Text,
        comment="accepted, refused, held, disputed, not_started, unknown; or, looked up: adopted, absent, unresolved",
    ),
    Column("request_id", Text, index=True, comment="the vendor's id, as answered or as found in its history"),
    Column("run", Text, unique=True, comment="that id in one writing: a run is one POST's"),
    Column("told", Text, index=True, comment="the run that its answer named, whoever's it turns out to be"),
    Column("detail", Text, comment="what came in place of an id, in words"),
    Column("missed_at", _TIME, comment="when the request history last did not list its run, though it was read whole"),
    Column("looked_at", _TIME, comment="when the history was last searched for it, once nothing waits for it"),
    Index("ix_submissions_intended_at", "intended_at"),
    Index("ix_submissions_run_id", text("lower(replace(request_id, '-', ''))")),
    Index("ix_submissions_answered", text("answered_at DESC"), postgresql_where=text("answered_at IS NOT NULL")),
    comment="one row for each POST that may cost money, written before it: the ledger",
)

strays = Table(
    "strays",
    metadata,
    Column("run", Text, primary_key=True, comment="the vendor's id in one writing"),
    Column("request_id", Text, nullable=False, comment="the vendor's id as it gave it"),
    Column("inputs", JSONB, nullable=False, comment="a mark of each input as sent"),
    Column("remote_status", Text, nullable=False, comment="as it was listed"),
    Column("made_at", _TIME, nullable=False, comment="when the vendor had it"),
    comment="runs of jobs that were lost when the database was set back: for whoever sends the same request again",
)

requests = Table(
    "requests",
    metadata,
    Column("account", Text, ForeignKey("accounts.name"), primary_key=True),
    Column("minute", _TIME, primary_key=True, comment="its beginning"),
    Column(
        "kind", Text, primary_key=True, comment="submit, poll, fetch, probe, history; or limited: answered with 429"
    ),
    Column("count", Integer, nullable=False, server_default="1"),
    comment="what the request budget was used for",
)

inputs = Table(
    "inputs",
    metadata,
    Column("job_id", Uuid(as_uuid=False), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True, comment="image or mask"),
    Column("url", Text, comment="where the vendor reads it from; null: in content"),
    Column("media_type", Text, comment="as found in the content"),
    Column("bytes", BigInteger, comment="size of the content"),
    Column("sha256", Text, comment="of the content"),
    Column("content", LargeBinary, comment="the file; null: at url, or gone, as its job has ended"),
    CheckConstraint("(url IS NULL) <> (content IS NULL AND sha256 IS NULL)", name="where"),
    Index("ix_inputs_kept", "job_id", postgresql_where=text("content IS NOT NULL")),
    comment="the files of a request",
)

outputs = Table(
    "outputs",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("job_id", Uuid(as_uuid=False), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False, comment="ours, never the vendor's: model.glb, artifacts.zip"),
    Column("media_type", Text, nullable=False, comment="as found in the content"),
    Column("bytes", BigInteger, nullable=False, comment="size of the file"),
    Column("sha256", Text, nullable=False, comment="of the file"),
    Column("stored_at", _TIME, nullable=False, server_default=_NOW, comment="when it was committed"),
    Index("uq_outputs_job_id_name", "job_id", "name", unique=True),
    comment="what was made",
)

output_chunks = Table(
    "output_chunks",
    metadata,
    Column("output_id", BigInteger, ForeignKey("outputs.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, comment="from 0"),
    Column("content", LargeBinary, nullable=False, comment="at most one chunk's length"),
    comment="the bytes of outputs, in chunks, so that no file is ever whole in memory",
)

events = Table(
    "events",
    metadata,
    Column(
        "id",
        Uuid(as_uuid=False),
        primary_key=True,
        comment="the CloudEvent's id; the same however often it is sent",
    ),
    Column("position", BigInteger, Identity(), nullable=False, unique=True, comment="the order of the history"),
    Column(
        "job_id",
        Uuid(as_uuid=False),
        index=True,
        comment="the subject; not a key, as a refused one has no job",
    ),
    Column("type", Text, nullable=False, comment="the CloudEvent's type and routing key"),
    Column("payload", JSONB, nullable=False, comment="the CloudEvent's data"),
    Column("occurred_at", _TIME, nullable=False, server_default=_NOW, index=True, comment="the CloudEvent's time"),
    Column("published_at", _TIME, comment="when the broker confirmed it; null: it waits in the outbox"),
    Column("was_routed", Boolean, comment="whether a queue was bound for it"),
    Column("duplicate_of", Uuid(as_uuid=False), comment="the event that it tells again"),
    Column("correlation_id", Text, comment="what the sender calls its message"),
    Index("ix_events_outbox", "position", postgresql_where=text("published_at IS NULL")),
    comment="the outbox, and the history of each job",
)
