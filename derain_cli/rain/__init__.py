"""The rain generator: streak populations (`streaks`) and what to do with them on a picture (`profiles`).

numpy and cv2 only, no torch and no files: it runs inside data-loading workers.
"""

from __future__ import annotations

from derain_cli.rain.profiles import PROFILES, RainSample, add_rain
from derain_cli.rain.streaks import streak_layer

__all__ = ["PROFILES", "RainSample", "add_rain", "streak_layer"]
