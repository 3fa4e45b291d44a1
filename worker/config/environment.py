"""All settings as one frozen object, from the environment only."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from worker.config.access import (
    BrokerSettings,
    DatabaseSettings,
    LinkSettings,
    OutputSettings,
    ReceiptSettings,
    VendorSettings,
)
from worker.config.conduct import (
    BudgetSettings,
    HistorySettings,
    IntakeSettings,
    ProcessSettings,
    RunSettings,
    StorageSettings,
    SubmitSettings,
    TelemetrySettings,
    UpkeepSettings,
)
from worker.config.kinds import Group
from worker.errors import ConfigurationError
from worker.rules.urls import require_broker_url, require_database_url


class Settings(Group):
    """Every setting of the service, in its group; without the environment, the defaults."""

    vendor: VendorSettings = VendorSettings()
    broker: BrokerSettings = BrokerSettings()
    database: DatabaseSettings = DatabaseSettings()
    outputs: OutputSettings = OutputSettings()
    links: LinkSettings = LinkSettings()
    receipts: ReceiptSettings = ReceiptSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    budget: BudgetSettings = BudgetSettings()
    run: RunSettings = RunSettings()
    upkeep: UpkeepSettings = UpkeepSettings()
    history: HistorySettings = HistorySettings()
    submit: SubmitSettings = SubmitSettings()
    intake: IntakeSettings = IntakeSettings()
    storage: StorageSettings = StorageSettings()
    process: ProcessSettings = ProcessSettings()

    @classmethod
    def of(cls, variables: Mapping[str, object]) -> Self:
        """Return what these variables set; each group takes its own, and no other counts."""
        given = dict(variables)
        return cls.model_validate(dict.fromkeys(cls.model_fields, given))

    def having(self, **variables: object) -> Self:
        """Return these settings with others in their place, named as in the environment: ``SAM3D_CONCURRENCY=2``."""
        if unknown := variables.keys() - VARIABLES.keys():
            raise TypeError(f"There is no setting {', '.join(sorted(unknown))}.")
        return self.of(self.by_variable() | variables)

    def by_variable(self) -> dict[str, Any]:
        """Return each setting under the name that it has in the environment."""
        return {
            str(about.alias): getattr(group, field)
            for _, group in self
            for field, about in type(group).model_fields.items()
        }


VARIABLES: Mapping[str, FieldInfo] = {
    str(about.alias): about for _, group in Settings() for about in type(group).model_fields.values()
}
"""What is said of each setting, under the name that it has in the environment."""


IN_FILES = {
    "SAM3D_BROKER_URL": "the URL",
    "SAM3D_DATABASE_URL": "the URL",
    "SAM3D_LINK_KEY": "the key",
    "SAM3D_RECEIPT_KEY": "the key",
}
"""What holds a secret, and so can be given by a file that is read at the start."""

OF_LINES = {"SAM3D_RECEIPT_KEY"}
"""Those that have more than a word."""


def load_settings() -> Settings:
    """Read the environment; a variable in small letters counts as well.

    Raises:
        ConfigurationError: names the variable and the fix, never the value.
    """
    variables = {name.upper(): value for name, value in os.environ.items()}
    try:
        settings = Settings.of(variables)
        settings = settings.having(**_given_by_files(variables))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigurationError(f"{first['loc'][1]}: {first['msg']}.") from None
    require_broker_url(settings.broker.url)
    require_database_url(settings.database.url)
    _require_both(settings.links)
    _require_signing(settings.storage)
    return settings


def _require_both(links: LinkSettings) -> None:
    """Check that links to our file server can be made and verified, or that nobody asked for them."""
    if links.public_url and not links.keys:
        raise ConfigurationError(
            "SAM3D_PUBLIC_URL is set and SAM3D_LINK_KEY is not: links are signed with it; make one with "
            "`openssl rand -hex 32`."
        )
    if links.keys and not links.public_url:
        raise ConfigurationError("SAM3D_LINK_KEY is set and SAM3D_PUBLIC_URL is not: it is where links lead.")


def _require_signing(storage: StorageSettings) -> None:
    """Check that photos can be sent as addresses, where that is asked for."""
    if storage.input_addresses == "on" and not storage.sends_addresses:
        raise ConfigurationError(
            "SAM3D_INPUT_ADDRESSES is on and SAM3D_STORE_URL is no store that signs addresses: set that to s3://…, "
            "gs://… or az://…, or unset SAM3D_INPUT_ADDRESSES."
        )


def _given_by_files(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: _read(name, what, variables) for name, what in IN_FILES.items() if f"{name}_FILE" in variables}


def _read(name: str, what: str, variables: Mapping[str, str]) -> str:
    """Return a setting as its file has it."""
    if name in variables:
        raise ConfigurationError(f"{name} and {name}_FILE are both set: unset one of them.")
    try:
        text = Path(variables[f"{name}_FILE"]).read_text().strip()
    except (OSError, ValueError) as error:
        said = (isinstance(error, OSError) and error.strerror) or "it is no text"
        raise ConfigurationError(f"{name}_FILE can't be read: {said}.") from None
    if len(text.split()) != 1 and name not in OF_LINES:
        raise ConfigurationError(f"{name}_FILE must hold {what} and nothing else.")
    return text
