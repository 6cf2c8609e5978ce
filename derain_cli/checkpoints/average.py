"""Averages of trained weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.weight_file import Weights, network
from derain_cli.model import SemiDRDNet
from derain_cli.model.average import average
from derain_cli.system.provenance import program_version, today

__all__ = ["average_weights"]


def average_weights(weights: Sequence[Weights], shares: Sequence[float]) -> tuple[SemiDRDNet, Card]:
    """The weighted average of trained networks (see `model.average`) and its card.

    The card combines the data and terms of all. Steps and patches are the maximum over the networks, since weights
    worth averaging share a start. It has no scores: those have to be measured.

    Raises:
        UsageError: networks with different configurations, or shares that do not sum to 1.
    """
    made = average([network(each) for each in weights], shares)
    cards = [each.card for each in weights]

    def all_of(texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text for text in texts if text))

    parts = [
        {"share": share, "sha256": each.sha256, "recipe": each.card.recipe}
        for each, share in zip(weights, shares, strict=True)
    ]
    card = Card(
        name=cards[0].name,
        summary=cards[0].summary,
        trained_on=all_of(line for card in cards for line in card.trained_on),
        recipe={"average": parts},
        steps=max(card.steps for card in cards),
        patches=max(card.patches for card in cards),
        commit=program_version(),
        licence="; ".join(all_of(card.licence for card in cards)),
        date=today(),
        limits="; ".join(all_of(card.limits for card in cards)),
        hashes=tuple(sorted({one for card in cards for one in card.hashes})),
    )
    return made, card
