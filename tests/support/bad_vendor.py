"""What the vendor of a soak does wrong: one call, or everything of a kind for a while, chosen by a seed."""

import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from uuid import UUID

from tests.support.deployment import KEY
from tests.support.judge import prompt_of
from worker.simulator import Simulator

CREDITS = 1_000_000.0
LATEST_ROW_SECONDS = 10.0
STARTS = ({"starts_run": True}, {"starts_run": False})
SUBMIT_FAULTS: list[dict[str, Any]] = [
    *({"kind": kind, **starts} for kind in ("reset", "hang") for starts in STARTS),
    *({"kind": "status", "http_status": code, **starts} for code in (500, 502, 504) for starts in STARTS),
    *({"kind": kind} for kind in ("drop_answer", "html", "wrong_json", "broken_json", "truncate", "missing_id")),
    *({"kind": kind} for kind in ("empty", "slow_bytes", "slow_headers", "unknown_status", "fail_job", "never_ends")),
    {"kind": "refuse_late", "message": "bounding_box is outside the image"},
    {"kind": "status", "http_status": 429, "starts_run": False},
    {"kind": "redirect", "url": "http://127.0.0.1:9/", "starts_run": False},
]
READ_FAULTS: list[dict[str, Any]] = [
    *({"kind": "status", "http_status": code} for code in (429, 500, 502, 504)),
    *({"kind": kind} for kind in ("reset", "drop_answer", "hang", "html", "wrong_json", "broken_json", "truncate")),
    *({"kind": kind} for kind in ("empty", "slow_bytes", "slow_headers")),
]
FAULTS_OF_A_CALL: Mapping[str, list[dict[str, Any]]] = {
    "submit": SUBMIT_FAULTS,
    "status": [*READ_FAULTS, {"kind": "unknown_status"}, {"kind": "missing_id"}, {"kind": "gone"}],
    "result": [*READ_FAULTS, {"kind": "gone"}, {"kind": "no_output"}],
    "download": [*({"kind": kind} for kind in ("reset", "truncate", "hang", "slow_bytes", "wrong_magic", "empty"))],
    "history": [*READ_FAULTS, {"kind": "gone"}],
}
"""What the vendor can do wrong with a call; faults that make a good run end as failed by contract are left out."""

OUTAGES: list[list[dict[str, Any]]] = [
    [{"call": "submit", "kind": "status", "http_status": 502}],
    [{"call": "submit", "kind": "reset"}],
    [{"call": "submit", "kind": "reset", "rate": 0.5}, {"call": "submit", "kind": "status", "http_status": 503}],
    [{"call": "submit", "kind": "status", "http_status": 500, "starts_run": True, "rate": 0.5}],
]
LIES: Mapping[str, list[dict[str, Any]]] = {
    "reads know no id": [{"call": "status", "kind": "gone"}, {"call": "result", "kind": "gone", "rate": 0.5}],
    "a third of the history fails": [{"call": "history", "kind": "status", "http_status": 500, "rate": 0.3}],
    "bodies of others": [{"call": call, "kind": "other_result", "rate": 0.5} for call in ("status", "result")],
    "ids of others": [{"call": "submit", "kind": "known_id", "rate": 0.3, **starts} for starts in STARTS],
}
USUAL: Mapping[str, Any] = {
    "known_after_seconds": 0,
    "output_delay_seconds": 0,
    "unfinished_result": "status",
    "extra_files": (),
    "history_delay_spread_seconds": 0,
    "history_output_delay_seconds": 0,
    "history_images": "as_sent",
    "history_utc_offset_minutes": 0,
    "history_zone": True,
    "history_dashless": False,
    "foreign_run_every_seconds": None,
}
ODDITIES: Mapping[str, Mapping[str, Any]] = {
    "ids are known late": {"known_after_seconds": 8},
    "outputs are named late": {"output_delay_seconds": 8},
    "unfinished results are 404": {"unfinished_result": "404"},
    "unfinished results are 202": {"unfinished_result": "202"},
    "more files": {"extra_files": ("splat.ply", "scene.obj", "poses.json", "preview.png", "model.usdz")},
    "rows are late": {"history_delay_spread_seconds": LATEST_ROW_SECONDS},
    "addresses are listed late": {"history_output_delay_seconds": 8},
    "rows without pictures": {"history_images": "dropped"},
    "rows with other pictures": {"history_images": "url"},
    "rows in local time": {"history_utc_offset_minutes": 330, "history_zone": False},
    "rows in local time with its zone": {"history_utc_offset_minutes": -480},
    "ids without dashes": {"history_dashless": True},
    "another user of the key": {"foreign_run_every_seconds": 1},
}
"""What the vendor may be like for a while."""

POISONS: Mapping[int, str | None] = {
    401: None,
    403: None,
    404: None,
    405: None,
    406: "Invalid prompt: 'a quota of cups, insufficient credits' has a word that is not allowed",
    410: None,
}
"""What one job is refused with, and the sentence."""


class Producer(Protocol):
    """Whoever sends requests."""

    def ask_for(self, job_id: str) -> None:
        """Send a request with this id."""


class BadVendor:
    """Goes wrong in one way after the other; ``heal_after`` is asked to end what lasts."""

    def __init__(
        self,
        simulator: Simulator,
        producer: Producer,
        chance: random.Random,
        heal_after: Callable[[float, float, Callable[[], object]], None],
    ) -> None:
        self.poisoned: set[str] = set()
        self.faults: Mapping[Callable[[], str], float] = {
            self._spoil_a_call: 30,
            self._exhaust_credits: 2,
            self._revoke_key: 2,
            self._limit_requests: 0.5,
            self._hide_history: 2,
            self._refuse_all: 2,
            self._lie: 8,
            self._be_odd: 16,
            self._poison_a_job: 6,
        }
        self._simulator = simulator
        self._producer = producer
        self._chance = chance
        self._heal_after = heal_after

    def heal(self) -> None:
        """Be as ever."""
        self._simulator.clear_faults()
        self._simulator.update(**USUAL)

    def slow_a_submit(self) -> None:
        """Take three seconds for the next submit, start its run, and answer nothing."""
        self._simulator.add_fault(call="submit", kind="hang", seconds=3, starts_run=True, count=1)

    def _spoil_a_call(self) -> str:
        call = self._chance.choice(sorted(FAULTS_OF_A_CALL))
        rule = self._chance.choice(FAULTS_OF_A_CALL[call])
        self._simulator.add_fault(call=call, count=self._chance.randint(1, 4), rate=0.7, **rule)
        return f"vendor: {call} {rule.get('http_status') or rule['kind']}"

    def _set_for_a_while(self, longest: float, during: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        self._simulator.update(**during)
        self._heal_after(2, longest, lambda: self._simulator.update(**after))

    def _break_for_a_while(self, longest: float, rules: list[dict[str, Any]]) -> None:
        numbers = [self._simulator.add_fault(**rule) for rule in rules]

        def mend() -> None:
            for number in numbers:
                self._simulator.drop_fault(number)

        self._heal_after(5, longest, mend)

    def _exhaust_credits(self) -> str:
        status = self._chance.choice((402, 406))
        self._set_for_a_while(12, {"credits": 0.0, "credits_status": status}, {"credits": CREDITS})
        return f"vendor: no credits, {status}"

    def _revoke_key(self) -> str:
        self._set_for_a_while(12, {"revoked_keys": (KEY,)}, {"revoked_keys": ()})
        return "vendor: key revoked"

    def _limit_requests(self) -> str:
        self._set_for_a_while(10, {"requests_per_minute": 20}, {"requests_per_minute": None})
        return "vendor: request limit"

    def _hide_history(self) -> str:
        self._set_for_a_while(10, {"history_available": False}, {"history_available": True})
        return "vendor: no history"

    def _refuse_all(self) -> str:
        self._break_for_a_while(30, self._chance.choice(OUTAGES))
        return "vendor: outage of submits"

    def _lie(self) -> str:
        name = self._chance.choice(sorted(LIES))
        self._break_for_a_while(20, LIES[name])
        return f"vendor: {name}"

    def _be_odd(self) -> str:
        name = self._chance.choice(sorted(ODDITIES))
        during = ODDITIES[name]
        self._set_for_a_while(25, during, {each: USUAL[each] for each in during})
        return f"vendor: {name}"

    def _poison_a_job(self) -> str:
        """Have one job refused for as long as the soak goes on, and sent like any other."""
        status = self._chance.choice(sorted(POISONS))
        job_id = str(UUID(int=self._chance.getrandbits(128), version=4))
        rule = {"http_status": status, "message": POISONS[status], "prompt": prompt_of(job_id)}
        self._simulator.add_fault(call="submit", kind="status", **rule)
        self.poisoned.add(job_id)
        self._producer.ask_for(job_id)
        return f"vendor: one job is refused, {status}"
