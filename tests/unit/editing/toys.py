"""A generator and an encoder whose edits can be checked by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from cxrtool.training.protocols import Partial

SIZE = 16


class ToyGenerator:
    """w [N, 2, 3] -> bright squares: the first number of each w is one square's brightness."""

    labels: tuple[str, ...] = ("Left", "Right")
    size, channels, z_dim, w_dim, num_ws = SIZE, 1, 3, 3, 2

    def __init__(self) -> None:
        self.meta: dict[str, Any] = {"preprocessing": {"size": SIZE, "fit": "crop"}}
        basis = torch.zeros(6, SIZE, SIZE)
        for k in range(6):
            basis[k, 2 + 6 * (k // 3) : 6 + 6 * (k // 3), 1 + 5 * (k % 3) : 5 + 5 * (k % 3)] = 1.0
        self.basis = basis

    def mapping(self, z: Tensor, y: Tensor, truncation: float = 1.0) -> Tensor:
        mean = torch.cat([y - 0.5, torch.zeros(len(y), 1)], dim=1)
        return (mean + 0.2 * truncation * z).unsqueeze(1).repeat(1, 2, 1)

    def synthesis(self, w: Tensor, noise: str = "const") -> Tensor:
        return torch.einsum("nk,khw->nhw", w.flatten(1).tanh(), self.basis).unsqueeze(1)

    def generate(self, z: Tensor, y: Tensor, truncation: float = 1.0, noise: str = "c") -> Tensor:
        return self.synthesis(self.mapping(z, y, truncation), noise)


class ToyStyles:
    """The parts of a generator with styles that a test of styles has no use for."""

    labels: tuple[str, ...] = ()
    size, channels, z_dim, w_dim, num_ws = 8, 1, 1, 1, 1
    style_layers: dict[str, tuple[int, int, bool]]

    def styles(self, w: Tensor) -> dict[str, Tensor]:
        raise NotImplementedError

    def synthesis_from_styles(self, styles: dict[str, Tensor], noise: str = "const") -> Tensor:
        raise NotImplementedError

    def synthesis(self, w: Tensor, noise: str = "const") -> Tensor:
        return self.synthesis_from_styles(self.styles(w))

    def mapping(self, z: Tensor, y: Tensor, truncation: float = 1.0) -> Tensor:
        raise NotImplementedError

    def generate(self, z: Tensor, y: Tensor, truncation: float = 1.0, noise: str = "c") -> Tensor:
        raise NotImplementedError

    def begin(self, n: int) -> Partial:
        raise NotImplementedError

    def advance(
        self, partial: Partial, styles: dict[str, Tensor], first: int, last: int | None = None
    ) -> Partial:
        raise NotImplementedError


class ToyEncoder:
    """Embeds an image as the brightness of the six squares; knows three texts."""

    name = "toy"

    def __init__(self) -> None:
        self.texts = {"left": 0, "right": 1, "other": 4}
        self.basis = ToyGenerator().basis

    def embed_images(self, x: Tensor) -> Tensor:
        return torch.einsum("nhw,khw->nk", x[:, 0], self.basis) / 16 + 0.05

    def embed_texts(self, texts: list[str]) -> Tensor:
        return torch.eye(6)[[self.texts[text] for text in texts]]
