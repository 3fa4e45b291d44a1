"""Whether all is well: ``doctor``."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import typer

from worker.broker import topology
from worker.broker.connection import connected, why
from worker.broker.connection import why_unverified as why_broker_unverified
from worker.cli.show import print_json, print_table
from worker.config.environment import Settings, load_settings
from worker.database import reading
from worker.database.engine import (
    Engine,
    create_database_engine,
    describe,
    ping,
    transaction,
)
from worker.database.schema import require_schema
from worker.database.server_checks import require_durable, why_unverified
from worker.errors import ConfigurationError, Sam3dError
from worker.outputs.reaching import require_fetched, require_public
from worker.outputs.stores import Stores
from worker.rules.urls import is_loopback
from worker.telemetry.errors_alone import log_errors_alone
from worker.vendor.api import Vendor


def doctor(*, as_json: bool) -> None:
    """Check database, schema, broker and the vendor's key, and say what to do about what is wrong."""
    log_errors_alone()
    settings = load_settings()
    engine, vendor = create_database_engine(settings.database.url, 2), Vendor(settings)
    checks = _checks(settings, engine, vendor)
    rows = [{"check": name, **_result(name, check, settings.broker.url)} for name, check in checks.items()]
    vendor.close()
    engine.dispose()
    if as_json:
        print_json(rows)
    else:
        print_table(rows, ["check", "result", "fix"])
    if any(row["result"] != "ok" for row in rows if row["check"] not in ADVICE):
        raise typer.Exit(3)


def _checks(settings: Settings, engine: Engine, vendor: Vendor) -> Mapping[str, Callable[[], object]]:
    """Return what is checked, in the order in which it is told."""
    return {
        "database": lambda: ping(engine),
        "schema": lambda: require_schema(engine),
        "broker": lambda: _require_broker(settings),
        "durability": lambda: require_durable(engine),
        "store": lambda: Stores(settings.storage, engine).try_out(),
        "addresses": lambda: _require_addresses(settings, engine, require_fetched),
        "vendor": lambda: _require_credits(vendor),
        "account": lambda: _require_account(engine),
        "history": lambda: _require_history(settings, vendor),
        "queues": lambda: _require_topology(settings),
        "readers": lambda: _require_readers(settings),
        "addresses-reach": lambda: _require_addresses(settings, engine, require_public),
        "broker-tls": lambda: _require_verified(why_broker_unverified(settings.broker.url)),
        "database-tls": lambda: _require_verified(why_unverified(engine)),
    }


ADVICE = ("addresses-reach", "broker-tls", "database-tls")
"""Checks that say what would be better: the vendor may see what is not seen from here, the network may be trusted."""


def _require_verified(why_not: str | None) -> None:
    if why_not:
        raise ConfigurationError(why_not)


def _require_addresses(settings: Settings, engine: Engine, require: Callable[[Stores], None]) -> None:
    """Check the addresses that photos are sent as, where they are; a simulator on this machine reaches any."""
    is_near = is_loopback(urlsplit(settings.vendor.base_url).hostname or "")
    if settings.storage.sends_addresses and not (is_near and require is require_public):
        require(Stores(settings.storage, engine))


def _require_broker(settings: Settings) -> None:
    with connected(settings.broker):
        pass


def _require_credits(vendor: Vendor) -> None:
    balance = vendor.credits()
    if balance is not None and balance <= 0:
        raise ConfigurationError("The account has no credits.")


def _require_account(engine: Engine) -> None:
    with transaction(engine) as connection:
        held = [_held(each) for each in reading.held_accounts(connection)]
    if held:
        raise ConfigurationError(" ".join(held))


def _held(account: Mapping[str, Any]) -> str:
    """Say why an account is held and since when, as a job that waits for it does."""
    return f"Held ({account['held_cause']}), {reading.since(account['held_at'])}: {account['held_message']}"


def _require_history(settings: Settings, vendor: Vendor) -> None:
    if settings.history.mode != "off":
        vendor.require_history()


def _require_topology(settings: Settings) -> None:
    with connected(settings.broker) as connection:
        topology.require(connection)


def _require_readers(settings: Settings) -> None:
    with connected(settings.broker) as connection:
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
    "store": "check SAM3D_STORE_URL, the cloud's own variables, and that we may write, read and delete there",
    "addresses": "let this process sign for what it stores (docs/operations.md, photos as addresses), by a right "
    "clock, or unset SAM3D_INPUT_ADDRESSES",
    "addresses-reach": "unset SAM3D_INPUT_ADDRESSES, unless you know that the vendor gets there: else its runs fail",
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
        return {"result": why(error, broker_url), "fix": FIXES[name]}
    except Exception as error:  # Whatever is wrong is what a doctor is asked for.
        return {"result": describe(error), "fix": FIXES[name]}
    return {"result": "ok", "fix": None}
