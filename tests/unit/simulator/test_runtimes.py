"""Run times are drawn from the distribution that was asked for."""

import random
import statistics

import pytest

from worker.simulator import RunTime, SimulatorSettings


def drawn(run_time: RunTime, count: int = 4000, seed: int = 1) -> list[float]:
    """Return many run times."""
    chance = random.Random(seed)
    return [run_time.draw(chance) for _ in range(count)]


def test_fixed_is_always_the_same() -> None:
    """A fixed run time does not vary."""
    assert set(drawn(RunTime.fixed(5), 10)) == {5.0}


def test_lognormal_has_the_mean_and_variation_asked_for() -> None:
    """Mean and coefficient of variation are those of the settings."""
    times = drawn(RunTime(mean_seconds=31.7, variation=0.25))
    assert statistics.fmean(times) == pytest.approx(31.7, rel=0.03)
    assert statistics.stdev(times) / statistics.fmean(times) == pytest.approx(0.25, rel=0.1)


def test_cold_starts_come_on_top_of_their_share() -> None:
    """About the asked share of runs is longer by a cold start."""
    times = drawn(RunTime(kind="fixed", mean_seconds=1, cold_share=0.2, cold_low_seconds=60, cold_high_seconds=90))
    cold = [seconds for seconds in times if seconds > 1]
    assert len(cold) / len(times) == pytest.approx(0.2, abs=0.03)
    assert all(61 <= seconds <= 91 for seconds in cold)


def test_the_same_seed_draws_the_same() -> None:
    """Draws are reproducible."""
    assert drawn(RunTime(), 20) == drawn(RunTime(), 20)


def test_a_number_is_a_fixed_run_time() -> None:
    """Settings take a bare number of seconds."""
    assert SimulatorSettings.model_validate({"run_time": 5}).run_time == RunTime.fixed(5)


def test_every_setting_is_described() -> None:
    """Each field has its line."""
    assert all(field.description for field in SimulatorSettings.model_fields.values())
