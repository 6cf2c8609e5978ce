"""Coders of graphics chips: what is tried and chosen; the chips themselves are stand-ins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import pytest

from derain_cli.config import VideoOptions
from derain_cli.errors import UsageError
from derain_cli.media.clip import hardware
from derain_cli.media.clip.encoding import choose_encoding
from derain_cli.media.clip.hardware import HardwareEncoder, decoding_device, hardware_encoder
from derain_cli.media.clip.info import ClipInfo
from derain_cli.media.clip.reader import open_clip
from tests.sample_clips import write_clip


@pytest.fixture
def info(tmp_path: Path) -> ClipInfo:
    with open_clip(write_clip(tmp_path / "a.mp4", width=64)) as reader:
        return reader.info


def chips(monkeypatch: pytest.MonkeyPatch, *working: str) -> list[HardwareEncoder]:
    """A machine on which encoders of these names work; what is tried is listed."""
    tried: list[HardwareEncoder] = []

    def works(encoder: HardwareEncoder, size: tuple[int, int]) -> bool:
        tried.append(encoder)
        return encoder.name in working

    monkeypatch.setattr(hardware, "_works", works)
    return tried


def test_by_itself_no_chip_is_used(info: ClipInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = chips(monkeypatch, "h264_nvenc")
    assert choose_encoding(info, ".mp4", VideoOptions()).encoder == "libx264"
    assert tried == []


def test_the_first_that_works_is_taken(info: ClipInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "codecs_available", {"h264_nvenc", "h264_qsv", "h264_amf"})
    tried = chips(monkeypatch, "h264_qsv")
    found = choose_encoding(info, ".mp4", VideoOptions(hw="auto", crf=20))
    assert (found.codec, found.encoder, found.pix_fmt) == ("h264", "h264_qsv", "nv12")
    assert found.options["global_quality"] == "20" and found.notes == ()
    assert [each.name for each in tried] == ["h264_nvenc", "h264_nvenc", "h264_qsv"]


@pytest.mark.parametrize(
    ("hw", "words"), [("auto", "no graphics chip codes h264 here"), ("nvenc", "nvenc codes h264 here: libx264 does")]
)
def test_where_none_works_software_does_and_that_is_told(
    info: ClipInfo, monkeypatch: pytest.MonkeyPatch, hw: str, words: str
) -> None:
    chips(monkeypatch)
    found = choose_encoding(info, ".mp4", VideoOptions(hw=hw))
    assert found.encoder == "libx264" and words in found.notes[-1]


def test_an_encoder_of_another_codec_is_not_taken(info: ClipInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = chips(monkeypatch, "h264_nvenc", "hevc_nvenc")
    assert choose_encoding(info, ".mp4", VideoOptions(hw="hevc_nvenc")).encoder == "libx264"
    assert tried == []
    assert choose_encoding(info, ".mp4", VideoOptions(hw="hevc_nvenc", codec="hevc")).encoder == "hevc_nvenc"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"interlaced": True, "field_order": 2}, "interlaced frames"),
        ({"content_light": bytes(8)}, "HDR metadata"),
        ({"pix_fmt": "yuv444p"}, "yuv444p"),
    ],
)
def test_what_chips_would_lose_is_coded_by_software(
    info: ClipInfo, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], words: str
) -> None:
    chips(monkeypatch, "h264_nvenc")
    found = choose_encoding(replace(info, **changes), ".mp4", VideoOptions(hw="auto"))
    assert found.encoder == "libx264" and words in found.notes[-1]


def test_a_trial_says_no_on_a_machine_without_chips_and_yes_to_what_works() -> None:
    for family in ("nvenc", "qsv", "amf"):
        if not Path("/dev/dri").exists() and not Path("/dev/nvidia0").exists():
            assert hardware_encoder(family, "h264", (320, 240), 8, 18) is None
    assert hardware._works(HardwareEncoder("libx264", "yuv420p", {"preset": "ultrafast"}), (64, 64))
    assert not hardware._works(HardwareEncoder("libx264", "yuv420p", {"preset": "nonsense"}), (64, 64))


def test_a_device_that_cannot_be_opened_does_not_decode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_opens", lambda device: device == "vaapi")
    monkeypatch.setattr("av.codec.hwaccel.hwdevices_available", lambda: ["cuda", "vaapi"])
    assert decoding_device("auto") == "vaapi"
    assert decoding_device("nvenc") is None
    # PyAV has names for devices that are not there: the clip is read without.
    source = write_clip(tmp_path / "a.mp4")
    with open_clip(source, device="cuda") as reader:
        assert sum(1 for _ in reader) == 12


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="hw must be off, auto"):
        VideoOptions(hw="gpu")
