"""The tables of what a job has: its submits, files, outputs and events; and of what an account has."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from worker.database.tables import NOW, ROOMY, TIME, jobs, metadata

_IS_OPEN = "verdict IS NULL OR verdict IN ('unknown', 'unresolved')"
is_open = literal_column(f"({_IS_OPEN})", Boolean)
"""Whether a submit has no answer that tells, as its index tells it: no parameter could."""

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
    Column(
        "is_addressed",
        Boolean,
        comment="whether a file is sent as an address of our object store; null: by a release that can't",
    ),
    Column("address", Text, comment="a mark of that address, which no other submit has: it names this one"),
    Column("intended_at", TIME, nullable=False, server_default=NOW, comment="committed before the first byte"),
    Column("answered_at", TIME, comment="when the answer was written; null: none is known"),
    Column("http_status", SmallInteger, comment="what the vendor answered with; null: nothing came"),
    Column(
        "verdict",
        Text,
        comment="accepted, refused, held, disputed, not_started, unknown; or, looked up: adopted, absent, unresolved",
    ),
    Column("request_id", Text, comment="the vendor's id, as answered or as found in its history"),
    Column("run", Text, comment="that id in one writing: a run is one POST's"),
    Column("told", Text, comment="the run that its answer named, whoever's it turns out to be"),
    Column("detail", Text, comment="what came in place of an id, in words"),
    Column("missed_at", TIME, comment="when the request history last did not list its run, though it was read whole"),
    Column("looked_at", TIME, comment="when the history was last searched for it, once nothing waits for it"),
    Index("ix_submissions_intended_at", "intended_at"),
    Index("ix_submissions_open", "intended_at", postgresql_where=text(_IS_OPEN)),
    Index("uq_submissions_address", "address", unique=True, postgresql_where=text("address IS NOT NULL")),
    Index("uq_submissions_run", "run", unique=True, postgresql_where=text("run IS NOT NULL")),
    Index("ix_submissions_told", "told", postgresql_where=text("told IS NOT NULL AND run IS DISTINCT FROM told")),
    Index(
        "ix_submissions_run_id",
        text("lower(replace(request_id, '-', ''))"),
        postgresql_where=text("run IS NULL AND request_id IS NOT NULL"),
    ),
    postgresql_with=ROOMY,
    comment="one row for each POST that may cost money, written before it: the ledger",
)


strays = Table(
    "strays",
    metadata,
    Column("run", Text, primary_key=True, comment="the vendor's id in one writing"),
    Column("request_id", Text, nullable=False, comment="the vendor's id as it gave it"),
    Column("inputs", JSONB, nullable=False, comment="a mark of each input as sent"),
    Column("placed", JSONB(none_as_null=True), comment="the same with the places of URLs, where it has some"),
    Column("remote_status", Text, nullable=False, comment="as it was listed"),
    Column("made_at", TIME, nullable=False, comment="when the vendor had it"),
    comment="runs of jobs that were lost when the database was set back: for whoever sends the same request again",
)


requests = Table(
    "requests",
    metadata,
    Column("account", Text, ForeignKey("accounts.name"), primary_key=True),
    Column("minute", TIME, primary_key=True, comment="its beginning"),
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
    Column("content", LargeBinary, comment="the file; null: at url or location, or gone, as its job has ended"),
    Column("location", Text, comment="of its blob in the object store, which is sent as an address"),
    Column("place", Text, comment="a mark of where such an address leads, whoever signs it and when"),
    CheckConstraint("(url IS NULL) <> (content IS NULL AND sha256 IS NULL)", name="where"),
    Index("ix_inputs_kept", "job_id", postgresql_where=text("content IS NOT NULL")),
    Index("ix_inputs_location", "location", postgresql_where=text("location IS NOT NULL")),
    postgresql_with=ROOMY,
    comment="the files of a request",
)


files_are_of = func.coalesce(jobs.c.shares, jobs.c.id)
"""Whose row has a job's files and submits: its own, or that of the run that it shares."""


outputs = Table(
    "outputs",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("job_id", Uuid(as_uuid=False), ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False, comment="ours, never the vendor's: model.glb, artifacts.zip"),
    Column("media_type", Text, nullable=False, comment="as found in the content"),
    Column("bytes", BigInteger, nullable=False, comment="size of the file"),
    Column("sha256", Text, nullable=False, comment="of the file"),
    Column("stored_at", TIME, nullable=False, server_default=NOW, comment="when it was committed"),
    Column("location", Text, comment="of its blob; null: in output_chunks, from an earlier release"),
    Column("role", Text, nullable=False, server_default="output", comment="output, or evidence of what was no output"),
    Column("geometry", JSONB(none_as_null=True), comment="what was found in a model"),
    Index("uq_outputs_job_id_name", "job_id", "name", unique=True),
    Index("ix_outputs_stored", "role", "stored_at"),
    Index("ix_outputs_location", "location", postgresql_using="hash", postgresql_where=text("location IS NOT NULL")),
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


blobs = Table(
    "blobs",
    metadata,
    Column("location", Text, primary_key=True, comment="which store, and the file's place in it, by its SHA-256"),
    Column("bytes", BigInteger, nullable=False, comment="size of the file"),
    Column(
        "is_whole",
        Boolean,
        nullable=False,
        server_default="false",
        comment="whether PostgreSQL has all of it; of an object its store tells",
    ),
    Column(
        "loose_since",
        TIME,
        server_default=NOW,
        comment="since when no row names it, if none does: put last, or let go by one; null: by an earlier release",
    ),
    comment="the files in each store, written before their first byte and deleted after their last",
)


walks = Table(
    "walks",
    metadata,
    Column("name", Text, primary_key=True, comment="the table that is walked through"),
    Column("reached", Text, nullable=False, comment="its last row that was looked at, by its key"),
    comment="how far the upkeep has come in tables that it looks through a little at a time, again and again",
)


blob_chunks = Table(
    "blob_chunks",
    metadata,
    Column("location", Text, ForeignKey("blobs.location", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True, comment="from 0"),
    Column("content", LargeBinary, nullable=False, comment="at most one chunk's length"),
    comment="the bytes of files that are kept here, in chunks, so that none is ever whole in memory",
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
    Column("position", BigInteger, Identity(), nullable=False, comment="the order of the history"),
    Column(
        "job_id",
        Uuid(as_uuid=False),
        index=True,
        comment="the subject; not a key, as a refused one has no job",
    ),
    Column("type", Text, nullable=False, comment="the CloudEvent's type and routing key"),
    Column("payload", JSONB, nullable=False, comment="the CloudEvent's data"),
    Column("occurred_at", TIME, nullable=False, server_default=NOW, comment="the CloudEvent's time"),
    Column("published_at", TIME, comment="when the broker confirmed it; null: it waits in the outbox"),
    Column("was_routed", Boolean, comment="whether a queue was bound for it"),
    Column("duplicate_of", Uuid(as_uuid=False), comment="the event that it tells again"),
    Column("correlation_id", Text, comment="what the sender calls its message"),
    Column("left_at", TIME, comment="since when it waits though it should be out; set by the relay; null: it does not"),
    Index("ix_events_occurred_at", "occurred_at", postgresql_where=text("substr(id::text, 15, 1) <> '7'")),
    Index("ix_events_outbox", "position", postgresql_where=text("left_at IS NOT NULL")),
    comment="the outbox, and the history of each job",
    postgresql_with=ROOMY,
)


outbox = Table(
    "outbox",
    metadata,
    Column("id", SmallInteger, primary_key=True, server_default="1"),
    Column("begins_at", TIME, nullable=False, comment="of before each that waits has left_at; moved on by the relay"),
    CheckConstraint("id = 1", name="id"),
    comment="one row: from when on an event may wait that the relay has not seen",
)
