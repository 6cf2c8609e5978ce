"""Saving and publishing of a network with its card, in the manner of the Hub's PyTorchModelHubMixin."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.hub_name import HubName
from derain_cli.checkpoints.pretrained import files_of_network, write_pretrained
from derain_cli.checkpoints.publish import publish
from derain_cli.errors import UsageError

if TYPE_CHECKING:
    from derain_cli.model import SemiDRDNet

__all__ = ["HubMixin"]


class HubMixin:
    """Something with a network that can be saved.

    Args:
        network: as trained; None if it cannot be saved.
        card: its record.
    """

    def __init__(self, network: SemiDRDNet | None, card: Card):
        self._network = network
        self.card = card

    def save_pretrained(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a folder that `from_pretrained` reads: model.safetensors, config.json and README.md (the model card).

        Args:
            folder: created if missing.
            overwrite: replace files of these names.

        Raises:
            UsageError: the restorer was not made from a `SemiDRDNet` or by `from_pretrained`.
            DestinationError: one of the files exists, or the folder cannot be written to.
            ResourceError: the disk is full.
        """
        _, files = files_of_network(self._saved_network(), self.card)
        write_pretrained(Path(folder), files, overwrite=overwrite)

    def push_to_hub(self, name: str, *, private: bool = False, revision: str | None = None) -> str:
        """Publish what `save_pretrained` writes on the Hub, as one commit. Needs a token (`HF_TOKEN`, or a login).

        Args:
            name: `owner/name`; the repository is created if it is missing.
            private: create a private repository; an existing one must be private already.
            revision: branch to commit to, created if missing; None for the default branch.

        Returns:
            The commit.

        Raises:
            UsageError: not a valid name; or as for `save_pretrained`.
            DestinationError: no token, no right to write, or the Hub cannot be reached.
        """
        target = HubName.parse(name if revision is None else f"{name}@{revision}")
        weights, files = files_of_network(self._saved_network(), self.card, target.repo)
        return publish(target, weights, files, private=private).commit

    def _saved_network(self) -> SemiDRDNet:
        if self._network is None:
            raise UsageError("only a restorer made from a network that is not folded can be saved")
        return self._network
