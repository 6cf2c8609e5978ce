"""What rain looks like: the three profiles `light`, `heavy` and `real`, and how each is put on a picture.

`light` and `heavy` imitate the layers of Rain100L/200L and Rain100H/200H: O = clip(B + r), r grey
and independent of the picture. `real` imitates photographs: see `RealRain`.

All pictures are HxWx3 float32 in [0, 1], sRGB-coded RGB. Randomness comes from the generator
that is passed in and from nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli.errors import UsageError
from derain_cli.rain.streaks import streak_layer, streak_mass

__all__ = ["PROFILES", "AdditiveRain", "Drops", "Profile", "RainSample", "RealRain", "add_rain"]

Image: TypeAlias = NDArray[np.float32]
Range: TypeAlias = tuple[float, float]
Target: TypeAlias = Literal["streak-free", "clean"]


@dataclass(frozen=True, slots=True)
class RainSample:
    """A picture with rain on it.

    Attributes:
        rainy: HxWx3 float32 in [0, 1], the network's input.
        clean: HxWx3 float32 in [0, 1], the training target.
        layer: float32, what was added. For `light` and `heavy` HxW, the grey layer r before clipping:
            rainy = clip(clean + r). For `real` HxW, the opacity of the streaks in [0, 1].
    """

    rainy: Image
    clean: Image
    layer: Image


@dataclass(frozen=True, slots=True)
class AdditiveRain:
    """Rain that is added to the sRGB values, as in Rain100: O = clip(B + r).

    A picture has 1 to `populations` populations; each has its own direction, length and width, drawn from
    the ranges below; the amount of rain is set by `mean_layer`.

    Attributes:
        source: what the numbers were measured on.
        mean_layer: mean of r (1 is white), lowest, most likely and highest of a triangular distribution.
        brightness: mean brightness of a streak, drawn log-uniformly, at the most likely `mean_layer`.
        brightness_follows: the brightness goes like mean_layer to this power: heavier rain is partly more
            streaks, partly brighter ones.
        ceiling: the sum of overlapping streaks of one population levels off at this many times the mean
            brightness of a streak, drawn uniformly. Layers of Rain100H have such plateaus; 0 is none.
        populations: the most populations in one picture.
        tilt: the largest tilt from the vertical, degrees.
        tilt_apart: standard deviation of the tilt between populations of one picture, degrees, drawn
            log-uniformly for each population.
        tilt_jitter: standard deviation of the tilt inside a population, degrees, drawn uniformly.
        length: median length of a population, px, drawn log-uniformly.
        thickness: median full width at half maximum of a population, px, drawn uniformly.
        spread: standard deviation of the logarithms of length and of thickness inside a population.
        brightness_spread: standard deviation of the brightness over its mean, drawn uniformly.
        taper: see `streak_layer`, drawn uniformly.
        pointed: see `streak_layer`, drawn uniformly.
        lopsided: see `streak_layer`.
        beads: see `streak_layer`.
        bundle: see `streak_layer`, drawn uniformly.
        nearly_dry: share of samples with hardly any rain, so that a network learns to leave dry pictures alone.
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
        opacity: mean opacity of a streak of the geometric mean length, drawn log-uniformly; it goes like 1 / length.
        end_softness: see `streak_layer`; near drops are out of focus.
    """

    share: float
    number: Range
    length: Range
    thickness: Range
    opacity: Range
    end_softness: float


@dataclass(frozen=True, slots=True)
class RealRain:
    """Photographed rain: three depths under one wind, blended in linear light, seen by a camera.

    1. A veil, the sum of all drops too far to be seen: I = J t + A (1 - t).
    2. The exposure goes down.
    3. Streaks: I (1 - a) + a D, where the drop's light D is the strongly blurred picture around it (a drop
       refracts a wide field) mixed with the sky's light A, and a is the opacity. Opacity goes like 1 / length
       (a drop smears the same light over its path).
    4. sRGB with less contrast, sensor noise, then JPEG.

    The target (`streak-free`) is the same photograph without step 3: it has the veil, the exposure, the
    contrast and the same realisation of the noise, so a network learns to take out streaks and nothing else. JPEG is on
    the input only.

    Attributes:
        source: where the numbers come from.
        amount: scales the number of streaks, drawn log-uniformly; (0, 0) is no streaks.
        nearly_dry: share of samples with hardly any streaks.
        tilt: standard deviation of the wind's tilt, degrees; cut at 40 degrees.
        far: fine, short, many.
        mid: in between, most of what one sees.
        near: few, wide, long, out of focus.
        transmission: t of the veil; the square root of its distance from the upper end is drawn uniformly, as
            thick veils are rare.
        veiled: share of samples with a veil.
        exposure: factor in linear light, drawn uniformly.
        contrast: factor on the distance from the mean, sRGB, drawn uniformly.
        noise: standard deviation of the sensor noise in sRGB (1 is white), before it is softened, drawn log-uniformly.
        jpeg_quality: drawn uniformly, both ends included.
        jpeg_share: share of inputs that went through JPEG.
    """

    source: str
    amount: Range
    nearly_dry: float
    tilt: float
    far: Drops
    mid: Drops
    near: Drops
    transmission: Range
    veiled: float
    exposure: Range
    contrast: Range
    noise: Range
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
            source="decisions of the project, SPA real pairs, and real photographs of the DDN-SIRR set",
            amount=(0.3, 2.0),
            nearly_dry=0.08,
            tilt=13.0,
            far=Drops(0.9, (60.0, 500.0), (8.0, 25.0), (0.9, 1.8), (0.12, 0.60), 2.0),
            mid=Drops(0.9, (8.0, 70.0), (18.0, 45.0), (1.2, 2.8), (0.18, 0.75), 3.0),
            near=Drops(0.4, (0.3, 3.0), (40.0, 80.0), (3.0, 9.0), (0.10, 0.45), 8.0),
            transmission=(0.6, 1.0),
            veiled=0.6,
            exposure=(0.55, 1.05),
            contrast=(0.8, 1.0),
            noise=(0.002, 0.02),
            jpeg_quality=(60, 95),
            jpeg_share=0.75,
        ),
    }
)


def add_rain(
    clean: Image, profile: str | Profile, rng: np.random.Generator, *, target: Target = "streak-free"
) -> RainSample:
    """Put rain on a picture.

    Args:
        clean: HxWx3 float32 in [0, 1], sRGB-coded RGB, any size from 1x1; it is not changed.
        profile: a name in `PROFILES`, or a record of one's own.
        rng: the only source of randomness; it is advanced. The same state gives the same bits.
        target: what `RainSample.clean` is for the `real` profile: `streak-free`, the same photograph (veil,
            exposure, noise) without streaks, or `clean`, the picture that was passed in. For additive
            profiles both are the picture that was passed in.

    Raises:
        UsageError: unknown profile or target, or not an HxWx3 float32 picture.
    """
    if isinstance(profile, str):
        if profile not in PROFILES:
            raise UsageError(f"unknown rain profile {profile!r}", hint=f"there are {', '.join(PROFILES)}")
        profile = PROFILES[profile]
    if target not in ("streak-free", "clean"):
        raise UsageError(f"unknown rain target {target!r}", hint="there are streak-free and clean")
    if clean.ndim != 3 or clean.shape[2] != 3 or clean.dtype != np.float32 or 0 in clean.shape:
        raise UsageError(f"rain needs an HxWx3 float32 picture, not {clean.dtype} {clean.shape}")
    if isinstance(profile, AdditiveRain):
        layer = _additive_layer(clean.shape[0], clean.shape[1], profile, rng)
        rainy = np.clip(clean + layer[:, :, None], 0.0, 1.0, dtype=np.float32)
        return RainSample(rainy=rainy, clean=clean, layer=layer)
    return _real(clean, profile, rng, target)


def _uniform(rng: np.random.Generator, bounds: Range) -> float:
    return float(rng.uniform(bounds[0], bounds[1]))


def _log_uniform(rng: np.random.Generator, bounds: Range) -> float:
    if bounds[0] <= 0.0:
        return _uniform(rng, bounds)
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))


def _additive_layer(height: int, width: int, rain: AdditiveRain, rng: np.random.Generator) -> Image:
    mean = float(rng.triangular(*rain.mean_layer))
    stronger = (mean / rain.mean_layer[1]) ** rain.brightness_follows
    if rng.random() < rain.nearly_dry:
        mean *= 0.1 * rng.random()
    wind = _uniform(rng, (-rain.tilt, rain.tilt))
    many = int(rng.integers(1, rain.populations + 1))
    layer = np.zeros((height, width), np.float32)
    for share in rng.dirichlet(np.full(many, 1.5)):
        length = _log_uniform(rng, rain.length)
        thickness = _uniform(rng, rain.thickness)
        taper, pointed = _uniform(rng, rain.taper), _uniform(rng, rain.pointed)
        brightness = _log_uniform(rng, rain.brightness) * stronger
        ceiling = brightness * _uniform(rng, rain.ceiling)
        wanted = mean * float(share)
        if ceiling > 0.0:
            # Levelling off costs brightness; for a Poisson sum of like streaks about 1 - exp(-sum) is left.
            ceiling = max(ceiling, 1.5 * wanted)
            wanted = -ceiling * math.log1p(-wanted / ceiling)
        mass = streak_mass(
            length,
            thickness,
            taper=taper,
            pointed=pointed,
            length_spread=rain.spread[0],
            thickness_spread=rain.spread[1],
            beads=rain.beads,
        )
        one = streak_layer(
            height,
            width,
            rng=rng,
            density=1e4 * wanted / (brightness * mass),
            length=length,
            thickness=thickness,
            angle=wind + _log_uniform(rng, rain.tilt_apart) * float(rng.standard_normal()),
            brightness=brightness,
            angle_jitter=_uniform(rng, rain.tilt_jitter),
            length_spread=rain.spread[0],
            thickness_spread=rain.spread[1],
            brightness_spread=_uniform(rng, rain.brightness_spread),
            taper=taper,
            pointed=pointed,
            lopsided=rain.lopsided,
            beads=rain.beads,
            bundle=_uniform(rng, rain.bundle),
        )
        layer += _level_off(one, ceiling) if ceiling > 0.0 else one
    return layer


def _level_off(layer: Image, ceiling: float) -> Image:
    """x / sqrt(1 + (x / ceiling)^2): the identity for small x, never above `ceiling`."""
    return np.asarray(layer / np.sqrt(1 + np.square(layer * np.float32(1.0 / ceiling))), np.float32)


def _real(clean: Image, rain: RealRain, rng: np.random.Generator, target: Target) -> RainSample:
    height, width = clean.shape[:2]
    linear = cv2.pow(clean, 2.2).reshape(height, width, 3)
    # The sky's light is as bright as the scene makes likely, nearly grey, a little blue or warm.
    bright = float(np.percentile(linear[::4, ::4, 1], 95))
    level = 0.5 * _uniform(rng, (0.4, 0.9)) + 0.5 * max(0.25, bright)
    sky = np.float32(level) * (1 + rng.uniform(-0.05, 0.05, 3).astype(np.float32))
    if rng.random() < rain.veiled:
        t = rain.transmission[1] - (rain.transmission[1] - rain.transmission[0]) * float(rng.random()) ** 2
        linear = linear * np.float32(t) + sky * np.float32(1.0 - t)
    exposure = np.float32(_uniform(rng, rain.exposure))
    linear = linear * exposure
    opacity = _opacity(height, width, rain, rng)
    # What a drop shows: the wide field it refracts, and the sky.
    share = np.float32(_uniform(rng, (0.35, 0.95)))
    small = cv2.resize(linear, (max(1, width // 8), max(1, height // 8)), interpolation=cv2.INTER_AREA)
    around = cv2.resize(cv2.blur(small, (7, 7)), (width, height), interpolation=cv2.INTER_LINEAR)
    drop = around.reshape(height, width, 3) * (1 - share) + sky * (exposure * share)
    streaked = linear + opacity[:, :, None] * (drop - linear)

    contrast = np.float32(_uniform(rng, rain.contrast))
    noise = _sensor_noise(height, width, _log_uniform(rng, rain.noise), rng)
    middle = np.float32(np.mean(linear)) ** np.float32(1 / 2.2)

    def seen(light: Image) -> Image:
        coded = cv2.pow(light, 1 / 2.2).reshape(height, width, 3)
        coded = (coded - middle) * contrast + middle
        return np.asarray(np.clip(coded + noise, 0.0, 1.0), np.float32)

    rainy, free = seen(streaked), seen(linear)
    if rng.random() < rain.jpeg_share:
        rainy = _jpeg(rainy, int(rng.integers(rain.jpeg_quality[0], rain.jpeg_quality[1] + 1)))
    return RainSample(rainy=rainy, clean=free if target == "streak-free" else clean, layer=opacity)


def _opacity(height: int, width: int, rain: RealRain, rng: np.random.Generator) -> Image:
    amount = _log_uniform(rng, rain.amount)
    if rng.random() < rain.nearly_dry:
        amount *= 0.03
    wind = float(np.clip(rain.tilt * rng.standard_normal(), -40.0, 40.0))
    clear = np.ones((height, width), np.float32)
    for drops in (rain.far, rain.mid, rain.near):
        if rng.random() >= drops.share:
            continue
        length = _log_uniform(rng, drops.length)
        middle = math.sqrt(drops.length[0] * drops.length[1])
        layer = streak_layer(
            height,
            width,
            rng=rng,
            density=_log_uniform(rng, drops.number) * amount,
            length=length,
            thickness=_uniform(rng, drops.thickness),
            angle=wind,
            brightness=_log_uniform(rng, drops.opacity) * middle / length,
            angle_jitter=_uniform(rng, (0.5, 5.0)),
            length_spread=0.4,
            thickness_spread=0.25,
            brightness_spread=_uniform(rng, (0.5, 1.0)),
            taper=_uniform(rng, (0.1, 0.8)),
            pointed=_uniform(rng, (0.0, 0.8)),
            lopsided=0.5,
            beads=0.5,
            bundle=_uniform(rng, (1.0, 2.0)),
            end_softness=drops.end_softness,
        )
        # Gusts, and nearer or farther backgrounds: rain is never equally dense all over a photograph.
        layer *= _patchiness(height, width, _uniform(rng, (0.0, 0.8)), rng)
        clear *= 1 - np.minimum(layer, 1)
    return 1 - clear


def _patchiness(height: int, width: int, depth: float, rng: np.random.Generator) -> Image:
    """A smooth random field in [1 - depth, 1 + depth] with a grain of 128 px, HxW."""
    cell = 128
    rows, columns = height // cell + 3, width // cell + 3
    knots = rng.uniform(1 - depth, 1 + depth, (rows, columns)).astype(np.float32)
    y, x = rng.uniform(0, 1, 2)
    # Only the part under the picture is drawn: knots are `cell` px apart, shifted by a random fraction.
    matrix = np.array([[1 / cell, 0, x], [0, 1 / cell, y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(knots, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _sensor_noise(height: int, width: int, sigma: float, rng: np.random.Generator) -> Image:
    """Grey and colour noise, HxWx3; softened a little, as a camera's demosaicing and denoising leave it."""
    white = rng.standard_normal((height, width, 3), np.float32)
    soft = cv2.GaussianBlur(white, (3, 3), _uniform(rng, (0.3, 0.7))).reshape(height, width, 3)
    return np.asarray(soft * np.float32(sigma), np.float32)


def _jpeg(image: Image, quality: int) -> Image:
    coded = np.rint(image * 255).astype(np.uint8)
    # cv2 takes BGR; the channel order matters to the colour transform.
    _, data = cv2.imencode(".jpg", coded[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[:, :, ::-1]
    return decoded.astype(np.float32) / np.float32(255)
