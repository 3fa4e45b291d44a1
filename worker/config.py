"""One frozen settings object, from the environment only. Durations are seconds there and ``timedelta`` here."""

import os
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from worker.errors import ConfigurationError
from worker.rules.lifecycle import Step
from worker.rules.urls import BrokerAccess, require_broker_url, require_database_url, why_no_address

NOT_BUILT = {
    "SAM3D_STORE_URL": "outputs are kept in PostgreSQL; object storage is not built yet; unset it",
}


LONGEST = timedelta(days=36_500)


def _seconds(value: object) -> object:
    if not isinstance(value, int | float | str):
        return value
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST.total_seconds():
        raise PydanticCustomError("seconds", "must be a number of seconds, from 0 up")
    return timedelta(seconds=seconds)


def _address(value: object) -> object:
    if why := why_no_address(value):
        raise PydanticCustomError("address", "{why}", {"why": why})
    return value


def _comma_list(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


Seconds = Annotated[timedelta, BeforeValidator(_seconds)]
Positive = Annotated[Seconds, Field(gt=timedelta(0))]
Address = Annotated[str, BeforeValidator(_address)]
Hosts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_list)]


class Settings(BaseSettings):
    """Every setting of the service; the name in capitals is the environment variable."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    segmind_api_key: SecretStr | None = Field(None, description="The vendor's key, `SG_…`.")
    segmind_api_key_file: Path | None = Field(
        None, description="A file that holds the key; read again when it changes."
    )
    segmind_base_url: Address = Field(
        "https://api.segmind.com",
        description="The vendor's API; `http://` only for this very host, such as a simulator.",
    )
    segmind_account_url: Address = Field(
        "https://api.spotprod.segmind.com", description="The vendor's request history, in the same way."
    )
    sam3d_broker_url: SecretStr = Field(
        SecretStr("amqp://guest:guest@127.0.0.1:5672//"),
        description="RabbitMQ; with `amqps://` the chain and the name of its certificate are verified.",
    )
    sam3d_broker_url_file: Path | None = Field(
        None, description="A file that holds that URL, in its place; read at the start."
    )
    sam3d_broker_ca_file: Path | None = Field(
        None, description="Certificates (PEM) that vouch for the broker's; unset: those that the system trusts."
    )
    sam3d_broker_cert_file: Path | None = Field(
        None,
        description="Our own certificate (PEM); where the URL has no password, the broker knows us by it (`EXTERNAL`).",
    )
    sam3d_broker_key_file: Path | None = Field(
        None, description="Its key, without a passphrase, where that is not in the same file."
    )
    sam3d_database_url: SecretStr = Field(
        SecretStr("postgresql+psycopg://127.0.0.1/sam3d"),
        description="PostgreSQL; `?sslmode=verify-full&sslrootcert=FILE` verifies the chain and the name of its "
        "certificate.",
    )
    sam3d_database_url_file: Path | None = Field(
        None, description="A file that holds that URL, in its place; read at the start."
    )
    sam3d_output_hosts: Hosts = Field(
        (".segmind.com",),
        description="Hosts that outputs may be downloaded from, comma separated: a name, `.domain` for all below it, "
        "or `http://127.0.0.1:9100` for just that plain or private address.",
    )
    sam3d_health_port: int | None = Field(
        None, ge=1, le=65535, description="Port of `/livez`, `/readyz` and the scheduler's `/metrics`; unset: off."
    )
    sam3d_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Least level that is logged."
    )

    sam3d_requests_per_minute: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="The vendor's limit for the key; all workers share it. Unset: none of ours.",
    )
    sam3d_reads_count: Literal["auto", "yes", "no"] = Field(
        "auto", description="Whether polls and results count against that limit; `auto` assumes so until it is seen."
    )
    sam3d_bulk_look: Literal["on", "off"] = Field(
        "off", description="Whether one page of the request history takes the place of many polls that are due."
    )
    sam3d_expected_run: Seconds = Field(
        timedelta(seconds=31.7), description="Typical run until some were seen, s; the vendor publishes 31.7."
    )
    sam3d_submit_deadline: Positive = Field(timedelta(seconds=30), description="Whole submit, s.")
    sam3d_read_deadline: Positive = Field(timedelta(seconds=20), description="Whole status or result call, s.")
    sam3d_download_deadline: Positive = Field(
        timedelta(seconds=90), description="Whole download of a job's outputs, s."
    )
    sam3d_lease_margin: Positive = Field(
        timedelta(seconds=15), description="A lease is a step's deadlines and this, s."
    )
    sam3d_record_lifetime: Positive = Field(
        timedelta(hours=1),
        description="For how long the vendor knows a run, s; no 404 ends a job before that, and no age alone does.",
    )
    sam3d_sweep_interval: Positive = Field(timedelta(seconds=15), description="Between two sweeps, s.")
    sam3d_sweep_grace: Seconds = Field(timedelta(seconds=30), description="How late a row must be to be swept, s.")
    sam3d_relay_grace: Seconds = Field(timedelta(seconds=5), description="How old an event must be for the relay, s.")
    sam3d_probe_interval: Positive = Field(
        timedelta(seconds=60), description="Between two probes of a held account, s."
    )
    sam3d_history: Literal["auto", "off"] = Field(
        "auto",
        description="Whether the vendor's request history is read: for submits without an answer, for runs that the "
        "vendor does not know or can't show, and after the database was started.",
    )
    sam3d_reconcile_settle: Seconds = Field(
        timedelta(minutes=5),
        description="How late a run may be listed in the history, s, if it was not seen later; before that none is "
        "absent.",
    )
    sam3d_reconcile_deadline: Seconds = Field(
        timedelta(minutes=15),
        description="How long the history may leave open what became of a submit, s; then it is for a person.",
    )
    sam3d_compare_wait: Seconds = Field(
        timedelta(seconds=8),
        description="How long other processes may say what they miss after the database was started, s, before it is "
        "compared with the history.",
    )
    sam3d_compare_window: Positive = Field(
        timedelta(days=7),
        description="How far back the history is compared at most where no process misses anything, s.",
    )
    sam3d_submit_server_error: Literal["retry", "review"] = Field(
        "review",
        description="What a 5xx to a submit leads to where the history can't tell: a person is asked, or it is sent "
        "again, as the vendor allows: where it did start a run, that is paid twice.",
    )
    sam3d_submit_retry_for: Seconds = Field(
        timedelta(hours=1), description="How long a submit answered by a 5xx is sent again with `retry`, s."
    )
    sam3d_body_identity: Seconds = Field(
        timedelta(minutes=10),
        description="How long a request that nothing names is known by its body, s; the same body later is a new job.",
    )
    sam3d_retention: Seconds | None = Field(
        None, description="Age at which final jobs, their outputs and events are deleted, s; unset: never."
    )
    sam3d_keep_inputs: bool = Field(
        default=False, description="Whether photos are kept after their job has ended, until the job is deleted."
    )
    sam3d_keep_failed_inputs: Seconds = Field(
        timedelta(days=1), description="How long photos of a failed job are kept for `sam3d retry`, s."
    )
    sam3d_max_output_bytes: int = Field(512 * 2**20, ge=1, description="Largest output file that is kept.")
    sam3d_stall_limit: Positive = Field(
        timedelta(seconds=120), description="How long a loop may stand still before its process exits, s."
    )
    sam3d_failpoints: str = Field("", description="Only for tests: where a process dies; see `sam3d failpoints`.")
    sam3d_concurrency: int = Field(8, ge=1, le=128, description="Threads of a worker process.")

    @property
    def broker_url(self) -> str:
        """The broker's URL, with its password."""
        return self.sam3d_broker_url.get_secret_value()

    @property
    def database_url(self) -> str:
        """The database's URL, with its password."""
        return self.sam3d_database_url.get_secret_value()

    @property
    def broker(self) -> BrokerAccess:
        """How the broker is reached."""
        files = self.sam3d_broker_ca_file, self.sam3d_broker_cert_file, self.sam3d_broker_key_file
        return BrokerAccess(self.broker_url, *files)

    @cached_property
    def is_embedded(self) -> bool:
        """Whether the broker is Celery's in-memory transport, within this process."""
        return self.broker.is_embedded

    def time_for(self, step: Step) -> timedelta:
        """Return within what a step's calls must end, counted from before its job is taken."""
        match step:
            case Step.SUBMIT:
                return self.sam3d_submit_deadline
            case Step.POLL:
                return self.sam3d_read_deadline
            case Step.FETCH:
                return self.sam3d_read_deadline + self.sam3d_download_deadline

    def lease_for(self, step: Step) -> timedelta:
        """Return how long a worker owns a job whose step it does."""
        return self.time_for(step) + self.sam3d_lease_margin


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        ConfigurationError: names the variable and the fix, never the value.
    """
    for name, why in NOT_BUILT.items():
        if os.environ.get(name):
            raise ConfigurationError(f"{name}: {why}.")
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "environment"
        raise ConfigurationError(f"{name}: {first['msg']}.") from None
    settings = settings.model_copy(update={name: _read_url(settings, name) for name in URLS_IN_FILES})
    require_broker_url(settings.broker_url)
    require_database_url(settings.database_url)
    return settings


URLS_IN_FILES = ("sam3d_broker_url", "sam3d_database_url")
"""The URLs that hold a password, and so can be given by a file."""


def _read_url(settings: Settings, name: str) -> SecretStr:
    """Return a URL as it was given, or as its file has it."""
    file: Path | None = getattr(settings, f"{name}_file")
    if file is None:
        given: SecretStr = getattr(settings, name)
        return given
    if name in settings.model_fields_set:
        raise ConfigurationError(f"{name.upper()} and {name.upper()}_FILE are both set: unset one of them.")
    try:
        text = file.read_text().strip()
    except (OSError, ValueError) as error:
        said = (isinstance(error, OSError) and error.strerror) or "it is no text"
        raise ConfigurationError(f"{name.upper()}_FILE can't be read: {said}.") from None
    if len(text.split()) != 1:
        raise ConfigurationError(f"{name.upper()}_FILE must hold the URL and nothing else.")
    return SecretStr(text)
