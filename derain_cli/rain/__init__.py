"""The rain generator: streaks (`streaks`, `curtain`, `defocus`), the parameters of each kind of rain (`profiles`), and
rendering onto a picture (`apply`) or the frames of a clip (`motion`).

numpy and cv2 only, no torch and no file access: it runs inside data-loading workers.
"""

from __future__ import annotations

from derain_cli.rain.apply import add_rain
from derain_cli.rain.motion import MovingRain, Shower
from derain_cli.rain.photographed import RainSample
from derain_cli.rain.profiles import PROFILES
from derain_cli.rain.scene import MovingScene
from derain_cli.rain.streaks import streak_layer

__all__ = ["PROFILES", "MovingRain", "MovingScene", "RainSample", "Shower", "add_rain", "streak_layer"]
