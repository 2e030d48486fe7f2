"""What the methods of `cxr edit` work with, and what they look at before they edit.

In: the options and the networks. Out: `Tools`: w that go round the generator's frequent conditions,
and the relevance matrix on disk. That lies in NAME.safetensors (`PART.LAYER`) and NAME.json, which
names the generator and the CLIP: to another tower the numbers mean nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from cxrtool.core.errors import InputError
from cxrtool.core.reading import read_json
from cxrtool.core.runs import Run
from cxrtool.editing.guide import Distance
from cxrtool.editing.relevance import Styles
from cxrtool.editing.starts import condition_vector, stored_conditions
from cxrtool.training.directions import generator_fingerprint
from cxrtool.training.protocols import ImageEncoder, StyleGenerator, StyleSpace
from cxrtool.training.rng import torch_generator

FORMAT = 1
PSI = 0.7  # of the latents behind statistics and relevance (StyleCLIP)
CONDITIONS = 64  # frequent conditions that they go round


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of `cxr edit` by their names there.

    Attributes:
        beta, relevance, relevance_images, relevance_batch: Of global directions.
        block: Images at once.
        condition: Of generated starts.
        gan, clip: Folders of the two models.
    """

    beta: float
    relevance: Path | None
    relevance_images: int
    block: int
    relevance_batch: int
    condition: tuple[str, ...]
    gan: Path
    clip: Path


@dataclass(frozen=True, eq=False)
class Tools:
    """What the methods work with."""

    options: Options
    run: Run
    generator: StyleGenerator
    encoder: ImageEncoder
    distance: Distance
    device: torch.device

    @property
    def styled(self) -> StyleSpace:
        """The generator, for what needs a style space and is not asked for without one."""
        assert isinstance(self.generator, StyleSpace)
        return self.generator

    def latents(self, first: int, count: int) -> Tensor:
        """w of the latents first..first+count-1, which go round the frequent conditions."""
        y = self._conditions
        rng = torch_generator("channels", first)
        z = torch.randn(count, self.generator.z_dim, generator=rng).to(self.device)
        return self.generator.mapping(z, y[torch.arange(first, first + count) % len(y)], PSI)

    @cached_property
    def _conditions(self) -> Tensor:
        """[K, L] label vectors: the generator's frequent ones, or the starts'."""
        vectors = stored_conditions(self.generator)
        if vectors is None:
            vectors = condition_vector(self.generator, self.options.condition)[None]
        return vectors[:CONDITIONS].to(self.device)

    @cached_property
    def _networks(self) -> dict[str, str]:
        """Fingerprints of the generator and the CLIP at hand."""
        folders = {"generator": self.options.gan, "clip": self.options.clip}
        return {role: generator_fingerprint(folder) for role, folder in folders.items()}

    def write(self, name: str, parts: Mapping[str, Styles], **content: Any) -> None:
        """Write NAME.safetensors and NAME.json: part -> layer -> tensor, and facts beside them."""
        tensors = {
            f"{part}.{layer}": value.detach().cpu().contiguous()
            for part, layers in parts.items()
            for layer, value in layers.items()
        }
        self.run.write_bytes(f"{name}.safetensors", save(tensors))
        self.run.write_json(f"{name}.json", {"format": FORMAT, **self._networks, **content})

    def read(self, name: str) -> tuple[dict[str, Styles], int]:
        """Read both files from `--relevance`.

        Args:
            name: See `write`.

        Returns:
            Part -> layer -> tensor, and the number of images behind them.

        Raises:
            InputError: missing, damaged, or of another generator or CLIP.
        """
        folder = self.options.relevance
        assert folder is not None
        file, weights = folder / f"{name}.json", folder / f"{name}.safetensors"
        if not file.is_file():
            raise InputError(
                "no such file: this run has no relevance matrix",
                file=file,
                hint="give an output of `cxr edit --method global`",
            )
        record = read_json(file)
        for role, mine in self._networks.items():
            if record.get(role) != mine:
                which = "CLIP" if role == "clip" else role
                raise InputError(
                    f"this relevance matrix belongs to another {which}",
                    file=file,
                    hint="leave out --relevance: it must be computed anew for each of them",
                )
        try:
            tensors = load_file(weights)
        except (OSError, SafetensorError) as error:
            raise InputError(f"is damaged: {error}", file=weights) from None
        parts: dict[str, Styles] = {}
        for key, value in tensors.items():
            part, _, layer = key.partition(".")
            parts.setdefault(part, {})[layer] = value.to(self.device)
        return parts, int(record["images"])
