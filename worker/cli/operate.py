"""For operators: ``db``, ``config``, ``doctor``."""

import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import typer
from pydantic import SecretStr

from worker import broker, database, schema, topology
from worker.app import App, create_app
from worker.cli.run import connected, readiness
from worker.cli.show import AsJson, brief, print_json, print_table, print_values, say
from worker.config import Settings, load_settings
from worker.errors import ConfigurationError, Sam3dError
from worker.failpoints import FAILPOINTS
from worker.repository import reading

database_commands = typer.Typer(help="The database's schema.", no_args_is_help=True, add_completion=False)


@database_commands.command()
def upgrade() -> None:
    """Bring the schema up to date; safe to run twice, and by several at once."""
    settings = load_settings()
    schema.upgrade(settings.database_url)
    say(f"schema {schema.revisions()[0]}")


@database_commands.command()
def current(as_json: AsJson = False) -> None:
    """Show the schema that the database has and the one this version needs."""
    settings = load_settings()
    engine = database.create_database_engine(settings.database_url, 1)
    found = {
        "database": schema.version(engine),
        "needed": schema.revisions()[0],
    }
    engine.dispose()
    if as_json:
        print_json(found)
    else:
        print_table([found], list(found))


def config(as_json: AsJson = False) -> None:
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


def failpoints(as_json: AsJson = False) -> None:
    """List the places where a process can be made to die, freeze or stop by SAM3D_FAILPOINTS, for tests."""
    rows = [{"failpoint": name, "where": where} for name, where in FAILPOINTS.items()]
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ["failpoint", "where"])


def setting_rows(settings: Settings) -> list[dict[str, Any]]:
    """List the settings with their values, without any secret, and names that look like settings but are none."""
    rows: list[dict[str, Any]] = []
    for field, about in Settings.model_fields.items():
        value = getattr(settings, field)
        rows.append(
            {
                "name": field.upper(),
                "value": _without_password(value) if field.endswith("_url") else shown(value),
                "source": _source(field.upper()),
                "about": about.description,
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


def doctor(as_json: AsJson = False) -> None:
    """Check database, schema, broker and the vendor's key, and say what to do about what is wrong."""
    settings = load_settings()
    app = create_app(settings, [])
    checks: dict[str, Callable[[], object]] = {
        **readiness(app),
        "durability": lambda: database.require_durable(app.services.engine),
        "vendor": lambda: _require_credits(app),
        "account": lambda: _require_account(app),
        "history": lambda: _require_history(app),
        "queues": lambda: _require_topology(app),
        "readers": lambda: _require_readers(app),
        "broker-tls": lambda: _require_verified(broker.why_unverified(settings.broker_url)),
        "database-tls": lambda: _require_verified(database.why_unverified(app.services.engine)),
    }
    rows = [{"check": name, **_result(name, check, settings.broker_url)} for name, check in checks.items()]
    app.services.close()
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ["check", "result", "fix"])
    if any(row["result"] != "ok" for row in rows if row["check"] not in ADVICE):
        raise typer.Exit(3)


ADVICE = ("broker-tls", "database-tls")
"""Checks that say what would be better; the network between may be trusted."""


def _require_verified(why_not: str | None) -> None:
    if why_not:
        raise ConfigurationError(why_not)


def _require_credits(app: App) -> None:
    balance = app.services.vendor.credits()
    if balance is not None and balance <= 0:
        raise ConfigurationError("The account has no credits.")


def _require_account(app: App) -> None:
    with database.transaction(app.services.engine) as connection:
        held = [_held(each) for each in reading.held_accounts(connection)]
    if held:
        raise ConfigurationError(" ".join(held))


def _held(account: Mapping[str, Any]) -> str:
    """Say why an account is held and since when, as a job that waits for it does."""
    return f"Held ({account['held_cause']}), {reading.since(account['held_at'])}: {account['held_message']}"


def _require_history(app: App) -> None:
    if app.services.settings.sam3d_history != "off":
        app.services.vendor.require_history()


def _require_topology(app: App) -> None:
    with connected(app) as connection:
        topology.require(connection)


def _require_readers(app: App) -> None:
    with connected(app) as connection:
        topology.require(connection)
        unread = {name: each.messages for name, each in topology.loads(connection).items() if each.is_unread}
    if unread:
        waits = ", ".join(f"{messages} in {name}" for name, messages in unread.items())
        raise ConfigurationError(f"Messages wait and nobody reads them: {waits}.")


_TRUSTED = "do what it says, unless the network between is yours alone; the work goes on either way"

FIXES = {
    "broker-tls": _TRUSTED,
    "database-tls": _TRUSTED,
    "readers": "start a worker that does these steps; one that runs connects anew by itself within half a minute",
    "queues": "do what it says; a queue of requests only once it is empty: nothing else has them",
    "database": "check SAM3D_DATABASE_URL and that PostgreSQL runs",
    "schema": "run `sam3d db upgrade`, once the database answers",
    "durability": "turn it on in PostgreSQL: a power cut loses jobs, and what they paid for is paid again",
    "broker": "check SAM3D_BROKER_URL (user, password, virtual host) and that RabbitMQ runs",
    "vendor": "check SEGMIND_API_KEY, SEGMIND_BASE_URL and the balance",
    "account": "do what it says; it is tried once a minute and goes on by itself, a hold of yours with `sam3d resume`",
    "history": "check SEGMIND_ACCOUNT_URL, or set SAM3D_HISTORY=off: submits that get no answer are then for a person",
}


def _result(name: str, check: Callable[[], object], broker_url: str) -> dict[str, str | None]:
    try:
        check()
    except Sam3dError as error:
        return {"result": str(error), "fix": FIXES[name]}
    except topology.PUBLISH_ERRORS as error:
        return {"result": broker.why(error, broker_url), "fix": FIXES[name]}
    except Exception as error:  # Whatever is wrong is what a doctor is asked for.
        return {"result": database.describe(error), "fix": FIXES[name]}
    return {"result": "ok", "fix": None}
