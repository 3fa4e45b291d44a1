"""Pure: what an answer means that is not the one asked for. What an HTTP status means is one table.

No body ever becomes part of an error's sentence.
"""

import re
from collections.abc import Callable, Mapping

from worker.errors import (
    AccountHeld,
    HoldCause,
    RemoteRateLimited,
    RemoteRefused,
    RemoteRequestGone,
    RemoteUnavailable,
    Sam3dError,
    SubmitUnknown,
)
from worker.vendor.received import Answer

Meaning = Callable[[Answer], Sam3dError]


def _held(cause: HoldCause, fix: str, *, is_certain: bool = True) -> Meaning:
    return lambda answer: AccountHeld(cause, f"The vendor answers {answer.code}: {fix}.", is_certain=is_certain)


def _refused_perhaps(cause: HoldCause, fix: str) -> Meaning:
    """Give what a refusal means that may be the account's or this one job's: what others are answered tells."""
    return _held(cause, fix, is_certain=False)


def _limited(answer: Answer) -> Sam3dError:
    return RemoteRateLimited("The vendor answers 429: too many requests this minute.", answer.reset_at)


def _refused(answer: Answer) -> Sam3dError:
    return RemoteRefused(
        f"The vendor refused the request ({answer.code}); nothing was paid. Correct it and send a new job."
    )


def _gone(answer: Answer) -> Sam3dError:
    return RemoteRequestGone("The vendor does not know the request (404).", answer.dated_at)


def _by_sentence(otherwise: Meaning) -> Meaning:
    """Give what a status of several meanings says: its whole sentence tells, never words in one that quotes a job."""

    def meaning(answer: Answer) -> Sam3dError:
        known = (error for is_said, error in SENTENCES if is_said(answer.message))
        return next(known, otherwise)(answer)

    return meaning


def _unknown(answer: Answer) -> Sam3dError:
    return SubmitUnknown(
        f"The vendor answered the submit with {answer.code}: whether a run was started is not known.",
        answer.code,
    )


def _unavailable(answer: Answer) -> Sam3dError:
    return RemoteUnavailable(f"The vendor answers {answer.code} without a usable body.", answer.code)


_key = _refused_perhaps(HoldCause.KEY, "the key is missing, wrong or revoked; set SEGMIND_API_KEY to a valid one")
_forbidden = _refused_perhaps(HoldCause.FORBIDDEN, "this account may not call the model; ask the vendor to allow it")
_no_model = _refused_perhaps(HoldCause.MODEL, "the model is unknown or retired; an update of this service is needed")
_protocol = _refused_perhaps(
    HoldCause.PROTOCOL, "it does not accept how we call it; check SEGMIND_BASE_URL, else report a bug"
)
_NO_CREDITS = "the credits are used up; top the account up"
_credits = _held(HoldCause.CREDITS, _NO_CREDITS)
_spend_limit = _held(HoldCause.LIMIT, "the team's spend limit is reached; raise it or wait for the next period")

_MONEY_WORDS = re.compile(
    r"(?:insufficient|not|enough|out|no|credits?|you|your|have|has|had|only|available|balance|current|currently|account"
    r"|remaining|left|is|are|was|been|of|for|to|the|this|a|request|run|need|needs|needed|require|required|requires|costs?"
    r"|usd|and|but|please|top|up|cap|limit|budget|period|per|days?|month|week|year|daily|weekly|monthly|yearly|hourly"
    r"|resets?|in|on|at|spent|spend|spending|used|team|team's|reached|exceeded)"
)
_NO_OTHER_CHARACTER = re.compile(r"[a-z0-9 .,:;!$()'/-]*")


def _speaks_of(*phrases: str) -> Callable[[str], bool]:
    """Give what tells a sentence that has these phrases and is about money from its first word to its last."""
    wanted = [re.compile(rf"\b(?:{phrase})\b") for phrase in phrases]

    def is_said(sentence: str) -> bool:
        is_about_money = all(_MONEY_WORDS.fullmatch(word) for word in re.findall(r"[a-z']+", sentence))
        is_plain = bool(_NO_OTHER_CHARACTER.fullmatch(sentence))
        return is_plain and is_about_money and all(each.search(sentence) for each in wanted)

    return is_said


def _is(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda sentence: bool(compiled.fullmatch(sentence))


SENTENCES: tuple[tuple[Callable[[str], bool], Meaning], ...] = (
    (_speaks_of("(?:insufficient|not enough|out of|no) credits?"), _credits),
    (_speaks_of("team", "(?:spend|spending|budget) (?:limit|cap)"), _spend_limit),
    (
        _is(
            r"(?:(?:the )?parameter \w+"
            r"|(?:image|mask|prompt|bounding_box|point_coords|seed|include_artifacts))\b.*"
        ),
        _refused,
    ),
)
"""What the answers 402 and 406 say, in lower case; any other sentence may be about the account or one job."""

ON_SUBMIT: Mapping[int, Meaning] = {
    400: _refused,
    401: _key,
    402: _by_sentence(_refused_perhaps(HoldCause.CREDITS, _NO_CREDITS)),
    403: _forbidden,
    404: _no_model,
    405: _protocol,
    406: _by_sentence(_protocol),
    410: _no_model,
    413: _refused,
    415: _refused,
    422: _refused,
    429: _limited,
    451: _refused,
}
"""What a status means when it answers a submit; a status that is not here means that nobody knows."""

ON_READ: Mapping[int, Meaning] = {
    401: _key,
    403: _forbidden,
    404: _gone,
    406: _refused_perhaps(HoldCause.PROTOCOL, "reads are refused; check the account and SEGMIND_BASE_URL"),
    429: _limited,
}
"""What a status means when it answers a read; for one that is not here, the read is made again later."""


def refused_submit(answer: Answer) -> Sam3dError:
    """Return what an answer means that does not accept a submit, with what it said."""
    return _told(ON_SUBMIT.get(answer.code, _unknown), answer)


def refused_read(answer: Answer) -> Sam3dError:
    """Return what an answer means that does not show a run, with what it said."""
    return _told(ON_READ.get(answer.code, _unavailable), answer)


def _told(meaning: Meaning, answer: Answer) -> Sam3dError:
    """Return what an answer means, with what it said."""
    error = meaning(answer)
    error.http_status, error.said = answer.code, answer.said
    return error
