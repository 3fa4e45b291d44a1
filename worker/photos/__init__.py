"""Sample photos, `coffee.png` and `cat.png`, for the demo and the tests. `README.md` names their origin."""

from pathlib import Path

COFFEE = Path(__file__).parent / "coffee.png"
"""The photo that the demo uses if none is given; CC0."""
