"""Rain as a camera sees it: renders the `real` profile (see `RealRain` for the model)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli.rain.curtain import curtain
from derain_cli.rain.defocus import defocused_layer
from derain_cli.rain.draws import log_uniform, uniform
from derain_cli.rain.finish import Finish
from derain_cli.rain.profiles import Drops, RealRain
from derain_cli.rain.streaks import streak_layer

__all__ = ["Image", "RainSample", "Target", "photographed"]

Image: TypeAlias = NDArray[np.float32]
Target: TypeAlias = Literal["streak-free", "clean"]


@dataclass(frozen=True, slots=True)
class RainSample:
    """A rainy picture, its training target and its rain layer.

    Attributes:
        rainy: HxWx3 float32 in [0, 1], the network's input.
        clean: HxWx3 float32 in [0, 1], the training target.
        layer: float32, the rain. For `light` and `heavy` HxW, the grey layer r before clipping:
            rainy = clip(clean + r). For `real` HxW, the opacity of the streaks in [0, 1].
    """

    rainy: Image
    clean: Image
    layer: Image


@dataclass(frozen=True, slots=True)
class _Light:
    """The light on the drops of one picture: its linear colour, and the share that reaches a pixel, (H, W, 1) or 1."""

    colour: NDArray[np.float32]
    reaches: Image | np.float32


def photographed(clean: Image, rain: RealRain, rng: np.random.Generator, target: Target) -> RainSample:
    """Add rain to a picture as a camera would see it; arguments as in `add_rain`."""
    height, width = clean.shape[:2]
    linear: Image = np.asarray(cv2.pow(clean, 2.2), np.float32).reshape(height, width, 3)
    depth = _depth(height, width, rng)
    # Sky brightness is estimated from the scene; its colour is nearly grey, slightly blue or warm.
    bright = float(np.percentile(linear[::4, ::4, 1], 95))
    level = 0.5 * uniform(rng, (0.4, 0.9)) + 0.5 * max(0.25, bright)
    sky = np.float32(level) * (1 + rng.uniform(-0.05, 0.05, 3).astype(np.float32))
    linear = _veiled(linear, sky, depth, rain, rng)
    exposure = np.float32(uniform(rng, rain.exposure))
    linear = np.asarray(linear * exposure, np.float32)
    light = _Light(sky * exposure, np.float32(1))
    if rng.random() < rain.night.share:
        linear, light = _at_night(linear, rain, rng)
    opacity, veil = _opacity(height, width, depth, rain, rng)
    # A drop shows the wide field it refracts and the light it scatters.
    share = np.float32(uniform(rng, (0.35, 0.95)))
    small = cv2.resize(linear, (max(1, width // 8), max(1, height // 8)), interpolation=cv2.INTER_AREA)
    around = cv2.resize(cv2.blur(small, (7, 7)), (width, height), interpolation=cv2.INTER_LINEAR)
    drop = around.reshape(height, width, 3) * (1 - share) + light.colour * (light.reaches * share)
    streaked = linear + opacity[:, :, None] * (drop - linear)
    free = linear if veil is None else linear + veil[:, :, None] * (drop - linear)

    contrast = uniform(rng, rain.contrast)
    noise = _sensor_noise(height, width, log_uniform(rng, rain.noise), rng)
    middle = float(np.float32(np.mean(linear)) ** np.float32(1 / 2.2))
    sharpness = log_uniform(rng, rain.sharpening) if rng.random() < rain.sharpened else 0.0
    finish = Finish(contrast, middle, sharpness, uniform(rng, (0.5, 1.2)))
    coded = rng.random() < rain.jpeg_share
    quality = int(rng.integers(rain.jpeg_quality[0], rain.jpeg_quality[1] + 1))

    def seen(scene: Image) -> Image:
        picture = finish(scene, noise)
        return _jpeg(picture, quality) if coded else picture

    return RainSample(rainy=seen(streaked), clean=seen(free) if target == "streak-free" else clean, layer=opacity)


def _smooth(height: int, width: int, cell: float, rng: np.random.Generator) -> Image:
    """A smooth random field in [0, 1] with features of about `cell` px, (H, W)."""
    rows, columns = math.ceil(height / cell) + 3, math.ceil(width / cell) + 3
    knots = rng.random((rows, columns), np.float32)
    y, x = rng.uniform(0, 1, 2)
    # Knots are `cell` px apart, shifted by a random fraction; only those near the picture are drawn.
    matrix = np.array([[1 / cell, 0, x], [0, 1 / cell, y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(knots, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _depth(height: int, width: int, rng: np.random.Generator) -> Image:
    """A plausible scene depth in [0, 1], (H, W): mostly growing towards the top, with random relief."""
    upwards = np.linspace(1, 0, height, dtype=np.float32)[:, None]
    slope = np.float32(uniform(rng, (-0.2, 0.8)))
    relief = _smooth(height, width, max(16.0, 0.5 * max(height, width)), rng)
    return np.clip(0.5 + slope * (upwards - 0.5) + 0.8 * (relief - 0.5), 0, 1).astype(np.float32)


def _veiled(linear: Image, sky: NDArray[np.float32], depth: Image, rain: RealRain, rng: np.random.Generator) -> Image:
    """The scene behind the veil and the spray."""
    if rng.random() < rain.veiled:
        # t is the transmission where the scene is deepest.
        t = rain.transmission[1] - (rain.transmission[1] - rain.transmission[0]) * float(rng.random()) ** 2
        passes = np.power(np.float32(t), 0.3 + 0.7 * depth)[:, :, None]
        linear = np.asarray(linear * passes + sky * (1 - passes), np.float32)
    if rng.random() < rain.spray:
        height, width = depth.shape
        clouds = sum(_smooth(height, width, cell, rng) / n for n, cell in enumerate((64.0, 32.0, 16.0), start=1))
        thick = np.clip((np.asarray(clouds) - 0.9) * np.float32(uniform(rng, (0.2, 0.9))), 0, 0.8)[:, :, None]
        linear = np.asarray(linear * (1 - thick) + sky * thick, np.float32)
    return linear


def _at_night(linear: Image, rain: RealRain, rng: np.random.Generator) -> tuple[Image, _Light]:
    """The scene lit by a single lamp, and the lamp's light."""
    height, width = linear.shape[:2]
    side = max(height, width)
    reach = log_uniform(rng, rain.night.reach) * side
    y, x = rng.uniform(-0.5, 1.5) * height, rng.uniform(-0.5, 1.5) * width
    rows, columns = np.arange(height, dtype=np.float32)[:, None] - y, np.arange(width, dtype=np.float32)[None] - x
    falls = 1 / (1 + 2 * (rows * rows + columns * columns) / np.float32(reach * reach))
    reaches = np.asarray(falls, np.float32)[:, :, None]
    warm = uniform(rng, (-0.15, 0.45))
    tint = np.array([1.0, 1.0 - 0.4 * max(0.0, warm), 1.0 - warm], np.float32)
    lit = linear * (np.float32(log_uniform(rng, rain.night.rest)) + reaches * tint)
    return np.asarray(lit, np.float32), _Light(tint * np.float32(log_uniform(rng, rain.night.lamp)), reaches)


def _opacity(
    height: int, width: int, depth: Image, rain: RealRain, rng: np.random.Generator
) -> tuple[Image, Image | None]:
    """The combined opacity of all streaks in [0, 1], (H, W), and the part due to a curtain's veil, if there is one."""
    amount = log_uniform(rng, rain.amount)
    if rng.random() < rain.nearly_dry:
        amount *= 0.03
    wind = float(np.clip(rain.tilt * rng.standard_normal(), -40.0, 40.0))
    if rng.random() < rain.stormy:
        wind = uniform(rng, (-rain.steepest, rain.steepest))
    scale = log_uniform(rng, rain.scale)
    jitter = uniform(rng, (0.5, 5.0))
    clear = np.ones((height, width), np.float32)
    veil: Image | None = None
    # In front of a near object, only the rain before it is visible.
    deep = np.float32(0.3) + np.float32(0.7) * depth

    def put(layer: Image, everywhere: bool) -> None:
        nonlocal clear
        # Gusts: rain is never uniformly dense across a photograph.
        gusts = 1 + np.float32(uniform(rng, (0.0, 0.8))) * (2 * _smooth(height, width, 128.0, rng) - 1)
        clear *= 1 - np.minimum(layer * gusts * (1 if everywhere else deep), 1)

    if rng.random() < rain.curtain.share:
        fine = curtain(
            height,
            width,
            rng=rng,
            density=min(4.0, log_uniform(rng, rain.curtain.density) / scale**2),
            length=min(200.0, log_uniform(rng, rain.curtain.length) * scale),
            thickness=log_uniform(rng, rain.curtain.thickness) * scale,
            angle=wind,
            angle_jitter=jitter,
        )
        put(np.minimum(fine * np.float32(log_uniform(rng, rain.curtain.opacity) * min(1.0, amount)), 1), False)
        broad = rain.curtain.veil * scale
        smoothed = cv2.GaussianBlur(1 - clear, (0, 0), broad, borderType=cv2.BORDER_REPLICATE)
        veil = np.asarray(smoothed, np.float32).reshape(height, width)
    for drops in (rain.far, rain.mid, rain.near, rain.long):
        if rng.random() < drops.share:
            put(_streaks(height, width, drops, wind, jitter, amount, scale, rng), drops is not rain.far)
    if rng.random() < rain.defocused.share:
        wide = defocused_layer(
            height,
            width,
            rng=rng,
            density=log_uniform(rng, rain.defocused.number) * amount / scale**2,
            length=log_uniform(rng, rain.defocused.length) * scale,
            diameter=log_uniform(rng, rain.defocused.diameter) * scale,
            angle=wind,
            angle_jitter=1.5 * jitter,
            softness=uniform(rng, (0.8, 2.5)) * scale,
        )
        put(np.minimum(wide * np.float32(log_uniform(rng, rain.defocused.opacity)), 0.9), True)
    opacity = 1 - clear
    return (_bent(opacity, rng) if rng.random() < rain.bent else opacity), veil


def _streaks(
    height: int,
    width: int,
    drops: Drops,
    wind: float,
    jitter: float,
    amount: float,
    scale: float,
    rng: np.random.Generator,
) -> Image:
    """The opacity of the streaks at one distance, (H, W), without an upper bound."""
    length = log_uniform(rng, drops.length)
    middle = math.sqrt(drops.length[0] * drops.length[1])
    return streak_layer(
        height,
        width,
        rng=rng,
        density=log_uniform(rng, drops.number) * amount / scale**2,
        length=length * scale,
        thickness=uniform(rng, drops.thickness) * scale,
        angle=wind,
        brightness=log_uniform(rng, drops.opacity) * middle / length,
        angle_jitter=jitter,
        length_spread=0.4,
        thickness_spread=0.25,
        brightness_spread=uniform(rng, (0.5, 1.0)),
        taper=uniform(rng, (0.1, 0.8)),
        pointed=uniform(rng, (0.0, 0.8)),
        lopsided=0.5,
        beads=0.5,
        bundle=uniform(rng, (1.0, 2.0)),
        end_softness=drops.end_softness * scale,
    )


def _bent(opacity: Image, rng: np.random.Generator) -> Image:
    """The streaks shifted sideways by a smooth random amount, as gusts bend their paths."""
    height, width = opacity.shape
    cell = uniform(rng, (60.0, 160.0))
    aside = np.float32(uniform(rng, (0.05, 0.35)) * cell) * (_smooth(height, width, cell, rng) - np.float32(0.5))
    rows, columns = np.indices((height, width), np.float32)
    moved = cv2.remap(opacity, columns + aside, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.float32).reshape(height, width)


def _sensor_noise(height: int, width: int, sigma: float, rng: np.random.Generator) -> Image:
    """Luminance and colour noise, HxWx3, slightly smoothed as by a camera's demosaicing and denoising."""
    white = rng.standard_normal((height, width, 3), np.float32)
    soft = cv2.GaussianBlur(white, (3, 3), uniform(rng, (0.3, 0.7))).reshape(height, width, 3)
    return np.asarray(soft * np.float32(sigma), np.float32)


def _jpeg(image: Image, quality: int) -> Image:
    coded = np.rint(image * 255).astype(np.uint8)
    # cv2 expects BGR; the channel order matters for JPEG's colour transform.
    _, data = cv2.imencode(".jpg", coded[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))[:, :, ::-1]
    return decoded.astype(np.float32) / np.float32(255)
