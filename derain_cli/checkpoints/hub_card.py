"""The README.md of a model on the Hub: metadata as YAML, and a text, both from the record in the weight file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from derain_cli.checkpoints.card import Card, Score
from derain_cli.checkpoints.weight_file import Weights
from derain_cli.model.architecture import count_parameters, macs_per_pixel

__all__ = ["hub_card"]

_LICENCES = {
    "apache license 2.0": "apache-2.0",
    "apache-2.0": "apache-2.0",
    "mit": "mit",
    "cc0": "cc0-1.0",
    "cc0-1.0": "cc0-1.0",
    "cc-by-4.0": "cc-by-4.0",
    "cc-by-sa-4.0": "cc-by-sa-4.0",
    "cc-by-nc-4.0": "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0": "cc-by-nc-sa-4.0",
}
"""Identifiers that the Hub knows, by the words on a card."""
_MATTER = re.compile(r"---[ \t]*\r?\n(?P<yaml>.*?\n)?---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_MARKS = re.compile(r"([\\`*_|<>\[\]#])")
_LONGEST_ID = 64


def hub_card(weights: Weights, text: str | None = None, repo: str | None = None) -> str:
    """A README.md with the Hub's metadata (licence, tags, scores with their protocol).

    Args:
        weights: their card is the source of the metadata, and of the text if none is given.
        text: the text to use instead, such as that of the card beside the weight file. Metadata of its own are kept
            where the record says nothing.
        repo: `owner/name`, for the text.
    """
    own: dict[str, Any] = {}
    if text is not None:
        own, text = _split(text)
    matter = yaml.safe_dump(own | _matter(weights), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{matter}---\n\n{_text(weights, repo) if text is None else text.lstrip()}"


def _split(text: str) -> tuple[dict[str, Any], str]:
    """Metadata and text of a README.md; no metadata if they cannot be read."""
    found = _MATTER.match(text)
    if found is None:
        return {}, text
    try:
        own = yaml.safe_load(found["yaml"] or "")
    except yaml.YAMLError:
        own = None
    return own if isinstance(own, dict) else {}, text[found.end() :]


def _matter(weights: Weights) -> dict[str, Any]:
    card = weights.card
    multi = weights.config.frames > 1
    matter: dict[str, Any] = _licence(card) | {
        "library_name": "derain",
        "pipeline_tag": "image-to-image",
        "tags": ["image-to-image", "deraining", "image-restoration", *(["video"] if multi else [])],
    }
    results = [_result(score) for score in card.measured()]
    return matter | ({"model-index": [{"name": card.name, "results": results}]} if results else {})


def _licence(card: Card) -> dict[str, str]:
    words = card.licence.strip()
    if not words:
        return {"license": "unknown"}
    known = _LICENCES.get(words.lower())
    return {"license": known} if known else {"license": "other", "license_name": _identifier(words)}


def _identifier(words: str) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    if len(plain) > _LONGEST_ID:
        plain = plain[: _LONGEST_ID + 1].rpartition("-")[0] or plain[:_LONGEST_ID]
    return plain or "see-text"


def _result(score: Score) -> dict[str, Any]:
    pictures = f" ({score.pictures} pictures)" if score.pictures else ""
    metrics = [
        {
            "type": kind.lower(),
            "name": f"{kind} ({score.protocol})",
            "value": after,
            "args": {"protocol": score.protocol, "input": before},
        }
        for kind, before, after in (
            ("PSNR", score.input.psnr, score.output.psnr),
            ("SSIM", score.input.ssim, score.output.ssim),
        )
    ]
    return {
        "task": {"type": "image-to-image", "name": "Deraining"},
        "dataset": {"type": _identifier(score.dataset), "name": f"{score.dataset}{pictures}"},
        "metrics": metrics,
    }


def _plain(words: str) -> str:
    """Words of a card as Markdown that shows them as they are, on one line."""
    return _MARKS.sub(r"\\\1", " ".join(words.split()))


def _text(weights: Weights, repo: str | None) -> str:
    return "\n\n".join(_paragraphs(weights, repo or "OWNER/NAME")) + "\n"


def _paragraphs(weights: Weights, repo: str) -> Iterator[str]:
    card, config = weights.card, weights.config
    yield f"# {_plain(card.name)}"
    if card.summary:
        yield _plain(card.summary)
    size = f"{count_parameters(config) / 1e6:.2f} M parameters, {macs_per_pixel(config) / 1e6:.2f} M MAC per pixel"
    frames = f", {config.frames} frames of a clip at once" if config.frames > 1 else ""
    yield f"Semi-DRDNet, a network that removes rain from {'clips' if frames else 'pictures'}: {size}{frames}."
    example = "clip.mp4" if frames else "photo.jpg"
    command = "derain video" if frames else "derain"
    yield f"```\nderain models pull {repo}\n{command} {example} -m {repo}\n```"
    if card.trained_on:
        yield "## Trained on"
        yield "\n".join(f"- {_plain(line)}" for line in card.trained_on)
    scores = list(card.measured())
    if scores:
        yield "## Scores"
        yield "`rgb`: RGB, uniform 7x7 SSIM; `y`: MATLAB luma, gaussian SSIM."
        yield "\n".join(_table(scores))
    if card.limits:
        yield f"## Limitations\n\n{_plain(card.limits)}"
    yield f"## Licence of the weights\n\n{_plain(card.licence) or 'Not stated.'}"
    made: Mapping[str, str] = {
        "training": f"{card.steps:,} steps, {card.patches:,} patches" if card.steps else "",
        "date": card.date,
        "program": card.commit,
        "SHA-256": weights.sha256,
    }
    yield "## Record\n\n" + "\n".join(f"- {name}: {_plain(value)}" for name, value in made.items() if value)
    yield "The record in the weight file has everything else: `derain models show`."


def _table(scores: list[Score]) -> Iterator[str]:
    yield "| data set | pictures | protocol | input PSNR / SSIM | output PSNR / SSIM |"
    yield "|---|---|---|---|---|"
    for score in scores:
        before, after = (f"{side.psnr:.2f} dB / {side.ssim:.4f}" for side in (score.input, score.output))
        yield f"| {_plain(score.dataset)} | {score.pictures or ''} | `{score.protocol}` | {before} | {after} |"
