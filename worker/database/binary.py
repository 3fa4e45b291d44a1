"""Answers in the driver's binary form, where a statement asks for it: as text a photo is digits, and twice as long."""

from typing import Any

from psycopg.pq import Format
from sqlalchemy import Engine, event

BINARY = {"is_binary": True}
"""The execution options of a statement whose answer comes in binary form."""


def let_binary(engine: Engine) -> None:
    """Have an engine answer in binary form where a statement asks for it."""

    def choose(_1: object, cursor: Any, _2: object, _3: object, context: Any, _4: object) -> None:
        if context and context.execution_options.get("is_binary"):
            cursor.format = Format.BINARY

    event.listen(engine, "before_cursor_execute", choose)
