"""``make fuzz``: fuzz every reader of strangers' bytes in turn, until the time is over."""

import argparse
import itertools
import time
from collections import Counter
from collections.abc import Sequence

from tests.fuzz.fuzzing import MOST_GROWTH, fuzz, growth_over
from tests.fuzz.mutations import Recipe
from tests.fuzz.targets import TARGETS
from worker.work.room import give_back_memory

AT_A_TIME = 200


def main() -> None:
    """Fuzz, and print how often each was called."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    give_back_memory()  # As a worker does.
    calls: Counter[str] = Counter()
    tried: dict[str, Sequence[Recipe]] = {}
    ends_at = time.monotonic() + 60 * given.minutes
    for turn, name in enumerate(itertools.cycle(TARGETS)):
        if time.monotonic() > ends_at:
            break
        try:
            tried[name] = fuzz(TARGETS[name], given.seed + turn, AT_A_TIME)
        except Exception as error:
            error.add_note(f"found in {name}, seed {given.seed + turn}")
            raise
        calls[name] += len(tried[name])
    grown = growth_over(tried)
    print(", ".join(f"{name} {count:,}" for name, count in calls.items()))
    print(f"{calls.total():,} calls, seed {given.seed}: no error, none too long; all again: {grown:.0f} MiB more")
    if grown > MOST_GROWTH:
        raise SystemExit(f"the process grew by more than {MOST_GROWTH} MiB")


if __name__ == "__main__":
    main()
