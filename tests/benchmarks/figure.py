"""The figure of the benchmark: polls per job against the delay until an end is seen, both logarithmic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from tests.benchmarks.runs import Oracle, Score, rhythm

FIXED = (1, 2, 3, 5, 8, 10, 15, 20)
"""Seconds between the polls of the fixed rhythms."""

CAPS = (3, 5, 10, 30)
"""Longest seconds between the polls of the rhythms that start with one and wait half as long again each time."""

FIXED_NAMES: Mapping[float, str] = {1: "every second", 5: "every 5 s"}
GROWING_NAMES: Mapping[float, str] = {30: "1 s x 1.5 up to 30 s"}
BELOW = (-8, -10)

OPTIMAL_PRICES = tuple(0.02 * 1.5**step for step in range(21))

INK, MUTED, GRID = "#1f2328", "#656d76", "#e4e7eb"
OURS, OPTIMUM, OPTIMUM_INK, STEADY, GROWING = "#0969da", "#b6d6fa", "#57606a", "#bc4c00", "#8250df"

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "polling",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


@dataclass(frozen=True)
class Frontier:
    """What is drawn: a curve for each way to choose when to poll; the keys are prices, waits or longest waits, s."""

    optimum: Sequence[Score]
    ours: Mapping[float, Score]
    fixed: Mapping[float, Score]
    growing: Mapping[float, Score]

    @classmethod
    def of(cls, oracle: Oracle, ours: Mapping[float, Score]) -> Self:
        """Compute the curves that need no simulation."""
        return cls(
            optimum=[oracle.optimum(price) for price in OPTIMAL_PRICES],
            ours=dict(sorted(ours.items())),
            fixed={gap: oracle.keep_to(rhythm(gap)) for gap in FIXED},
            growing={cap: oracle.keep_to(rhythm(1, 1.5, cap)) for cap in CAPS},
        )


def draw(path: Path, frontier: Frontier) -> None:
    """Write the figure, the same bytes for the same numbers; the name's end says in which format."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.9, 4.4), dpi=96, facecolor="white")
        axes = figure.add_axes((0.085, 0.125, 0.895, 0.855))
        _frame(axes)
        _curves(axes, frontier)
        _labels(axes, frontier)
        figure.savefig(path, metadata={"Date": None, "Creator": None} if path.suffix == ".svg" else None)


def _frame(axes: Axes) -> None:
    """Set up the scales: plain numbers, a faint grid, no box."""
    axes.set(xscale="log", yscale="log", xlim=(1, 50), ylim=(0.35, 25))
    axes.set(xlabel="polls per job", ylabel="seconds until the end is seen, mean")
    for axis, ticks in ((axes.xaxis, (1, 2, 3, 5, 10, 20, 40)), (axes.yaxis, (0.5, 1, 2, 5, 10, 20))):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(color=GRID, linewidth=0.8)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _curves(axes: Axes, frontier: Frontier) -> None:
    """Draw the lines and points, ours on top."""
    for scores, color in ((frontier.fixed, STEADY), (frontier.growing, GROWING)):
        axes.plot(*_points(list(scores.values())), color=color, linewidth=1.2, marker="o", markersize=4.5)
    axes.plot(*_points(frontier.optimum), color=OPTIMUM, linewidth=5, solid_capstyle="round", alpha=0.8)
    axes.plot(*_points(list(frontier.ours.values())), color=OURS, linestyle="", marker="o", markersize=8)


def _points(scores: Sequence[Score]) -> tuple[list[float], list[float]]:
    return [score.polls for score in scores], [score.delay for score in scores]


def _labels(axes: Axes, frontier: Frontier) -> None:
    """Name each curve in its own colour, and its points."""
    for gap, score in frontier.fixed.items():
        _label(axes, score, FIXED_NAMES.get(gap, f"{gap:g} s"), STEADY, BELOW, ha="right")
    for cap, score in frontier.growing.items():
        _label(axes, score, GROWING_NAMES.get(cap, f"{cap:g} s"), GROWING)
    for price, score in frontier.ours.items():
        _label(axes, score, f"{price:g} s", OURS, BELOW, ha="right")
    _label(axes, Score(1.06, 1.45), "learnt from the runs so far,", OURS, weight="bold")
    _label(axes, Score(1.06, 1.18), "where a poll is worth …", OURS, weight="bold")
    _label(axes, frontier.optimum[0], "the least possible,", OPTIMUM_INK, (-42, 0), ha="right")
    _label(axes, frontier.optimum[0], "all run times known", OPTIMUM_INK, (-42, -13), ha="right")


def _label(axes: Axes, at: Score, text: str, color: str, offset: tuple[float, float] = (7, 3), **look: Any) -> None:
    axes.annotate(text, (at.polls, at.delay), offset, textcoords="offset points", color=color, fontsize=9.5, **look)
