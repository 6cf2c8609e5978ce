"""Rain parameters: the three profiles `light`, `heavy` and `real`.

`light` and `heavy` imitate the layers of Rain100L/200L and Rain100H/200H: O = clip(B + r), with r grey
and independent of the picture. `real` imitates photographs: see `RealRain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from derain_cli.rain.draws import Range

__all__ = ["PROFILES", "AdditiveRain", "Curtain", "Defocused", "Drops", "Night", "Profile", "RealRain"]


@dataclass(frozen=True, slots=True)
class AdditiveRain:
    """Rain added to the sRGB values, as in Rain100: O = clip(B + r).

    A picture has 1 to `populations` populations of streaks; each has its own direction, length and width, drawn
    from the ranges below; `mean_layer` sets the amount of rain.

    Attributes:
        source: what the numbers were measured on.
        mean_layer: mean of r (1 is white), lowest, most likely and highest of a triangular distribution.
        brightness: mean brightness of a streak, drawn log-uniformly, at the most likely `mean_layer`.
        brightness_follows: exponent with which the brightness scales with mean_layer: heavier rain has both more
            and brighter streaks.
        ceiling: the sum of overlapping streaks of one population saturates at this many times the mean
            brightness of a streak, drawn uniformly. Layers of Rain100H have such plateaus; 0 disables it.
        populations: the maximum number of populations in one picture.
        tilt: the largest tilt from the vertical, degrees.
        tilt_apart: standard deviation of the tilt between populations of one picture, degrees, drawn
            log-uniformly for each population.
        tilt_jitter: standard deviation of the tilt within a population, degrees, drawn uniformly.
        length: median length of a population, px, drawn log-uniformly.
        thickness: median full width at half maximum of a population, px, drawn uniformly.
        spread: standard deviations of the logarithms of length and thickness within a population.
        brightness_spread: standard deviation of the brightness over its mean, drawn uniformly.
        taper: see `streak_layer`, drawn uniformly.
        pointed: see `streak_layer`, drawn uniformly.
        lopsided: see `streak_layer`.
        beads: see `streak_layer`.
        bundle: see `streak_layer`, drawn uniformly.
        nearly_dry: share of samples with almost no rain, so that a network learns to leave dry pictures alone.
    """

    source: str
    mean_layer: tuple[float, float, float]
    brightness: Range
    brightness_follows: float
    ceiling: Range
    populations: int
    tilt: float
    tilt_apart: Range
    tilt_jitter: Range
    length: Range
    thickness: Range
    spread: tuple[float, float]
    brightness_spread: Range
    taper: Range
    pointed: Range
    lopsided: float
    beads: float
    bundle: Range
    nearly_dry: float


@dataclass(frozen=True, slots=True)
class Drops:
    """Streaks at one distance from the camera, for `RealRain`.

    Attributes:
        share: share of the pictures that have such streaks.
        number: streaks per 100x100 px at amount 1, drawn log-uniformly.
        length: median length, px, drawn log-uniformly.
        thickness: median full width at half maximum, px, drawn uniformly.
        opacity: mean opacity of a streak of the geometric mean length, drawn log-uniformly; it scales as 1 / length.
        end_softness: see `streak_layer`.
    """

    share: float
    number: Range
    length: Range
    thickness: Range
    opacity: Range
    end_softness: float


@dataclass(frozen=True, slots=True)
class Curtain:
    """Very fine and dense rain, for `RealRain`; see `curtain`.

    Its local mean is a veil, like that of drops too far away to be seen, and stays in the target; what has to be
    removed is the deviation from it: streaks and the gaps between them.

    Attributes:
        share: share of the pictures that have it.
        density: drops per pixel, drawn log-uniformly.
        length, thickness: of a streak, px, drawn log-uniformly.
        opacity: mean opacity over the picture, drawn log-uniformly.
        veil: scale of the local mean: standard deviation of a gaussian, px.
    """

    share: float
    density: Range
    length: Range
    thickness: Range
    opacity: Range
    veil: float


@dataclass(frozen=True, slots=True)
class Defocused:
    """Near, out-of-focus streaks, for `RealRain`; see `defocused_layer`.

    Attributes:
        share: share of the pictures that have them.
        number: streaks per 100x100 px, drawn log-uniformly.
        length: of the path, px, drawn log-uniformly.
        diameter: of the disc, px, drawn log-uniformly.
        opacity: in the middle of a streak, drawn log-uniformly.
    """

    share: float
    number: Range
    length: Range
    diameter: Range
    opacity: Range


@dataclass(frozen=True, slots=True)
class Night:
    """Rain in the light of a lamp, for `RealRain`.

    Attributes:
        share: share of the pictures that are dark except for one lamp, in or near the picture.
        reach: distance at which the lamp's light falls to a third, relative to the longer side, drawn log-uniformly.
        rest: ambient light, drawn log-uniformly.
        lamp: brightness of drops at the lamp, linear, 1 is white, drawn log-uniformly.
    """

    share: float
    reach: Range
    rest: Range
    lamp: Range


@dataclass(frozen=True, slots=True)
class RealRain:
    """Photographed rain: streaks at several depths under one wind, blended in linear light, seen by a camera.

    1. A veil, the sum of all drops too far to be seen: I = J t + A (1 - t), t = exp(-b d) with a smooth scene depth d
       that mostly grows upwards; in some pictures also spray, a patchy veil.
    2. The exposure is reduced; at night all but the surroundings of a lamp is dark.
    3. Streaks: I (1 - a) + a D, where the drop's light D is the strongly blurred picture around it (a drop
       refracts a wide field) mixed with light from the sky or the lamp, and a is the opacity, which scales as
       1 / length (a drop spreads the same light over its path). Far streaks and curtains are denser where the scene
       is deeper.
    4. sRGB with reduced contrast, sensor noise, sharpening, then JPEG.

    The target (`streak-free`) is the same photograph without step 3: it has the same veil (including a curtain's),
    exposure, contrast, noise realisation and JPEG quality, so a network learns to remove streaks and nothing else.

    All sizes are multiplied by one factor per picture, `scale`: the same rain is several times larger in pixels on a
    12-megapixel photograph than on one of half a megapixel.

    Attributes:
        source: where the numbers come from.
        scale: factor on all sizes, drawn log-uniformly.
        amount: factor on the number of streaks, drawn log-uniformly; (0, 0) means no streaks.
        nearly_dry: share of samples with almost no streaks.
        tilt: standard deviation of the wind's tilt, degrees; clipped at 40 degrees.
        stormy: share of samples with a tilt drawn uniformly up to `steepest` to either side.
        steepest: degrees.
        bent: share of samples in which gusts bend the streaks.
        curtain: very fine, too many to count.
        far: fine, short, many.
        mid: in between, the most visible streaks.
        near: few, wide, long.
        long: few, elongated by a slow shutter.
        defocused: few, wide, out of focus.
        transmission: t of the veil where the scene is deepest; the square root of its distance from the upper bound is
            drawn uniformly, since thick veils are rare.
        veiled: share of samples with a veil.
        spray: share of samples with spray.
        exposure: factor in linear light, drawn uniformly.
        night: rain in the light of a lamp.
        contrast: factor on the distance from the mean, sRGB, drawn uniformly.
        noise: standard deviation of the sensor noise in sRGB (1 is white), before smoothing, drawn log-uniformly.
        sharpened: share of photographs that are sharpened, as by cameras and resizing: fine streaks become crisp.
        sharpening: strength of the unsharp mask, drawn log-uniformly.
        jpeg_quality: drawn uniformly, inclusive.
        jpeg_share: share of photographs that are JPEG-compressed.
    """

    source: str
    scale: Range
    amount: Range
    nearly_dry: float
    tilt: float
    stormy: float
    steepest: float
    bent: float
    curtain: Curtain
    far: Drops
    mid: Drops
    near: Drops
    long: Drops
    defocused: Defocused
    transmission: Range
    veiled: float
    spray: float
    exposure: Range
    night: Night
    contrast: Range
    noise: Range
    sharpened: float
    sharpening: Range
    jpeg_quality: tuple[int, int]
    jpeg_share: float


Profile: TypeAlias = AdditiveRain | RealRain

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "light": AdditiveRain(
            source="Rain100L: 40 training pairs, rainy minus clean",
            mean_layer=(0.002, 0.018, 0.048),
            brightness=(0.12, 0.21),
            brightness_follows=0.6,
            ceiling=(0.0, 0.0),
            populations=2,
            tilt=30.0,
            tilt_apart=(0.2, 1.0),
            tilt_jitter=(1.2, 2.8),
            length=(18.0, 95.0),
            thickness=(1.4, 2.05),
            spread=(0.5, 0.28),
            brightness_spread=(0.65, 0.85),
            taper=(0.1, 0.4),
            pointed=(0.2, 0.8),
            lopsided=0.8,
            beads=0.9,
            bundle=(1.0, 1.5),
            nearly_dry=0.03,
        ),
        "heavy": AdditiveRain(
            source="Rain100H: 40 training pairs, rainy minus clean",
            mean_layer=(0.06, 0.21, 0.52),
            brightness=(0.15, 0.30),
            brightness_follows=0.3,
            ceiling=(1.5, 4.5),
            populations=4,
            tilt=3.5,
            tilt_apart=(4.0, 20.0),
            tilt_jitter=(0.3, 3.5),
            length=(24.0, 85.0),
            thickness=(1.4, 2.1),
            spread=(0.55, 0.3),
            brightness_spread=(0.4, 0.8),
            taper=(0.0, 0.3),
            pointed=(0.2, 0.9),
            lopsided=0.5,
            beads=0.0,
            bundle=(1.0, 1.0),
            nearly_dry=0.0,
        ),
        "real": RealRain(
            source="project choices, real SPA pairs, and real photographs of the DDN-SIRR set",
            scale=(0.6, 2.5),
            amount=(0.3, 2.0),
            nearly_dry=0.08,
            tilt=13.0,
            stormy=0.25,
            steepest=60.0,
            bent=0.25,
            curtain=Curtain(0.40, (0.01, 0.3), (4.0, 22.0), (0.8, 1.8), (0.05, 0.45), 12.0),
            far=Drops(0.8, (60.0, 500.0), (8.0, 25.0), (0.9, 1.8), (0.08, 0.60), 2.0),
            mid=Drops(0.85, (6.0, 70.0), (18.0, 45.0), (1.2, 2.8), (0.12, 0.75), 3.0),
            near=Drops(0.35, (0.3, 3.0), (40.0, 80.0), (3.0, 9.0), (0.10, 0.45), 8.0),
            long=Drops(0.20, (0.5, 12.0), (60.0, 200.0), (1.0, 3.5), (0.06, 0.40), 12.0),
            defocused=Defocused(0.25, (0.1, 3.0), (4.0, 120.0), (4.0, 16.0), (0.06, 0.60)),
            transmission=(0.35, 1.0),
            veiled=0.6,
            spray=0.10,
            exposure=(0.55, 1.05),
            night=Night(0.08, (0.3, 1.5), (0.03, 0.3), (0.3, 1.5)),
            contrast=(0.8, 1.0),
            noise=(0.002, 0.02),
            sharpened=0.5,
            sharpening=(0.3, 2.0),
            jpeg_quality=(60, 95),
            jpeg_share=0.75,
        ),
    }
)
