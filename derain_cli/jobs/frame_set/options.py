"""Which frames of clips make a data set."""

from __future__ import annotations

import math
from dataclasses import dataclass

from derain_cli.config.schema import require_option

__all__ = ["FramesOptions"]


@dataclass(frozen=True)
class FramesOptions:
    """Which frames of clips make a data set of real rain, named as the flags.

    Attributes:
        total: pictures wanted, those of the test included.
        test: pictures of the test, from clips that give none to the training.
        per_clip: pictures of one clip at most; None sets no limit.
        every: seconds between two frames that are looked at; 0 looks at all.
        min_rain: least share of the picture that lies under streaks, percent.
        similar: bits of 64 in which the perceptual hashes of two pictures may differ for one of them to be left out.
        jobs: clips and photos worked on at once.
    """

    total: int = 2000
    test: int = 200
    per_clip: int | None = None
    every: float = 0.2
    min_rain: float = 1.0
    similar: int = 6
    jobs: int = 1

    def __post_init__(self) -> None:
        require_option(self.total >= 1, "total", f"must be at least 1, not {self.total}")
        require_option(
            0 <= self.test < self.total, "test", f"must be 0 or more and less than the total, not {self.test}"
        )
        require_option(
            self.per_clip is None or self.per_clip >= 1, "per_clip", f"must be at least 1, not {self.per_clip}"
        )
        require_option(0 <= self.every < math.inf, "every", f"is a number of seconds, not {self.every}")
        require_option(0 <= self.min_rain <= 100, "min_rain", f"must be 0 to 100, not {self.min_rain}")
        require_option(0 <= self.similar <= 64, "similar", f"must be 0 to 64, not {self.similar}")
        require_option(self.jobs >= 1, "jobs", f"must be at least 1, not {self.jobs}")
