"""A finished train-gan run on disk, as its architecture builds networks from it.

In: the run directory. Out: sizes, labels and the weights of each network. One file holds all
networks of a run, told apart by the prefix of their names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from cxrtool.core.errors import InputError
from cxrtool.training.models import load_weights, read_model
from cxrtool.training.rng import torch_generator

G_PREFIX, D_PREFIX = "generator.", "discriminator."
S = TypeVar("S")
N = TypeVar("N", bound=nn.Module)


class SavedGenerator(NamedTuple):
    """A run as it was saved.

    Attributes:
        meta: Content of `model.json`.
        state: All networks' weights, by prefixed names.
        run_dir: Where it lies.
    """

    meta: dict[str, Any]
    state: dict[str, Tensor]
    run_dir: Path

    @classmethod
    def open(cls, run_dir: Path | str) -> SavedGenerator:
        """Read a run.

        Raises:
            InputError: not a finished generator, or damaged.
        """
        return cls(*read_model(run_dir, "generator"), Path(run_dir))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the conditioning labels, in order."""
        return tuple(self.meta["labels"])

    @property
    def single(self) -> bool:
        """Whether an image has exactly one of them."""
        return bool(self.meta.get("label_kind") == "single")

    @property
    def prevalence(self) -> Tensor:
        """`[L]` share of each among the images that the training showed."""
        shares = self.meta.get("shown_prevalence", self.meta["prevalence"])
        return torch.tensor([float(shares[name]) for name in self.labels])

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The weights under a prefix, without it."""
        return {k.removeprefix(prefix): v for k, v in self.state.items() if k.startswith(prefix)}

    def network(
        self, build: Callable[[S, torch.Generator], N], sizes: Callable[..., S], prefix: str
    ) -> N:
        """A network with its weights.

        Raises:
            InputError: its sizes are not understood, or the weights do not fit them.
        """
        try:
            arch = sizes(**self.meta["architecture"])
        except TypeError as error:
            what = f"architecture not understood ({error})"
            raise InputError(what, file=self.run_dir / "model.json") from error
        network = build(arch, torch_generator("unused"))
        load_weights(network, self.part(prefix), file=self.run_dir / "model.safetensors")
        return network


def prefixed(networks: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """One state of several networks, by prefix."""
    return {
        f"{prefix}{name}": value
        for prefix, network in networks.items()
        for name, value in network.state_dict().items()
    }
