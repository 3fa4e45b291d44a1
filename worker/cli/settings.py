"""What can be set: ``config``, ``failpoints``."""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from worker.cli.show import brief, print_json, print_table, print_values
from worker.config.environment import VARIABLES, Settings, load_settings


def config(*, as_json: bool) -> None:
    """Show every setting, where it comes from, and what it is; secrets only as set or unset."""
    rows = setting_rows(load_settings())
    if as_json:
        print_json(rows)
    else:
        print_values({row["name"]: _sourced(row) for row in rows})


def _sourced(row: Mapping[str, Any]) -> str:
    """Say what a setting is, and where it comes from unless that is the default."""
    value, source = brief(row["value"]), row["source"]
    return value if source == "default" else f"{value} ({source})"


def failpoints(*, as_json: bool) -> None:
    """List the places where a process can be made to die, freeze or stop by SAM3D_FAILPOINTS, for tests."""
    from worker.telemetry.failpoints import FAILPOINTS  # Brings the logs with it.

    rows = [{"failpoint": name, "where": where} for name, where in FAILPOINTS.items()]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ["failpoint", "where"])


def setting_rows(settings: Settings) -> list[dict[str, Any]]:
    """List the settings with their values, without any secret, and names that look like settings but are none."""
    rows: list[dict[str, Any]] = []
    for name, value in settings.by_variable().items():
        rows.append(
            {
                "name": name,
                "value": _without_password(value) if value and name.endswith("_URL") else shown(value),
                "source": _source(name),
                "about": VARIABLES[name].description,
            }
        )
    known = {row["name"] for row in rows}
    unknown = sorted(name for name in os.environ if name.startswith("SAM3D_") and name not in known)
    return rows + [
        {"name": name, "value": None, "source": "not a setting", "about": "check the name"} for name in unknown
    ]


def _source(name: str) -> str:
    given_by = {name: "environment", f"{name}_FILE": f"the file in {name}_FILE"}
    return next((source for each, source in given_by.items() if each in os.environ), "default")


def _without_password(url: object) -> str:
    """Show where a service is, and nothing that lets one in."""
    parts = urlsplit(url.get_secret_value() if isinstance(url, SecretStr) else str(url))
    place = f"{parts.hostname or ''}:{parts.port}" if parts.port else parts.hostname or ""
    who = f"{parts.username}:…@" if parts.password else f"{parts.username}@" if parts.username else ""
    return f"{parts.scheme}://{who}{place}{parts.path}"


def shown(value: object) -> object:
    """Write a setting as its variable has it, durations in seconds; a secret is only set or unset."""
    match value:
        case SecretStr():
            return "set"
        case tuple():
            return ",".join(value)
        case timedelta():
            return f"{value.total_seconds():g}"
        case None | str() | int():
            return value
    return str(value)
