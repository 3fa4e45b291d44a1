"""How the service works, in the order that `sam3d config` and docs/operations.md list it."""

from datetime import timedelta
from typing import Literal

from worker.config.kinds import Age, Group, Positive, Seconds, StoreAddress, variable
from worker.rules.lifecycle import Step
from worker.rules.urls import can_sign


class TelemetrySettings(Group):
    """What is shown of a process."""

    health_port: int | None = variable(
        "SAM3D_HEALTH_PORT",
        None,
        "Port of `/livez`, `/readyz` and the scheduler's `/metrics`; unset: off.",
        ge=1,
        le=65535,
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = variable(
        "SAM3D_LOG_LEVEL", "INFO", "Least level that is logged."
    )


class BudgetSettings(Group):
    """The vendor's limit of requests, and what is asked within it."""

    limit: int | None = variable(
        "SAM3D_REQUESTS_PER_MINUTE",
        None,
        "The vendor's limit for the key; all workers share it. Unset: none of ours.",
        ge=1,
        le=100_000,
    )
    reads_count: Literal["auto", "yes", "no"] = variable(
        "SAM3D_READS_COUNT",
        "auto",
        "Whether polls and results count against that limit; `auto` assumes so until it is seen.",
    )
    bulk_look: Literal["on", "off"] = variable(
        "SAM3D_BULK_LOOK", "off", "Whether one page of the request history takes the place of many polls that are due."
    )


class RunSettings(Group):
    """How long a run of the vendor takes, how long a call about it may, and how long it is known."""

    expected: Seconds = variable(
        "SAM3D_EXPECTED_RUN", timedelta(seconds=31.7), "Typical run until some were seen, s; the vendor publishes 31.7."
    )
    submit_deadline: Positive = variable("SAM3D_SUBMIT_DEADLINE", timedelta(seconds=30), "Whole submit, s.")
    read_deadline: Positive = variable("SAM3D_READ_DEADLINE", timedelta(seconds=20), "Whole status or result call, s.")
    download_deadline: Positive = variable(
        "SAM3D_DOWNLOAD_DEADLINE", timedelta(seconds=90), "Whole download of a job's outputs, s."
    )
    lease_margin: Positive = variable(
        "SAM3D_LEASE_MARGIN", timedelta(seconds=15), "A lease is a step's deadlines and this, s."
    )
    record_lifetime: Positive = variable(
        "SAM3D_RECORD_LIFETIME",
        timedelta(hours=1),
        "For how long the vendor knows a run, s; no 404 ends a job before that, and no age alone does.",
    )

    def time_for(self, *steps: Step) -> timedelta:
        """Return within what the calls of steps must end, counted from before their job is taken."""
        within = {
            Step.SUBMIT: self.submit_deadline,
            Step.POLL: self.read_deadline,
            Step.FETCH: self.read_deadline + self.download_deadline,
        }
        return sum((within[step] for step in steps), timedelta(0))

    def lease_for(self, *steps: Step) -> timedelta:
        """Return how long a worker owns a job of which it does these steps in one go."""
        return self.time_for(*steps) + self.lease_margin


class UpkeepSettings(Group):
    """When the clock's duties are done."""

    sweep_interval: Positive = variable("SAM3D_SWEEP_INTERVAL", timedelta(seconds=15), "Between two sweeps, s.")
    sweep_grace: Seconds = variable(
        "SAM3D_SWEEP_GRACE", timedelta(seconds=30), "How late a row must be to be swept, s."
    )
    relay_grace: Seconds = variable(
        "SAM3D_RELAY_GRACE", timedelta(seconds=5), "How old an event must be for the relay, s."
    )
    probe_interval: Positive = variable(
        "SAM3D_PROBE_INTERVAL", timedelta(seconds=60), "Between two probes of a held account, s."
    )


class HistorySettings(Group):
    """What the vendor's request history is read for, and how long it is waited for."""

    mode: Literal["auto", "off"] = variable(
        "SAM3D_HISTORY",
        "auto",
        "Whether the vendor's request history is read: for submits without an answer, for runs that the vendor does "
        "not know or can't show, and after the database was started.",
    )
    settle: Seconds = variable(
        "SAM3D_RECONCILE_SETTLE",
        timedelta(minutes=5),
        "How late a run may be listed in the history, s, if it was not seen later; before that none is absent.",
    )
    deadline: Seconds = variable(
        "SAM3D_RECONCILE_DEADLINE",
        timedelta(minutes=15),
        "How long the history may leave open what became of a submit, s; then it is for a person.",
    )
    compare_wait: Seconds = variable(
        "SAM3D_COMPARE_WAIT",
        timedelta(seconds=8),
        "How long other processes may say what they miss after the database was started, s, before it is compared "
        "with the history.",
    )
    compare_window: Positive = variable(
        "SAM3D_COMPARE_WINDOW",
        timedelta(days=7),
        "How far back the history is compared at most where no process misses anything, s.",
    )


class SubmitSettings(Group):
    """What follows a submit that the vendor answered with an error of its own."""

    server_error: Literal["retry", "review"] = variable(
        "SAM3D_SUBMIT_SERVER_ERROR",
        "review",
        "What a 5xx to a submit leads to where the history can't tell: a person is asked, or it is sent again, as the "
        "vendor allows: where it did start a run, that is paid twice.",
    )
    retry_for: Seconds = variable(
        "SAM3D_SUBMIT_RETRY_FOR",
        timedelta(hours=1),
        "How long a submit answered by a 5xx is sent again with `retry`, s.",
    )


class IntakeSettings(Group):
    """When a message is one that came before."""

    body_identity: Seconds = variable(
        "SAM3D_BODY_IDENTITY",
        timedelta(minutes=10),
        "How long a request that nothing names is known by its body, s; the same body later is a new job.",
    )
    shares_runs: bool = variable(
        "SAM3D_SHARE_RUNS",
        False,
        "Whether equal requests of one sender share a paid run. Upgrade all roles before you set it.",
    )


class StorageSettings(Group):
    """What is kept: where, for how long, and how large it may be."""

    store_url: StoreAddress | None = variable(
        "SAM3D_STORE_URL",
        None,
        "Where files are kept: `s3://bucket/folder`, `gs://…`, `az://…` or `file:///folder`; unset: in PostgreSQL.",
    )
    input_addresses: Literal["on", "off"] = variable(
        "SAM3D_INPUT_ADDRESSES",
        "off",
        "Whether the vendor gets photos as presigned addresses in that store, which it must be able to reach, in place "
        "of their bytes.",
    )
    retention: Age = variable(
        "SAM3D_RETENTION",
        timedelta(days=30),
        "Age at which final jobs are deleted with all that is theirs, s; `never`.",
    )
    output_retention: Age = variable(
        "SAM3D_RETENTION_OUTPUTS", timedelta(days=30), "Age at which the files of final jobs are deleted, s; `never`."
    )
    evidence_retention: Age = variable(
        "SAM3D_RETENTION_EVIDENCE",
        timedelta(days=30),
        "Age at which files are deleted that came in the place of a sound model, s; `never`.",
    )
    keeps_inputs: bool = variable(
        "SAM3D_KEEP_INPUTS", False, "Whether photos are kept after their job has ended, until the job is deleted."
    )
    failed_input_retention: Seconds = variable(
        "SAM3D_KEEP_FAILED_INPUTS", timedelta(days=1), "How long photos of a failed job are kept for `sam3d retry`, s."
    )
    max_output_bytes: int = variable("SAM3D_MAX_OUTPUT_BYTES", 512 * 2**20, "Largest output file that is kept.", ge=1)

    @property
    def sends_addresses(self) -> bool:
        """Whether photos are sent as addresses: that is asked for, and there is a store that can sign some."""
        return self.input_addresses == "on" and can_sign(self.store_url)


class ProcessSettings(Group):
    """How a process works, and when it ends itself."""

    stall_limit: Positive = variable(
        "SAM3D_STALL_LIMIT", timedelta(seconds=120), "How long a loop may stand still before its process exits, s."
    )
    failpoints: str = variable("SAM3D_FAILPOINTS", "", "Only for tests: where a process dies; see `sam3d failpoints`.")
    concurrency: int = variable(
        "SAM3D_CONCURRENCY",
        8,
        "Threads of a worker process, and of the file server: downloads at a time.",
        ge=1,
        le=128,
    )
