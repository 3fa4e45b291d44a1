"""What can be set on the simulator, at its start or while it runs."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from .runtimes import RunTime

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class SimulatorSettings(BaseModel):
    """The simulated vendor's behaviour and the state of its one account."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(0, description="Seed of everything drawn at random.")
    run_time: RunTime = Field(RunTime(), description="Distribution of run times; a number means that many seconds.")
    queue_share: float = Field(0.1, ge=0, le=1, description="Share of the run time that a run is QUEUED.")
    queue_seconds: float | None = Field(None, ge=0, description="Seconds a run is QUEUED, instead of a share.")
    fail_share: float = Field(0.0, ge=0, le=1, description="Share of runs that end FAILED.")
    retry_share: float = Field(0.0, ge=0, le=1, description="Share of finished runs whose metrics have retry_count.")
    credits: float = Field(100.0, description="Credit balance; setting it replaces what is left.")
    free_credits: float = Field(0.0, ge=0, description="Free credits that the balance call shows.")
    credits_status: Literal[402, 406] = Field(402, description="Status of a submit on /v2 without credits.")
    cost: float = Field(0.06, ge=0, description="Credits that a completed run costs.")
    revoked_keys: tuple[str, ...] = Field((), description="Keys of the right form that are answered with 401.")
    model_forbidden: bool = Field(False, description="Answer submits with 403: this account may not call the model.")
    model_retired: bool = Field(False, description="Answer submits with 410.")
    team_limit_period: str | None = Field(None, description="Period of a team limit that is used up, e.g. monthly.")
    team_limit_cap: float = Field(50.0, description="Cap that the team limit's message names, in USD.")
    requests_per_minute: int | None = Field(None, ge=0, description="Fixed window per minute; none: no limit.")
    polls_counted: bool = Field(True, description="Whether reads count against the rate limit, not only submits.")
    reset_header: Literal["iso", "epoch", "missing", "nonsense"] = Field(
        "iso", description="Form of the rate limit's reset header."
    )
    request_ids: Literal["uuid", "hex"] = Field("uuid", description="Form of ids; hex: 32 digits without dashes.")
    known_after_seconds: float = Field(0.0, ge=0, description="Seconds after a submit that reads answer 404.")
    unfinished_result: Literal["status", "404", "202", "empty"] = Field(
        "status", description="What GET /v2/requests/{id} answers before the end."
    )
    output_delay_seconds: float = Field(0.0, ge=0, description="Seconds after the end that the output is null.")
    extra_files: tuple[FileName, ...] = Field((), description="Outputs beside the model, e.g. splat.ply, scene.obj.")
    output_padding_bytes: int = Field(0, ge=0, le=2**30, description="Bytes that a model has and does not show.")
    output_ranges: bool = Field(True, description="Whether a part of an output file can be asked for.")
    output_shape: Literal["url", "list", "object"] = Field("url", description="Shape of a result's output.")
    history_available: bool = Field(True, description="Whether the request history answers; else 404.")
    history_wrapping: str = Field("data", min_length=1, description="Key of the rows in a page; list: no object.")
    history_delay_seconds: float = Field(0.0, ge=0, description="Seconds after a submit until its rows appear.")
    history_delay_spread_seconds: float = Field(0.0, ge=0, description="Longest further delay, drawn for each run.")
    history_output_delay_seconds: float = Field(0.0, ge=0, description="Seconds after the end without an address.")
    history_images: Literal["as_sent", "dropped", "url", "stripped", "rehosted", "digest"] = Field(
        "as_sent",
        description=(
            "How rows show pictures. url: sent bytes are at an address; stripped: URLs lack their query; "
            "rehosted: all are elsewhere; digest: all as that."
        ),
    )
    history_utc_offset_minutes: int = Field(0, gt=-1440, lt=1440, description="Offset of the rows' times and days.")
    history_zone: bool = Field(True, description="Whether the rows' times carry their zone.")
    history_dashless: bool = Field(False, description="Whether ids in rows have no dashes; they are found by both.")
    foreign_run_every_seconds: float | None = Field(None, gt=0, description="How often another user starts a run.")
    record_seconds: float = Field(3600.0, gt=0, description="Seconds after a submit until its record is gone.")
    output_seconds: float = Field(7 * 86400.0, gt=0, description="Seconds that an output file lives.")
    gateway_html: bool = Field(True, description="Whether 502 and 504 have HTML bodies.")
    max_body_bytes: int = Field(32 * 2**20, gt=0, description="Largest request body.")

    @field_validator("run_time", mode="before")
    @classmethod
    def _seconds(cls, value: object) -> object:
        """Take a bare number for a fixed run time."""
        return RunTime.fixed(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
