"""Answers in the driver's binary form, where a statement asks for it: as text a photo is digits, and twice as long."""

from typing import Any

from psycopg.pq import Format
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql.psycopg import PGExecutionContext_psycopg

BINARY = {"is_binary": True}
"""The execution options of a statement whose answer comes in binary form."""


class _Context(PGExecutionContext_psycopg):
    """Runs a statement, for whose answer the cursor is told its form."""

    def create_cursor(self) -> Any:
        cursor: Any = super().create_cursor()
        if self.execution_options.get("is_binary"):
            cursor.format = Format.BINARY
        return cursor


def let_binary(engine: Engine) -> None:
    """Have an engine answer in binary form where a statement asks for it.

    An event would do as well, at a price: each statement of an engine that has one goes a longer way.
    """
    engine.dialect.execution_ctx_cls = _Context
