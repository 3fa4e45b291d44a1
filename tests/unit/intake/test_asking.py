"""What an ask may say: the job that it is about, and nothing else."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import InvalidMessage
from worker.intake.asking import _DO, parse_ask
from worker.rules.asks import Ask

MARKER = "m4rk3r"
JOB = "7b0c4a52-9f1d-4a53-8b51-6b6f4f2f4c11"


def refused(fields: dict[str, Any]) -> tuple[str, str, str]:
    """Return the code, the field and the sentence by which an ask is refused."""
    with pytest.raises(InvalidMessage) as error:
        parse_ask(fields)
    return error.value.code, error.value.field, str(error.value)


def test_an_ask_names_a_job() -> None:
    """As its id is written, or in capitals."""
    assert parse_ask({"job_id": JOB}) == parse_ask({"job_id": JOB.upper()}) == JOB


def test_each_ask_does_something() -> None:
    """None is read and forgotten."""
    assert set(_DO) == set(Ask)


@pytest.mark.parametrize("value", [None, "", 5, True, [JOB], {"job_id": JOB}, JOB.replace("-", ""), JOB + "\n", MARKER])
def test_a_job_id_is_a_uuid(value: object) -> None:
    """In the usual form."""
    assert refused({"job_id": value}) == ("invalid_request", "job_id", "`job_id` must be a UUID.")


def test_a_job_id_is_required() -> None:
    """No ask is about all jobs."""
    assert refused({}) == ("invalid_request", "job_id", "`job_id` is required.")


@pytest.mark.parametrize("name", ["image", "metadata", "priority", "idempotency_key", "args", "version", "JOB_ID", ""])
def test_an_unknown_field_is_named(name: str) -> None:
    """It would be ignored otherwise."""
    code, field, sentence = refused({"job_id": JOB, name: None})
    assert (code, field) == ("invalid_request", name)
    assert sentence == f"`{name}` is not a field of an ask; remove it."


@pytest.mark.parametrize("name", ["reply_to", "callback_url", "expiration", "pay_again"])
@pytest.mark.parametrize("value", [True, False, MARKER])
def test_what_can_not_be_had_is_refused_by_name(name: str, value: object) -> None:
    """Whether to pay again a person decides; the rest is not built."""
    code, field, sentence = refused({"job_id": JOB, name: value})
    assert (code, field) == ("not_supported", name)
    assert sentence.startswith(f"`{name}` is not ")
    assert MARKER not in sentence


def test_a_strangers_name_of_a_field_is_shown_short_and_plain() -> None:
    """It is logged and told."""
    _, field, sentence = refused({"\x1b[31m" + "x" * 10_000: 1})
    assert len(field) == 64
    assert sentence.isprintable()


@given(st.dictionaries(st.text(max_size=4) | st.just("job_id"), st.none() | st.text() | st.integers(), max_size=3))
def test_whatever_is_asked_is_read_or_refused(fields: dict[str, Any]) -> None:
    """There is no third."""
    with suppress(InvalidMessage):
        assert parse_ask(fields) == str(fields["job_id"]).lower()
