"""Why there was no connection: a line that says which server was not had, without a secret or a value."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from sqlalchemy import Dialect, Engine, event

LONGEST_REASON = 200


class Unreachable(psycopg.OperationalError):
    """No connection was made; the text says where to and why, and holds no secret and no value."""


def tell_why_unreachable(engine: Engine, connect: Callable[..., Any]) -> None:
    """Have an engine connect by a function of the driver, and tell in a line why that fails."""

    def connect_or_tell(_: Dialect, __: object, arguments: Sequence[Any], parameters: Mapping[str, Any]) -> Any:
        try:
            return connect(*arguments, **parameters)
        except psycopg.Error as error:
            raise Unreachable(_why_unreachable(str(error), parameters)) from None

    event.listen(engine, "do_connect", connect_or_tell)


def _why_unreachable(said: str, parameters: Mapping[str, Any]) -> str:
    """Say which server was not had and why, from the first line of what libpq says.

    Part of that may be the server's own words: whoever answers there gets no control characters through, and no echo
    of the password.
    """
    reason = said.partition("\n")[0].rpartition(" failed: ")[2].removeprefix("connection is bad: ")
    reason = "".join(each if each.isprintable() else " " for each in reason)[:LONGEST_REASON]
    if password := str(parameters.get("password") or ""):
        reason = reason.replace(password, "…")
    return f"{parameters.get('host', 'the local socket')}:{parameters.get('port', 5432)}: {reason}"
