"""Options for building a data set from clips."""

from __future__ import annotations

import math
from dataclasses import dataclass

from derain_cli.config.schema import require_option

__all__ = ["FramesOptions"]


@dataclass(frozen=True)
class FramesOptions:
    """Options for building a data set of real rain; fields are named like the flags.

    Attributes:
        total: number of pictures, including the test split.
        test: size of the test split, which shares no clip with the training split.
        per_clip: maximum number of pictures per clip; None for no limit.
        every: seconds between measured frames; 0 measures all.
        min_rain: minimum share of the picture covered by streaks, percent.
        similar: maximum Hamming distance (of 64 bits) between the perceptual hashes of near-duplicates.
        jobs: number of clips and photos processed at once.

    Raises:
        UsageError: a value is out of range.
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
            0 <= self.test < self.total, "test", f"must be at least 0 and less than the total, not {self.test}"
        )
        require_option(
            self.per_clip is None or self.per_clip >= 1, "per_clip", f"must be at least 1, not {self.per_clip}"
        )
        require_option(0 <= self.every < math.inf, "every", f"must be a number of seconds, not {self.every}")
        require_option(0 <= self.min_rain <= 100, "min_rain", f"must be 0 to 100, not {self.min_rain}")
        require_option(0 <= self.similar <= 64, "similar", f"must be 0 to 64, not {self.similar}")
        require_option(self.jobs >= 1, "jobs", f"must be at least 1, not {self.jobs}")
