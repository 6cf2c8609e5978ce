"""The rain generator: streak populations (`streaks`) what to do with them on a picture (`profiles`)
and on the frames of a clip (`motion`).

numpy and cv2 only, no torch and no files: it runs inside data-loading workers.
"""

from __future__ import annotations

from derain_cli.rain.motion import MovingRain, Shower
from derain_cli.rain.profiles import PROFILES, RainSample, add_rain
from derain_cli.rain.streaks import streak_layer

__all__ = ["PROFILES", "MovingRain", "RainSample", "Shower", "add_rain", "streak_layer"]
