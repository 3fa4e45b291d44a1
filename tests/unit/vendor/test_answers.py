"""Whatever a vendor writes where a number or a time is: what goes into a row is one that can be reckoned with."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from worker.vendor.answers import MOST, read_numbers, read_result, read_status
from worker.vendor.history import read_history, read_rows
from worker.vendor.received import Answer

ODD = [
    "NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1" * 400, "-" + "1" * 400, "1" * 5000, "1e9", "true", "false",
    '"0.06"', '"NaN"', "null", "[0.06]", '{"usd": 0.06}', "-0.06",
]  # fmt: skip
"""What stands there, as JSON has it."""


def body(cost: str) -> bytes:
    """Return a status that tells this cost."""
    fields = '"request_id": "run-1", "status": "COMPLETED", "output": "https://a.example/m.glb"'
    return f'{{{fields}, "metrics": {{"cost": {cost}, "total_time": {cost}, "good": 1.5}}}}'.encode()


def page(cost: str) -> bytes:
    """Return a page of the history that tells this cost."""
    row = {"request_id": "run-1", "model_created": "2026-01-01T12:00:00Z", "model_status": "COMPLETED"}
    return f'[{json.dumps(row)[:-1]}, "credits_deduction": {cost}}}]'.encode()


def listed(cost: str) -> object:
    """Return the cost that the history tells, as a row takes it."""
    try:
        rows: Any = read_history(Answer(200, page(cost)))
    except Exception as error:
        assert "JSON" in str(error)  # noqa: PT017
        return None
    [row] = read_rows(rows).requests.values()
    return row.cost


def metrics(read: Callable[[Answer, str], Any]) -> Callable[[str], object]:
    """Return what reads the cost of a body."""

    def cost(text: str) -> object:
        try:
            found = read(Answer(200, body(text)), "run-1")
        except Exception as error:
            assert "without a usable body" in str(error)  # noqa: PT017
            return None
        return getattr(found, "run", found).metrics.get("cost")

    return cost


@pytest.mark.parametrize("cost", ODD, ids=lambda text: text[:9] + str(len(text)))
@pytest.mark.parametrize(
    "read", [listed, metrics(read_status), metrics(read_result)], ids=["history", "status", "result"]
)
def test_an_odd_cost_is_none(read: Callable[[str], object], cost: str) -> None:
    """Each place where one comes from; PostgreSQL would take NaN for a number that is larger than all."""
    assert read(cost) is None
    assert read("0.06") == 0.06


@pytest.mark.parametrize("text", [each for each in ODD if each != "-0.06" and len(each) < 4300])
def test_an_odd_balance_is_none(text: str) -> None:
    """A balance may be below zero."""
    assert read_numbers({"credits": json.loads(text), "free-credits": -0.5}) == {"free-credits": -0.5}


def test_numbers_are_few() -> None:
    """And their names are short."""
    numbers = read_numbers({**{f"n{number}": 1.0 for number in range(1000)}, "x" * 65: 1.0, "a b": 1.0})
    assert len(numbers) == 32
    assert read_numbers({"x" * 65: 1, "a b": 1, "\0": 1, "most": MOST, "more": MOST - 1}) == {"more": MOST - 1}
