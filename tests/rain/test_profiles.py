"""Properties of the rain profiles on a real photograph and on flat pictures."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import get_args

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from derain_cli.errors import UsageError
from derain_cli.rain import PROFILES, RainSample, add_rain
from derain_cli.rain.photographed import Target
from derain_cli.rain.profiles import AdditiveRain, Curtain, Defocused, Drops, Night, Profile, RealRain

Image = NDArray[np.float32]
NAMES = ("light", "heavy", "real")


@cache
def photo() -> Image:
    image = np.ascontiguousarray(skimage.data.astronaut()[100:356, 100:356])
    return image.astype(np.float32) / np.float32(255)


def rain(name: str | Profile, seed: int = 0, image: Image | None = None, target: Target = "streak-free") -> RainSample:
    return add_rain(photo() if image is None else image, name, np.random.default_rng(seed), target=target)


def real_without(**changes: object) -> RealRain:
    profile = PROFILES["real"]
    assert isinstance(profile, RealRain)
    return dataclasses.replace(profile, **changes)  # type: ignore[arg-type]


def without(part: str) -> object:
    """A component of the `real` profile that no picture has."""
    return dataclasses.replace(getattr(PROFILES["real"], part), share=0.0)


@cache
def many(name: str, count: int = 40) -> tuple[RainSample, ...]:
    return tuple(rain(name, seed) for seed in range(count))


def psnr(sample: RainSample) -> float:
    return float(-10 * np.log10(np.mean((sample.rainy - sample.clean) ** 2) + 1e-12))


def test_the_names() -> None:
    assert tuple(PROFILES) == NAMES
    assert all(isinstance(p, get_args(Profile)) for p in PROFILES.values())
    assert all(p.source for p in PROFILES.values())


def test_records_are_frozen_and_the_registry_is_read_only() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PROFILES["light"].source = "mine"  # type: ignore[misc]
    with pytest.raises(TypeError):
        PROFILES["mine"] = PROFILES["light"]  # type: ignore[index]


@pytest.mark.parametrize("name", NAMES)
def test_ranges_are_in_order(name: str) -> None:
    def check(record: object) -> None:
        for field in dataclasses.fields(record):  # type: ignore[arg-type]
            value = getattr(record, field.name)
            if isinstance(value, Drops | Curtain | Defocused | Night):
                check(value)
            elif isinstance(value, tuple) and field.name != "spread":
                assert list(value) == sorted(value), field.name

    check(PROFILES[name])


@pytest.mark.parametrize("name", NAMES)
def test_shapes_types_and_ranges(name: str) -> None:
    for sample in many(name, 6):
        for picture in (sample.rainy, sample.clean):
            assert picture.shape == photo().shape
            assert picture.dtype == np.float32
            assert picture.min() >= 0.0
            assert picture.max() <= 1.0
        assert sample.layer.shape == photo().shape[:2]
        assert sample.layer.dtype == np.float32
        assert sample.layer.min() >= 0.0


@pytest.mark.parametrize("name", NAMES)
def test_the_generator_decides_every_bit(name: str) -> None:
    np.random.seed(1)  # noqa: NPY002 - the global generator must not matter
    a = rain(name, 7)
    np.random.seed(2)  # noqa: NPY002
    b = rain(name, 7)
    for field in dataclasses.fields(RainSample):
        assert np.array_equal(getattr(a, field.name), getattr(b, field.name))
    assert not np.array_equal(a.rainy, rain(name, 8).rainy)


@pytest.mark.parametrize("name", NAMES)
def test_one_generator_goes_on(name: str) -> None:
    rng = np.random.default_rng(0)
    assert not np.array_equal(add_rain(photo(), name, rng).rainy, add_rain(photo(), name, rng).rainy)


@pytest.mark.parametrize("name", NAMES)
def test_the_input_is_not_changed(name: str) -> None:
    image = photo().copy()
    rain(name, 3, image)
    assert np.array_equal(image, photo())


@given(height=st.integers(1, 70), width=st.integers(1, 70), seed=st.integers(0, 2**32), name=st.sampled_from(NAMES))
@settings(max_examples=60, deadline=None)
def test_any_size_works(height: int, width: int, seed: int, name: str) -> None:
    sample = rain(name, seed, np.full((height, width, 3), 0.4, np.float32))
    assert sample.rainy.shape == sample.clean.shape == (height, width, 3)
    assert sample.layer.shape == (height, width)
    assert np.isfinite(sample.rainy).all()


def test_an_image_that_is_not_contiguous_works() -> None:
    flipped = photo()[:, ::-1]
    for name in NAMES:
        assert np.array_equal(rain(name, 1, flipped).rainy, rain(name, 1, np.ascontiguousarray(flipped)).rainy)


@pytest.mark.parametrize("name", ["light", "heavy"])
def test_additive_rain_is_a_clipped_grey_sum_and_the_target_is_the_input(name: str) -> None:
    for sample in many(name, 6):
        assert np.array_equal(sample.clean, photo())
        assert np.array_equal(sample.rainy, np.clip(photo() + sample.layer[:, :, None], 0, 1))


@pytest.mark.parametrize("name", ["light", "heavy"])
def test_an_additive_layer_does_not_depend_on_the_picture(name: str) -> None:
    assert np.array_equal(rain(name, 5).layer, rain(name, 5, np.zeros_like(photo())).layer)


def test_light_rain_has_the_measured_statistics() -> None:
    layers = [255 * s.layer for s in many("light")]
    means = [float(v.mean()) for v in layers]
    assert 4.0 < np.mean(means) < 7.0
    assert 1.0 < np.percentile(means, 10) < 4.0
    assert 5.0 < np.mean([100 * (v > 20).mean() for v in layers]) < 11.0
    assert 24.0 < np.mean([psnr(s) for s in many("light")]) < 30.0


def test_heavy_rain_has_the_measured_statistics() -> None:
    layers = [255 * s.layer for s in many("heavy")]
    means = [float(v.mean()) for v in layers]
    assert 40.0 < np.mean(means) < 75.0
    assert np.percentile(means, 90) - np.percentile(means, 10) > 30.0
    assert 60.0 < np.mean([100 * (v > 20).mean() for v in layers]) < 85.0
    assert 10.0 < np.mean([psnr(s) for s in many("heavy")]) < 15.0


def test_heavy_is_denser_than_light_and_light_than_none() -> None:
    wet = {name: float(np.mean([(s.layer > 20 / 255).mean() for s in many(name)])) for name in ("light", "heavy")}
    assert 0.0 < wet["light"] < 0.3 * wet["heavy"]


def test_rain_falls_rather_than_drifts() -> None:
    for sample in many("light", 20):
        gx, gy = cv2.Scharr(sample.layer, cv2.CV_32F, 1, 0), cv2.Scharr(sample.layer, cv2.CV_32F, 0, 1)
        assert (gx * gx).sum() > 1.5 * (gy * gy).sum()


def test_some_samples_are_nearly_dry() -> None:
    for name in ("light", "real"):
        wet = np.array([rain(name, seed, np.full((64, 64, 3), 0.3, np.float32)).layer.mean() for seed in range(200)])
        assert 0.005 < (wet < 0.1 * np.median(wet)).mean() < 0.3


def test_real_rain_varies_widely() -> None:
    values = [psnr(s) for s in many("real")]
    assert np.percentile(values, 90) - np.percentile(values, 10) > 5.0
    assert 18.0 < np.mean(values) < 36.0


def test_real_rain_without_streaks_is_its_own_target() -> None:
    dry = real_without(amount=(0.0, 0.0), jpeg_share=0.0)
    for seed in range(8):
        sample = rain(dry, seed)
        assert np.array_equal(sample.rainy, sample.clean)
        assert not sample.layer.any()
        assert not np.array_equal(sample.clean, photo())


def test_the_streak_free_target_differs_only_where_streaks_are() -> None:
    raw = real_without(jpeg_share=0.0, sharpened=0.0, curtain=without("curtain"))
    for seed in range(8):
        sample = rain(raw, seed)
        dry = sample.layer == 0.0
        assert np.array_equal(sample.rainy[dry], sample.clean[dry])


def test_jpeg_is_on_both_sides() -> None:
    """The network should remove streaks but keep JPEG artefacts, which most photos have."""
    always = real_without(amount=(0.0, 0.0), jpeg_share=1.0)
    never = real_without(amount=(0.0, 0.0), jpeg_share=0.0)
    coded, raw = rain(always, 1), rain(never, 1)
    assert np.array_equal(coded.clean, coded.rainy)
    assert not np.array_equal(coded.clean, raw.clean)
    assert -10 * np.log10(np.mean((coded.clean - raw.clean) ** 2)) > 24.0


def test_the_clean_target_is_the_photograph() -> None:
    free, clean = rain("real", 4), rain("real", 4, target="clean")
    assert np.array_equal(clean.clean, photo())
    assert np.array_equal(free.rainy, clean.rainy)
    assert not np.array_equal(free.clean, clean.clean)


def test_real_opacity_is_a_share() -> None:
    assert all(s.layer.max() <= 1.0 for s in many("real", 20))


def test_real_streaks_brighten_a_dark_picture() -> None:
    dark = np.full((128, 128, 3), 0.15, np.float32)
    assert np.mean([np.mean(s.rainy - s.clean) for s in (rain("real", i, dark) for i in range(10))]) > 0.005


def test_the_border_is_as_wet_as_the_middle() -> None:
    flat = np.zeros((64, 64, 3), np.float32)
    for name in NAMES:
        mean = np.mean([rain(name, s, flat).layer for s in range(150)], axis=0)
        border = np.concatenate([mean[:6].ravel(), mean[-6:].ravel(), mean[:, :6].ravel(), mean[:, -6:].ravel()])
        assert border.mean() == pytest.approx(mean[16:48, 16:48].mean(), rel=0.2)


def test_an_unknown_profile_lists_the_names() -> None:
    with pytest.raises(UsageError, match=r"light, heavy, real"):
        rain("drizzle")


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4, 4), np.float32),
        np.zeros((4, 4, 3), np.float64),
        np.zeros((4, 4, 3), np.uint8),
        np.zeros((0, 4, 3), np.float32),
    ],
)
def test_another_kind_of_picture_is_refused(image: Image) -> None:
    with pytest.raises(UsageError):
        rain("light", 0, image)


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(UsageError):
        rain("real", 0, None, "sharp")  # type: ignore[arg-type]


def test_a_record_of_ones_own_works() -> None:
    light = PROFILES["light"]
    assert isinstance(light, AdditiveRain)
    dry = dataclasses.replace(light, nearly_dry=1.0)
    assert np.mean([rain(dry, s).layer.mean() for s in range(10)]) < 0.005


def only(part: str) -> RealRain:
    """The `real` profile with one kind of streak in every picture, and no other."""
    kinds = ("curtain", "far", "mid", "near", "long", "defocused")
    parts = {kind: without(kind) for kind in kinds}
    parts[part] = dataclasses.replace(getattr(PROFILES["real"], part), share=1.0)
    return real_without(**parts, nearly_dry=0.0, jpeg_share=0.0, amount=(2.0, 2.0))


@pytest.mark.parametrize("part", ["curtain", "far", "mid", "near", "long", "defocused"])
def test_each_kind_of_streak_makes_rain_alone(part: str) -> None:
    dark = np.full((192, 192, 3), 0.1, np.float32)
    samples = [rain(only(part), seed, dark) for seed in range(20)]
    assert np.mean([s.layer.max() > 0.03 for s in samples]) > 0.8
    assert np.mean([np.abs(s.rainy - s.clean).max() > 0.02 for s in samples]) > 0.8


def test_a_curtains_veil_stays_in_the_target() -> None:
    """Streaks and gaps differ from the target in both directions; the mean hardly does."""
    dark = np.full((160, 160, 3), 0.1, np.float32)
    thick = dataclasses.replace(only("curtain").curtain, opacity=(0.4, 0.4), density=(0.1, 0.1))
    profile = dataclasses.replace(only("curtain"), curtain=thick, scale=(1.0, 1.0), bent=0.0)
    for seed in range(6):
        difference = (lambda s: s.rainy - s.clean)(rain(profile, seed, dark))
        assert abs(difference.mean()) < 0.35 * np.abs(difference).mean()
        assert difference.min() < -0.01
        assert difference.max() > 0.02


def test_storms_lean_further_than_the_usual_wind() -> None:
    def tilts(stormy: float) -> list[float]:
        profile = dataclasses.replace(only("mid"), stormy=stormy, bent=0.0)
        found = []
        for seed in range(30):
            layer = rain(profile, seed, np.zeros((96, 96, 3), np.float32)).layer
            gx, gy = cv2.Scharr(layer, cv2.CV_32F, 1, 0), cv2.Scharr(layer, cv2.CV_32F, 0, 1)
            angle = 0.5 * np.arctan2(2 * (gx * gy).mean(), (gx * gx - gy * gy).mean())
            found.append(abs(float(np.degrees(angle))))
        return found

    assert max(tilts(1.0)) > 45
    assert np.median(tilts(1.0)) > 1.5 * np.median(tilts(0.0))


def test_larger_photographs_have_wider_streaks() -> None:
    def width(scale: float) -> float:
        profile = dataclasses.replace(only("mid"), scale=(scale, scale), tilt=0.0, stormy=0.0, bent=0.0)
        found = []
        for seed in range(10):
            layer = rain(profile, seed, np.zeros((192, 192, 3), np.float32)).layer
            spectrum = np.abs(np.fft.rfft(layer - layer.mean(), axis=1)) ** 2
            place = np.arange(spectrum.shape[1])
            found.append(float((spectrum.sum(0) * place).sum() / spectrum.sum()))
        return 1 / float(np.mean(found))

    assert width(2.0) > 1.5 * width(1.0)


def test_at_night_rain_is_seen_near_the_lamp() -> None:
    """The photo is darker than by day and unevenly lit; drops are bright in bright areas."""
    night = dataclasses.replace(PROFILES["real"].night, share=1.0)  # type: ignore[union-attr]
    grey = np.full((128, 128, 3), 0.5, np.float32)
    by_night = [rain(real_without(night=night), seed, grey).clean.mean() for seed in range(20)]
    by_day = [rain(real_without(night=without("night")), seed, grey).clean.mean() for seed in range(20)]
    assert np.mean(by_night) < 0.8 * np.mean(by_day)


def test_sharpening_is_on_both_sides_and_makes_fine_streaks_crisp() -> None:
    def contrast(sharpened: float) -> float:
        profile = dataclasses.replace(only("far"), sharpened=sharpened, sharpening=(1.5, 1.5))
        samples = [rain(profile, seed, np.full((96, 96, 3), 0.2, np.float32)) for seed in range(10)]
        dry = dataclasses.replace(profile, amount=(0.0, 0.0))
        assert all(np.array_equal(s.rainy, s.clean) for s in (rain(dry, seed) for seed in range(3)))
        return float(np.mean([np.abs(s.rainy - s.clean).max() for s in samples]))

    assert contrast(1.0) > 1.2 * contrast(0.0)
