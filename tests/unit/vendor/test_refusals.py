"""What a refusal says: the vendor's whole sentence tells credits and limits from a job, and reaches who can act."""

import json
from dataclasses import replace

import pytest

from tests.support.reacting import JOB, reaction, services_with
from worker.errors import AccountHeld, HoldCause, RemoteRefused, Sam3dError
from worker.rules.lifecycle import JobState, Step
from worker.rules.outcome import Fail, Hold, Outcome, decide
from worker.vendor.answers import read_body, read_submitted
from worker.vendor.received import Answer
from worker.work import steps
from worker.work.executor import run
from worker.work.reactions import react


def refusal(code: int, body: object) -> Sam3dError:
    """Return what an answer to a submit means."""
    with pytest.raises(Sam3dError) as raised:
        read_submitted(Answer(code, json.dumps(body).encode()))
    return raised.value


def meaning(error: Sam3dError) -> object:
    """Return the cause of a hold and whether it is certain, else the class."""
    return (error.cause, error.is_certain) if isinstance(error, AccountHeld) else type(error)


CREDITS = [
    "Insufficient credits. You have 0.0 credits.",
    "Insufficient credits. Available balance: 0.0100, required: 0.0600",
    "insufficient credits",
    "INSUFFICIENT  CREDITS!",
    "Insufficient credits: you have -1.5 credits, this request costs $0.06 (USD).",
    "You have insufficient credits. Please top up your account.",
    "Not enough credits available",
]
LIMITS = [
    "Team monthly spend limit reached. Cap: 50.00 USD",
    "Your team's daily spending limit of 20 USD has been reached",
    "Weekly spend limit of the team exceeded. Cap: 1,000.00 USD, resets in 3 days.",
]


@pytest.mark.parametrize("code", [402, 406])
@pytest.mark.parametrize("sentence", CREDITS)
def test_credits_are_told_by_the_sentence(code: int, sentence: str) -> None:
    """On either version of the API, in other punctuation and with other numbers."""
    assert meaning(refusal(code, {"error": sentence})) == (HoldCause.CREDITS, True)


@pytest.mark.parametrize("code", [402, 406])
@pytest.mark.parametrize("sentence", LIMITS)
def test_a_limit_is_told_by_the_sentence(code: int, sentence: str) -> None:
    """It names the period and the cap."""
    assert meaning(refusal(code, {"error": sentence})) == (HoldCause.LIMIT, True)


@pytest.mark.parametrize(
    "sentence", ["Parameter seed must be an integer", "prompt is longer than the limit of 500 characters"]
)
def test_a_parameter_is_the_jobs(sentence: str) -> None:
    """The sentence begins with it."""
    assert meaning(refusal(406, {"error": sentence})) is RemoteRefused


@pytest.mark.parametrize(
    "sentence",
    [
        "Rejected: 'insufficient credits'",
        "Cannot make a quota of cups",
        "no object like 'Insufficient credits. You have 0.0 credits.' found",
        "bad text 'team monthly spend limit reached'",
        "Invalid content type",
        "the words invalid content type are not allowed",
        "Insufficient credits. \N{LATIN SMALL LETTER DOTLESS I}",
        "",
        5,
        None,
    ],
)
def test_a_sentence_that_quotes_a_job_is_not_certain(sentence: object) -> None:
    """A producer's words stop no account: it may be this one job that is refused."""
    assert meaning(refusal(406, {"error": sentence})) == (HoldCause.PROTOCOL, False)
    assert meaning(refusal(402, {"error": sentence})) == (HoldCause.CREDITS, False)


@pytest.mark.parametrize("code", [401, 403, 404, 405, 410])
def test_what_may_be_one_jobs_is_not_certain(code: int) -> None:
    """A firewall, a filter or a router answers so too."""
    error = refusal(code, {"error": "No."})
    assert isinstance(error, AccountHeld)
    assert not error.is_certain


@pytest.mark.parametrize("code", [400, 413, 415, 422, 451])
def test_a_refusal_of_the_job_says_why(code: int) -> None:
    """The sender reads the vendor's own sentence, without what it quotes."""
    error = refusal(code, {"error": "mask is not 'a red cup' at https://x.example/y?sig=1"})
    outcome = react(
        services_with(None), replace(JOB, state=JobState.SUBMITTING, parameters={"prompt": "a red cup"}), error
    )
    assert isinstance(outcome, Fail)
    assert outcome.code == "remote_refused"
    assert outcome.message.endswith(f"({code}); nothing was paid. Correct it and send a new job. "
                                    "The vendor says: mask is not '…' at …")  # fmt: skip


def test_a_held_account_says_why() -> None:
    """The operator reads the vendor's own sentence."""
    error = refusal(401, {"error": "Unauthorized", "error_description": "API key is invalid", "status_code": 401})
    outcome = reaction(JobState.SUBMITTING, error)
    assert isinstance(outcome, Hold)
    assert outcome.message.endswith("The vendor says: Unauthorized: API key is invalid")


@pytest.mark.parametrize("code", [400, 401, 402, 403, 404, 405, 406, 410, 413, 415, 422, 429, 451, 500, 502, 302, 204])
def test_each_answer_is_written_down(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The ledger gets the status, whatever it means."""

    def submit(*_: object) -> Outcome:
        raise refusal(code, {})

    monkeypatch.setattr(steps, "RUN", {Step.SUBMIT: submit})
    outcome = run(services_with(None), Step.SUBMIT, replace(JOB, state=JobState.SUBMITTING))
    assert decide(JobState.SUBMITTING, 0, outcome).http_status == code


def test_a_refused_read_is_not_certain() -> None:
    """It may be this one run's."""
    for code in (401, 403, 406):
        with pytest.raises(AccountHeld) as raised:
            read_body(Answer(code, b"{}"))
        assert (raised.value.is_certain, raised.value.http_status) == (False, code)
