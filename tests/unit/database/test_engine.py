"""What a database error means: the database can't work now, or it will never take the value."""

import pytest
from psycopg import errors
from sqlalchemy.exc import (
    ArgumentError,
    CompileError,
    DBAPIError,
    InvalidRequestError,
    NoSuchColumnError,
    PendingRollbackError,
    ResourceClosedError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolExhausted

from worker.database.engine import describe, is_outage
from worker.database.server_checks import why_not_verified


def _raised(sqlstate: str) -> SQLAlchemyError:
    """Make the error that SQLAlchemy raises for one of the driver."""
    cause = errors.lookup(sqlstate)("its text may quote values")
    made = DBAPIError.instance("UPDATE jobs", {}, cause, errors.Error, hide_parameters=True)
    assert isinstance(made, SQLAlchemyError)
    return made


OUTAGES = {
    "25006": "read-only",
    "25P03": "ended while it idled in a transaction",
    "40001": "serialization",
    "40P01": "deadlock",
    "53100": "disk full",
    "53200": "out of memory",
    "53300": "too many connections",
    "55P03": "lock not available",
    "57014": "statement time-out",
    "57P01": "admin shutdown",
    "57P02": "crash shutdown",
    "57P03": "can't connect now",
    "58030": "I/O error",
    "42P01": "the schema is not there yet",
}
NEVER_TAKEN = {
    "22001": "too long",
    "22P05": "a character that can't be stored",
    "23505": "not unique",
    "23514": "a check",
    "54000": "too large for an index",
}


@pytest.mark.parametrize("sqlstate", OUTAGES)
def test_an_outage_is_waited_for(sqlstate: str) -> None:
    """What the server can't do now is tried again."""
    assert is_outage(_raised(sqlstate))


@pytest.mark.parametrize("sqlstate", NEVER_TAKEN)
def test_a_value_is_not_tried_again(sqlstate: str) -> None:
    """What the server will never take is not sent for ever."""
    assert not is_outage(_raised(sqlstate))


def test_what_never_reached_the_server() -> None:
    """A lost connection and an empty pool are outages; a value that can't be sent and a mistake of ours are none."""
    lost = DBAPIError.instance("COMMIT", {}, errors.OperationalError("connection lost"), errors.Error)
    assert isinstance(lost, SQLAlchemyError)
    assert is_outage(lost)
    assert is_outage(PoolExhausted("no connection is free"))
    assert is_outage(PendingRollbackError("the connection was lost"))
    assert not is_outage(StatementError("can't be written as JSON", "INSERT", {}, TypeError()))
    assert is_outage(ResourceClosedError("the connection is closed"))
    assert not is_outage(KeyError("a mistake"))


@pytest.mark.parametrize("mistake", [ArgumentError, CompileError, InvalidRequestError, NoSuchColumnError])
def test_a_mistake_of_ours_is_no_outage(mistake: type[SQLAlchemyError]) -> None:
    """The request that meets it goes to the dead letters; it would come again every five seconds for ever."""
    assert not is_outage(mistake("a statement that was never right"))


def test_an_error_is_described_without_its_text() -> None:
    """The class and the SQLSTATE are told, where there is one."""
    assert describe(_raised("25006")) == "InternalError 25006"
    assert describe(PoolExhausted("no connection is free")) == "TimeoutError"


@pytest.mark.parametrize(
    ("address", "mode", "has_tls", "is_well"),
    [
        ("", "prefer", False, True),
        ("127.0.0.1", "prefer", False, True),
        ("::1", "disable", False, True),
        ("10.0.0.1", "verify-full", True, True),
        ("10.0.0.1", "verify-ca", True, False),
        ("10.0.0.1", "require", True, False),
        ("10.0.0.1", "prefer", False, False),
        ("2001:db8::1", "prefer", True, False),
    ],
)
def test_a_doctor_advises_to_verify_the_database(address: str, mode: str, has_tls: bool, is_well: bool) -> None:
    """Only `verify-full` looks at the name."""
    said = why_not_verified(address, mode, has_tls=has_tls)
    assert (said is None) is is_well
    assert is_well or "sslmode=verify-full" in str(said)
