"""Fault rules: which call goes wrong, how, and when. Pure, seeded; `mischief` carries them out."""

import random
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Call = Literal["submit", "status", "result", "legacy_status", "blocking", "credits", "history", "download"]
Kind = Literal[
    "status",
    "reset",
    "drop_answer",
    "hang",
    "slow_bytes",
    "slow_headers",
    "truncate",
    "html",
    "wrong_json",
    "broken_json",
    "missing_id",
    "unknown_status",
    "huge_body",
    "endless_body",
    "redirect",
    "empty",
    "gzip_bomb",
    "wrong_magic",
    "bad_zip",
    "no_output",
    "output_url",
    "fail_job",
    "never_ends",
    "refuse_late",
    "known_id",
    "other_result",
    "gone",
]

STARTING: frozenset[str] = frozenset({"submit", "blocking"})
READING: frozenset[str] = frozenset({"status", "result", "legacy_status"})
_ONLY_ON: dict[str, frozenset[str]] = {
    "fail_job": STARTING,
    "never_ends": STARTING,
    "refuse_late": STARTING,
    "known_id": frozenset({"submit"}),
    "other_result": READING,
    "missing_id": READING | {"submit"},
    "unknown_status": READING | {"submit"},
    "no_output": READING,
    "output_url": READING,
    "gone": READING | {"download", "history"},
    "wrong_magic": frozenset({"download", "blocking"}),
    "bad_zip": frozenset({"download"}),
}
_NEEDS = {"status": "http_status", "output_url": "url", "redirect": "url"}
# These change the real answer, so on a submit there must be one.
CHANGING: frozenset[str] = frozenset(
    {"slow_bytes", "slow_headers", "truncate", "broken_json", "missing_id", "unknown_status", "no_output"}
    | {"output_url", "wrong_magic"}
)
# These are decided where the call is answered: what becomes of a run, and which run an answer is about.
FATES: frozenset[str] = frozenset({"fail_job", "never_ends", "refuse_late", "known_id", "other_result"})
# These replace it, or its way back, and the run starts unless the rule says otherwise.
_STARTS: frozenset[str] = CHANGING | frozenset(
    {"drop_answer", "html", "wrong_json", "huge_body", "endless_body", "empty", "gzip_bomb"}
    | {"fail_job", "never_ends", "refuse_late", "known_id"}
)


class FaultRule(BaseModel):
    """One way to go wrong. All its conditions (`rate`, `count`, `skip`, `prompt`, …) have to hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    call: Call | Literal["any"] = Field(description="Which call goes wrong.")
    kind: Kind = Field(description="What goes wrong.")
    rate: float = Field(1.0, ge=0, le=1, description="Share of the matching calls that go wrong.")
    count: int | None = Field(None, ge=1, description="How many calls go wrong at most; none: no end.")
    skip: int = Field(0, ge=0, description="How many matching calls go well first.")
    prompt: str | None = Field(None, description="Only jobs whose prompt contains this.")
    seed: int | None = Field(None, description="Only jobs with this seed.")
    request_id: str | None = Field(None, description="Only this run.")
    starts_run: bool | None = Field(None, description="Whether a submit that goes wrong still starts a run.")
    http_status: int | None = Field(None, ge=200, le=599, description="Status of the answer (status, html, ...).")
    body: Any = Field(None, description="Body instead of the usual one: text, or anything as JSON.")
    content_type: str | None = Field(None, description="Content type of the body.")
    headers: dict[str, str] = Field(default_factory=dict, description="Further headers.")
    url: str | None = Field(None, description="Where to: redirect, output_url.")
    message: str | None = Field(
        None,
        description=(
            "Text: the error of status, fail_job and refuse_late (FAILED within 30 ms), the word of unknown_status."
        ),
    )
    size: int = Field(64 * 2**20, ge=0, description="Bytes: huge_body; gzip_bomb once unpacked.")
    bytes_per_second: float = Field(20.0, gt=0, description="Speed: slow_bytes, slow_headers.")
    seconds: float = Field(3600.0, gt=0, description="How long hang hangs, if the client stays.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse rules that could never do what they say."""
        allowed = _ONLY_ON.get(self.kind)
        if allowed is not None and self.call not in allowed:
            raise ValueError(f"{self.kind} is possible on {', '.join(sorted(allowed))}, not on {self.call}")
        needed = _NEEDS.get(self.kind)
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"{self.kind} needs {needed}")
        if self.starts_run is not None and self.call not in STARTING:
            raise ValueError(f"starts_run is possible on submit and blocking, not on {self.call}")
        if self.starts_run is False and self.kind in CHANGING | {
            "drop_answer",
            "fail_job",
            "never_ends",
            "refuse_late",
        }:
            raise ValueError(f"{self.kind} always starts the run; starts_run: false is a contradiction")
        return self

    @property
    def lets_run_start(self) -> bool:
        """Whether a submit that this rule spoils starts a run all the same."""
        return self.kind in _STARTS if self.starts_run is None else self.starts_run

    @property
    def is_early(self) -> bool:
        """Whether the rule strikes before the body is read."""
        named = self.prompt is not None or self.seed is not None or self.request_id is not None
        return self.kind == "reset" and not self.lets_run_start and not named

    def concerns(self, call: str, inputs: dict[str, Any], request_id: str | None) -> bool:
        """Return whether a call is of the kind that this rule is about."""
        if self.call not in {call, "any"}:
            return False
        if self.request_id is not None and self.request_id != request_id:
            return False
        if self.seed is not None and self.seed != inputs.get("seed"):
            return False
        return self.prompt is None or self.prompt in str(inputs.get("prompt") or "")


@dataclass
class _Entry:
    """A rule and how often it matched and struck."""

    number: int
    rule: FaultRule
    matched: int = 0
    fired: int = 0


class FaultBook:
    """The rules in force, in the order they were added: the first that strikes wins."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._entries: list[_Entry] = []
        self._next = 1

    def add(self, rule: FaultRule) -> int:
        """Add a rule and return its number."""
        self._entries.append(_Entry(self._next, rule))
        self._next += 1
        return self._next - 1

    def drop(self, number: int) -> None:
        """Drop one rule; one that is not there is gone already."""
        self._entries = [entry for entry in self._entries if entry.number != number]

    def clear(self) -> None:
        """Drop all rules."""
        self._entries.clear()

    @property
    def is_empty(self) -> bool:
        """Whether there are no rules."""
        return not self._entries

    @property
    def look_at_inputs(self) -> bool:
        """Whether any rule asks what a job is about."""
        return any(entry.rule.prompt is not None or entry.rule.seed is not None for entry in self._entries)

    def listed(self) -> list[dict[str, Any]]:
        """Return the rules with how often each struck."""
        return [
            {"id": entry.number, "fired": entry.fired, **entry.rule.model_dump(exclude_defaults=True)}
            for entry in self._entries
        ]

    def pick(
        self, call: str, inputs: dict[str, Any], request_id: str | None, *, early: bool = False
    ) -> FaultRule | None:
        """Return the rule that strikes this call, if one does, and count it."""
        for entry in self._entries:
            if entry.rule.is_early == early and self._strikes(entry, call, inputs, request_id):
                entry.fired += 1
                return entry.rule
        return None

    def _strikes(self, entry: _Entry, call: str, inputs: dict[str, Any], request_id: str | None) -> bool:
        """Return whether a rule strikes, by its conditions and by chance."""
        rule = entry.rule
        if rule.count is not None and entry.fired >= rule.count:
            return False
        if not rule.concerns(call, inputs, request_id):
            return False
        entry.matched += 1
        if entry.matched <= rule.skip:
            return False
        return rule.rate >= 1.0 or self._chance.random() < rule.rate
