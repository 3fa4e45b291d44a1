"""The tables. Times are set by the database's clock, through ``sam3d_now()``, which a test can shift."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    and_,
    func,
    literal_column,
    or_,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from worker.database.indexes import OF_JOBS
from worker.database.phases import PHASE, STAGE, WAITS_UNTIL, Phase
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

TIME = DateTime(timezone=True)
NOW = text("sam3d_now()")
ROOMY = {"fillfactor": 70}
"""Leaves room in each page, so that the new version of a row goes beside the old one, and then to no index."""
_STATES = ", ".join(f"'{state}'" for state in JobState)


accounts = Table(
    "accounts",
    metadata,
    Column("name", Text, primary_key=True, comment="`default` if unnamed"),
    Column("held_at", TIME, comment="since when the account is stopped; null: it works"),
    Column("held_cause", Text, comment="why the vendor refuses it: a HoldCause"),
    Column("held_message", Text, comment="a sentence for the operator"),
    Column(
        "stops_reads",
        Boolean,
        nullable=False,
        server_default="false",
        comment="whether polls and fetches wait as well: the key is refused, not only submits",
    ),
    Column("probed_at", TIME, comment="when the held account was last tried"),
    Column("probe_job_id", Uuid(as_uuid=False), comment="the one job that may try the held account"),
    Column(
        "refused_probes",
        Integer,
        nullable=False,
        server_default="0",
        comment="jobs that were let through since it is held, and refused",
    ),
    Column("paused_at", TIME, comment="since when a person stops its submits, whatever the vendor does; null: nobody"),
    Column("paused_message", Text, comment="why, as that person says"),
    Column("resumed_at", TIME, comment="when it went on last"),
    Column(
        "unknown_submits",
        Integer,
        nullable=False,
        server_default="0",
        comment="submits in a row whose answer does not tell, none accepted in between",
    ),
    Column("next_slot_at", TIME, comment="when the request budget allows the next request; null: none was drawn yet"),
    Column("closed_until", TIME, comment="until when the vendor's request limit is used up"),
    Column("closed_at", TIME, comment="since when it is, where the vendor named the end"),
    Column(
        "closes_reads",
        Boolean,
        nullable=False,
        server_default="false",
        comment="whether it is used up for polls and results as well",
    ),
    Column("reads_count", Boolean, comment="whether reads were found to count against the limit; null: not known"),
    Column("learnt_limit", Numeric, comment="requests a minute that the vendor was found to allow; null: as set"),
    Column("learnt_at", TIME, comment="when it was lowered; it rises from then on"),
    Column("single_look", Boolean, comment="whether a look at a result also tells that it runs; null: unknown"),
    Column("single_look_at", TIME, comment="when that was seen; that it does not counts for a day"),
    Column("compared_with", Text, comment="the incarnation of the database that was compared last; null: none was yet"),
    Column("missing_since", TIME, comment="from when on submits are missing that a process knows of; null: none is"),
    Column("settled_until", TIME, comment="submits until then may be missing: deleted, or compared since"),
    comment="one row for each account at the vendor",
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True, comment="the request's identity"),
    Column("account", Text, ForeignKey("accounts.name"), nullable=False, server_default="default", comment="who pays"),
    Column("state", Text, nullable=False, comment="a JobState"),
    Column("stage", SmallInteger, Computed(STAGE), comment="for workers of the last release"),
    Column("phase", SmallInteger, Computed(PHASE), comment="a Phase: what indexes know of the state"),
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
    Column("idempotency_key", Text, comment="the sender's; another payload under it is refused"),
    Column(
        "body_id",
        Uuid(as_uuid=False),
        comment="the identity that its message's body gives it, for a while",
    ),
    Column(
        "retry_of",
        Uuid(as_uuid=False),
        ForeignKey("jobs.id", ondelete="SET NULL"),
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
    Column("due_at", TIME, nullable=False, server_default=NOW, comment="when the next step is due"),
    Column("sweep_at", TIME, nullable=False, server_default=NOW, comment="when the row counts as left behind"),
    Column("waits_until", TIME, Computed(WAITS_UNTIL), comment="when an accepted row counts as left behind"),
    Column("lease_until", TIME, comment="until when a worker owns the row; null: nobody does"),
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
    Column("refused_at", TIME, comment="since when the reads of its run are refused; null: they are not"),
    Column("broken_files", Integer, nullable=False, server_default="0", comment="outputs that arrived broken"),
    Column("polls", Integer, nullable=False, server_default="0", comment="looks at the vendor's status"),
    Column("requests", Integer, nullable=False, server_default="0", comment="requests to the vendor, polls included"),
    Column("slot_at", TIME, comment="the slot of the request budget that its next request has drawn"),
    Column("waits_for", Text, comment="why the job is not further, in words"),
    Column("request_id", Text, comment="the vendor's id of the paid run"),
    Column("remote_status", Text, comment="the vendor's status when last seen"),
    Column("metrics", JSONB, comment="the vendor's times in seconds and cost in USD"),
    Column("cost", Numeric, comment="what the run cost, USD"),
    Column("error_code", Text, comment="why it failed, stable"),
    Column("error_field", Text, comment="which field of the request was wrong"),
    Column("error_message", Text, comment="why it failed, a sentence"),
    Column("accepted_at", TIME, nullable=False, server_default=NOW, comment="when the row was committed"),
    Column("submitted_at", TIME, comment="when the vendor had it"),
    Column("vendor_submitted_at", TIME, comment="when the vendor had it, by its own clock; null: it did not say"),
    Column("running_at", TIME, comment="when the run was last seen not to be over"),
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
    Column(
        "missing",
        JSONB(none_as_null=True),
        comment="files that were not to be had beside its model, each with the reason",
    ),
    Column("share_key", Text, comment="what requests have in common that may share a run; null: it has its own"),
    Column(
        "is_shared",
        Boolean,
        nullable=False,
        server_default="false",
        comment="whether it is a run that jobs share: nobody's own request, and announced to them",
    ),
    Column(
        "shares",
        Uuid(as_uuid=False),
        ForeignKey("jobs.id", ondelete="SET NULL", deferrable=True, initially="DEFERRED"),
        comment="the row of the run that it shares",
    ),
    Column(
        "result",
        JSONB(none_as_null=True),
        comment="what the vendor said of its run that completed, and whether that is all of it",
    ),
    Column("completed_at", TIME, comment="when the run was seen to be over"),
    Column("finished_at", TIME, comment="when the job became final"),
    CheckConstraint(f"state IN ({_STATES})", name="state"),
    CheckConstraint("state NOT IN ('processing', 'fetching') OR request_id IS NOT NULL", name="request_id"),
    CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name="error_code"),
    CheckConstraint("state <> 'sharing' OR shares IS NOT NULL", name="shares"),
    *OF_JOBS,
    postgresql_with={"fillfactor": 45},  # A row is twice as long in the end.
    comment="one row for each request",
)

WAITING = literal_column(str(int(Phase.WAITING)), SmallInteger)
"""The phase of an accepted job as statements name it: as a parameter, no plan for all parameters had an index of it."""

_is_begun = and_(jobs.c.phase >= Phase.UNDER_WAY, jobs.c.phase <= Phase.LATER)
"""Whether a job is neither accepted nor final, as the index of these tells it."""

is_live = or_(jobs.c.phase == Phase.WAITING, _is_begun)
"""Whether a job is not final, as two indexes tell it."""

SEEN = (
    jobs.c.id, jobs.c.account, jobs.c.state, jobs.c.version, jobs.c.parameters, jobs.c.metadata, jobs.c.attempts,
    jobs.c.broken_files, jobs.c.polls, jobs.c.request_id, jobs.c.submitted_at, jobs.c.vendor_submitted_at,
    jobs.c.running_at, jobs.c.gone_looks, jobs.c.requests, jobs.c.metrics, jobs.c.addresses, jobs.c.kept,
    jobs.c.is_shared, jobs.c.shares, now.label("observed_at"),
)  # fmt: skip
"""What a step sees of a job."""
