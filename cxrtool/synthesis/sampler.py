"""The network at work: latents and labels in, 8-bit images out, always in blocks of one size.

In: a `Generator` and, for every block, seeds, label vectors and places in the batch. Out: the
block's images, uint8. A block that is not full is padded with zeros, so that an image has the same
bits whether its block is whole, the last one, or made again for this one image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from cxrtool.data.images import to_uint8
from cxrtool.errors import InputError
from cxrtool.synthesis.slots import FloatArray, latents
from cxrtool.training.protocols import Generator

T = TypeVar("T")
U = TypeVar("U")
PixelArray = npt.NDArray[np.uint8]


class BlockSampler:
    """Runs a generator on padded blocks.

    Args:
        generator: The network, on `device`, in evaluation mode.
        block: Images a batch.
        truncation: psi.
        device: Where the network is.
    """

    def __init__(
        self, generator: Generator, *, block: int, truncation: float, device: torch.device
    ) -> None:
        if generator.channels != 1:
            raise InputError(
                f"the generator makes images of {generator.channels} channels, not gray ones"
            )
        self._generator = generator
        self._block = block
        self._truncation = truncation
        self._device = device

    @torch.inference_mode()
    def launch(
        self,
        seeds: list[int],
        labels: FloatArray,
        places: npt.NDArray[np.int64],
    ) -> torch.Tensor:
        """Start one block; on CUDA this returns before the images are ready.

        Args:
            seeds: Seed of each image [b].
            labels: Label vectors [b, L] in the generator's order.
            places: Position of each image in the batch [b], below the block size.

        Returns:
            [b, 1, H, W] in about [-1, 1], on the device.
        """
        z = np.zeros((self._block, self._generator.z_dim), dtype=np.float32)
        y = np.zeros((self._block, len(self._generator.labels)), dtype=np.float32)
        z[places] = latents(seeds, self._generator.z_dim)
        y[places] = labels
        images = self._generator.generate(
            torch.from_numpy(z).to(self._device),
            torch.from_numpy(y).to(self._device),
            truncation=self._truncation,
            noise="const",
        )
        if len(places) == self._block:
            return images
        return images[torch.from_numpy(places).to(images.device)]

    def images(
        self, seeds: list[int], labels: FloatArray, places: npt.NDArray[np.int64]
    ) -> PixelArray:
        """One block, waited for: uint8 [b, H, W]."""
        return finish(self.launch(seeds, labels, places))


def finish(images: torch.Tensor) -> PixelArray:
    """Wait for a block and turn it to uint8 [b, H, W].

    Raises:
        InputError: The network gave numbers that are not finite.
    """
    if not bool(torch.isfinite(images).all()):
        raise InputError(
            "the generator gives images that are not finite",
            hint="its training has diverged: train it again",
        )
    return np.asarray(to_uint8(images))


def one_ahead(items: Iterable[T], start: Callable[[T], U]) -> Iterator[tuple[T, U]]:
    """Start item i + 1 before item i is handed on, so that the device works while others wait."""
    waiting: tuple[T, U] | None = None
    for item in items:
        started = start(item)
        if waiting is not None:
            yield waiting
        waiting = (item, started)
    if waiting is not None:
        yield waiting
