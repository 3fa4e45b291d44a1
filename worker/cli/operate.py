"""Whether all is well: ``doctor``."""

from collections.abc import Callable, Mapping
from typing import Any

import typer

from worker import broker, database, topology
from worker.app import App
from worker.cli.opened import open_app
from worker.cli.run import connected, readiness
from worker.cli.show import print_json, print_table
from worker.errors import ConfigurationError, Sam3dError
from worker.repository import reading


def doctor(*, as_json: bool) -> None:
    """Check database, schema, broker and the vendor's key, and say what to do about what is wrong."""
    app = open_app()
    checks: dict[str, Callable[[], object]] = {
        **readiness(app),
        "durability": lambda: database.require_durable(app.services.engine),
        "vendor": lambda: _require_credits(app),
        "account": lambda: _require_account(app),
        "history": lambda: _require_history(app),
        "queues": lambda: _require_topology(app),
        "readers": lambda: _require_readers(app),
        "broker-tls": lambda: _require_verified(broker.why_unverified(app.services.settings.broker_url)),
        "database-tls": lambda: _require_verified(database.why_unverified(app.services.engine)),
    }
    rows = [{"check": name, **_result(name, check, app.services.settings.broker_url)} for name, check in checks.items()]
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
