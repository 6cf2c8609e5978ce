"""The README.md of a model on the Hub: metadata that parse, and say what the record says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.find import installed_models
from derain_cli.checkpoints.hub_card import hub_card
from derain_cli.checkpoints.weight_file import Weights, load_weights
from derain_cli.config import ModelConfig

CARD = Card(
    name="mine",
    summary="for dusk",
    trained_on=("SetA: CC-BY", "my photos"),
    steps=1200,
    patches=9600,
    scores={
        "SetA": {"rgb": {"input": [20.5, 0.5], "output": [30.25, 0.9]}, "pictures": 3},
        "SetB": {"y": {"input": [1.0, 0.1], "output": [2.0, 0.2]}, "z": {"input": "?"}, "pictures": "?"},
        "odd": 7,
    },
    licence="research only, because of SetA",
    date="2026-12-01",
    limits="no snow",
)


def weights(card: Card = CARD, **config: Any) -> Weights:
    return Weights(Path("mine.safetensors"), ModelConfig(width=4, blocks=1, **config), {}, card, "ab" * 32)


def matter(text: str) -> dict[str, Any]:
    start, middle, _ = text.split("---\n", 2)
    assert start == ""
    found = yaml.safe_load(middle)
    assert isinstance(found, dict)
    return found


def test_metadata_come_from_the_record() -> None:
    found = matter(hub_card(weights()))
    assert (found["library_name"], found["pipeline_tag"]) == ("derain", "image-to-image")
    assert {"image-to-image", "deraining"} <= set(found["tags"])
    assert (found["license"], found["license_name"]) == ("other", "research-only-because-of-seta")
    (index,) = found["model-index"]
    assert [each["dataset"]["name"] for each in index["results"]] == ["SetA (3 pictures)", "SetB"]
    psnr, ssim = index["results"][0]["metrics"]
    assert (psnr["type"], psnr["name"], psnr["value"]) == ("psnr", "PSNR (rgb)", 30.25)
    assert (ssim["value"], ssim["args"]) == (0.9, {"protocol": "rgb", "input": 0.5})


@pytest.mark.parametrize(
    ("words", "name"), [("long " * 30, "-".join(["long"] * 13)), ("x" * 99, "x" * 64), ("研究", "see-text")]
)
def test_names_of_other_licences_are_short(words: str, name: str) -> None:
    assert matter(hub_card(weights(dataclasses.replace(CARD, licence=words))))["license_name"] == name


@pytest.mark.parametrize(("words", "known"), [("", "unknown"), ("MIT", "mit"), ("Apache License 2.0", "apache-2.0")])
def test_licences_that_the_hub_knows(words: str, known: str) -> None:
    found = matter(hub_card(weights(dataclasses.replace(CARD, licence=words))))
    assert found["license"] == known and "license_name" not in found


def test_the_text_says_what_is_on_record() -> None:
    text = hub_card(weights(), repo="owner/name")
    for words in ("# mine", "for dusk", "- SetA: CC-BY", "no snow", "1,200 steps", "ab" * 32, "research only"):
        assert words in text
    assert "| SetA | 3 | `rgb` | 20.50 dB / 0.5000 | 30.25 dB / 0.9000 |" in text
    assert "derain models pull owner/name\nderain photo.jpg" in text


def test_networks_for_clips() -> None:
    text = hub_card(weights(frames=5))
    assert "video" in matter(text)["tags"] and "derain video clip.mp4" in text and "5 frames" in text


def test_a_record_without_anything() -> None:
    text = hub_card(weights(Card()))
    assert "model-index" not in matter(text) and "Not stated." in text and "## Scores" not in text


def test_words_of_a_record_stay_words() -> None:
    """Names in files of others break neither the metadata nor the page."""
    evil = "x\n---\ntags: [evil]\n<script>alert(1)</script> [a](b) | `c`"
    card = dataclasses.replace(CARD, name=evil, summary=evil, licence=evil, limits=evil, trained_on=(evil,))
    scores = {evil: {"rgb": {"input": [1, 1], "output": [2, 1]}, "pictures": 1}}
    text = hub_card(weights(dataclasses.replace(card, scores=scores)))
    start, middle, body = text.split("\n---\n", 2)[0], text[4 : text.index("\n---\n\n# ")], text
    assert start.startswith("---")
    assert "evil" not in yaml.safe_load(middle)["tags"]
    assert "\\<script\\>" in body and "\n<script>" not in body.split("\n---\n\n# ", 1)[1]


def test_the_text_beside_the_weights_is_used() -> None:
    text = hub_card(weights(), "# By hand\n\nMore.\n")
    assert text.endswith("---\n\n# By hand\n\nMore.\n") and matter(text)["license"] == "other"


def test_metadata_of_its_own_are_kept_where_the_record_says_nothing() -> None:
    beside = "---\nlanguage: en\nlicense: mit\nmodel-index: []\n---\n\n# By hand\n"
    text = hub_card(weights(), beside)
    found = matter(text)
    assert (found["language"], found["license"]) == ("en", "other")
    assert found["model-index"][0]["results"] and text.count("# By hand") == 1
    assert hub_card(weights(), text) == text, "what was made once stays"


@pytest.mark.parametrize("beside", ["---\n: [\n---\nText\n", "---\n- a\n---\nText\n", "---\n---\nText\n"])
def test_metadata_that_are_none_are_replaced(beside: str) -> None:
    text = hub_card(weights(), beside)
    assert matter(text)["library_name"] == "derain" and text.endswith("---\n\nText\n")


def test_cards_of_the_models_that_ship() -> None:
    for path in installed_models().values():
        text = hub_card(load_weights(path), path.with_suffix(".md").read_text(encoding="utf-8"))
        assert matter(text)["model-index"] and f"# Model card: `{path.stem}`" in text
