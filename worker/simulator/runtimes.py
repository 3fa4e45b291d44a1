"""How long runs take: a distribution to draw from. Pure; the randomness is a parameter."""

import math
import random
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RunTime(BaseModel):
    """A distribution of run times, with an optional tail of cold starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["fixed", "lognormal"] = Field("lognormal", description="Shape of the distribution.")
    mean_seconds: float = Field(31.7, ge=0, description="Mean run time; the vendor's own figure is 31.7 s.")
    variation: float = Field(0.25, ge=0, description="Standard deviation divided by the mean (log-normal only).")
    cold_share: float = Field(0.0, ge=0, le=1, description="Share of runs that begin with a cold start.")
    cold_low_seconds: float = Field(60.0, ge=0, description="Shortest cold start, added to the run.")
    cold_high_seconds: float = Field(240.0, ge=0, description="Longest cold start, added to the run.")

    @classmethod
    def fixed(cls, seconds: float) -> "RunTime":
        """Return the distribution in which every run takes the same time."""
        return cls(kind="fixed", mean_seconds=seconds)

    def draw(self, chance: random.Random) -> float:
        """Return the seconds of one run."""
        seconds = self.mean_seconds
        if self.kind == "lognormal" and seconds > 0:
            spread = math.log(1.0 + self.variation**2)
            seconds = chance.lognormvariate(math.log(seconds) - spread / 2, math.sqrt(spread))
        if self.cold_share and chance.random() < self.cold_share:
            seconds += chance.uniform(self.cold_low_seconds, self.cold_high_seconds)
        return seconds
