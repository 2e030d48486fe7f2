"""Randomness as an argument: seeds derived from names and counters.

In: any parts that name a draw, such as `("fakes", seed, nimg)`. Out: a seed, or a generator seeded
with it. A draw that is a pure function of (seed, images seen) needs no stored state: training
resumes bit for bit from one number, and the images of one shard do not depend on the others.
The parts are hashed with SHA-256 so that neighbouring seeds and counters give unrelated streams.
Networks and synthetic sets encode their parts in two ways, which are both kept: another one would
change every image that was ever made. Plans are made without torch, so it is imported where used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

Part = str | int | float | bool | np.integer | None


def seed_for(*parts: Part) -> int:
    """A seed in [0, 2**63) from the parts; equal parts give equal seeds on every machine.

    Types count: `1`, `1.0`, `True` and `"1"` differ, and so do `("ab", "c")` and `("a", "bc")`.
    """
    texts = (repr(int(part) if isinstance(part, np.integer) else part) for part in parts)
    return _hash(f"{len(text)}:{text}" for text in texts)


def plan_seed(*parts: str | int) -> int:
    """A seed in [0, 2**63) for what a plan draws: its rows, its pilots, the images of its slots."""
    return _hash(
        f"{'s' if isinstance(part, str) else 'i'}{len(str(part).encode())}:{part}" for part in parts
    )


def _hash(texts: Iterable[str]) -> int:
    digest = hashlib.sha256("".join(texts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def torch_generator(*parts: Part, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on `device`, seeded by `seed_for(*parts)`.

    CPU and CUDA generators give different numbers for the same seed.
    """
    import torch

    return torch.Generator(device=device).manual_seed(seed_for(*parts))


class Draws:
    """Random numbers for some samples of a batch: those that the whole batch would have drawn.

    However a batch is cut into parts, each sample gets the same numbers, as long as every part
    makes the same calls in the same order from a generator in the same state.

    Args:
        generator: Where the numbers come from.
        n: Samples in the whole batch.
        rows: int64 [M], which of them this part holds; None for all.
    """

    def __init__(
        self, generator: torch.Generator, n: int, rows: torch.Tensor | None = None
    ) -> None:
        self.generator, self.n, self.rows = generator, n, rows

    def __len__(self) -> int:
        return self.n if self.rows is None else len(self.rows)

    def uniform(self, *shape: int) -> torch.Tensor:
        """[M, *shape] in [0, 1)."""
        import torch

        return self._mine(torch.rand((self.n, *shape), **self._how))

    def normal(self, *shape: int) -> torch.Tensor:
        """[M, *shape], standard normal."""
        import torch

        return self._mine(torch.randn((self.n, *shape), **self._how))

    def integers(self, low: int, high: int) -> torch.Tensor:
        """int64 [M] in [low, high)."""
        import torch

        return self._mine(torch.randint(low, high, (self.n,), **self._how))

    @property
    def _how(self) -> dict[str, Any]:
        return {"generator": self.generator, "device": self.generator.device}

    def _mine(self, values: torch.Tensor) -> torch.Tensor:
        return values if self.rows is None else values[self.rows]


def numpy_rng(*parts: Part) -> np.random.Generator:
    """A numpy generator seeded by `seed_for(*parts)`."""
    return np.random.default_rng(seed_for(*parts))


def rng_state() -> dict[str, Any]:
    """The state of torch's global generators, as tensors for a checkpoint.

    For code that must draw from the global streams (dropout, for one); draws of our own use
    `seed_for`.
    """
    import torch

    return {
        "cpu": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_rng(state: dict[str, Any]) -> None:
    """Put back what `rng_state` returned.

    A checkpoint from a machine with another number of CUDA devices restores those present in both.
    """
    import torch

    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available():
        for index, cuda_state in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(cuda_state, index)
