"""All settings as one frozen object, from the environment only."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from worker.config.access import BrokerSettings, DatabaseSettings, OutputSettings, VendorSettings
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


URLS_IN_FILES = ("SAM3D_BROKER_URL", "SAM3D_DATABASE_URL")
"""The URLs that hold a password, and so can be given by a file."""


def load_settings() -> Settings:
    """Read the environment; a variable in small letters counts as well.

    Raises:
        ConfigurationError: names the variable and the fix, never the value.
    """
    variables = {name.upper(): value for name, value in os.environ.items()}
    try:
        settings = Settings.of(variables)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigurationError(f"{first['loc'][1]}: {first['msg']}.") from None
    settings = settings.having(**_urls_in_files(variables))
    require_broker_url(settings.broker.url)
    require_database_url(settings.database.url)
    return settings


def _urls_in_files(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: _read_url(name, variables) for name in URLS_IN_FILES if f"{name}_FILE" in variables}


def _read_url(name: str, variables: Mapping[str, str]) -> str:
    """Return the URL as its file has it."""
    if name in variables:
        raise ConfigurationError(f"{name} and {name}_FILE are both set: unset one of them.")
    try:
        text = Path(variables[f"{name}_FILE"]).read_text().strip()
    except (OSError, ValueError) as error:
        said = (isinstance(error, OSError) and error.strerror) or "it is no text"
        raise ConfigurationError(f"{name}_FILE can't be read: {said}.") from None
    if len(text.split()) != 1:
        raise ConfigurationError(f"{name}_FILE must hold the URL and nothing else.")
    return text
