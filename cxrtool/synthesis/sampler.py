"""The network at work: latents and labels in, 8-bit images out, always in blocks of one size.

In: a `Generator` and, for every block, seeds, label vectors and places in the batch. Out: the
block's images, uint8, and what a panel says of them. A block that is not full is padded with zeros,
so that an image has the same bits whether its block is whole, the last one, or made again for this
one image.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from cxrtool.core.errors import InputError
from cxrtool.data.images import quantize
from cxrtool.synthesis.arrays import ByteArray, FloatArray, IntArray
from cxrtool.synthesis.panel import Panel, Sight
from cxrtool.synthesis.slots import latents
from cxrtool.training.protocols import Generator

T = TypeVar("T")
U = TypeVar("U")
#: Latents, labels, place -> images, float [N, 1, H, W]; edits put something else than the network.
Render = Callable[[Tensor, Tensor, IntArray], Tensor]


class Launched:
    """A block on its way: computed by the device, copied to main memory as soon as it is there.

    The copy is queued behind its own block and before the next one, so that waiting for this block
    does not wait for the one that was started after it.
    """

    def __init__(self, pixels: Tensor, finite: Tensor, scores: Tensor, places: IntArray) -> None:
        self._places = places
        self._parts = [_to_host(part) for part in (pixels, finite, scores)]
        self._copied = torch.cuda.current_stream().record_event() if pixels.is_cuda else None

    def wait(self) -> tuple[ByteArray, FloatArray]:
        """The images of the block, uint8 [b, H, W], and the scores of the panel's meters [M, b].

        Raises:
            InputError: The network gave numbers that are not finite.
        """
        if self._copied is not None:
            self._copied.synchronize()
        pixels, finite, scores = (part.numpy() for part in self._parts)
        if not finite[self._places].all():
            raise InputError(
                "the generator gives images that are not finite",
                hint="its training has diverged: train it again",
            )
        return pixels[self._places], scores[:, self._places]


def _to_host(values: Tensor) -> Tensor:
    if not values.is_cuda:
        return values
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return host.copy_(values, non_blocking=True)


@dataclass(frozen=True)
class BlockSampler:
    """Runs a generator on padded blocks.

    Attributes:
        generator: The network, on `device`, in evaluation mode.
        block: Images a batch.
        truncation: psi.
        device: Where the network is.
        panel: Looks at every block.
        render: Makes images in the place of the network alone; None for the network as it is.
    """

    generator: Generator
    block: int
    truncation: float
    device: torch.device
    panel: Panel = field(default_factory=Panel)
    render: Render | None = None

    def __post_init__(self) -> None:
        if self.generator.channels != 1:
            raise InputError(
                f"the generator makes images of {self.generator.channels} channels, not gray ones"
            )

    @torch.inference_mode()
    def launch(
        self,
        seeds: list[int],
        labels: FloatArray,
        places: IntArray,
        *,
        slots: IntArray | int = -1,
        streams: IntArray | int = 0,
    ) -> Launched:
        """Start one block; on CUDA this returns before the images are ready.

        Args:
            seeds: Seed of each image [b].
            labels: Label vectors [b, L] in the generator's order.
            places: Position of each image in the batch [b], below the block size.
            slots: Slot of each image [b], for edits and the panel.
            streams: Target class of each [b], for the panel.
        """
        noise = np.zeros((self.block, self.generator.z_dim), dtype=np.float32)
        vectors = np.zeros((self.block, len(self.generator.labels)), dtype=np.float32)
        padded_slots = np.full(self.block, -1, dtype=np.int64)
        padded_streams = np.zeros(self.block, dtype=np.int64)
        noise[places] = latents(seeds, self.generator.z_dim)
        vectors[places], padded_slots[places], padded_streams[places] = labels, slots, streams
        z, y = (torch.from_numpy(part).to(self.device) for part in (noise, vectors))
        if self.render is None:
            images = self.generator.generate(z, y, truncation=self.truncation, noise="const")
        else:
            images = self.render(z, y, padded_slots)
        finite = images.isfinite().flatten(1).all(dim=1)
        sight = Sight(quantize(images), y, padded_slots, padded_streams)
        return Launched(sight.pixels, finite, self.panel.scores(sight), places)

    def images(self, seeds: list[int], labels: FloatArray, places: IntArray) -> ByteArray:
        """One block, waited for: uint8 [b, H, W]."""
        return self.launch(seeds, labels, places).wait()[0]


def one_ahead(following: Callable[[], T | None], start: Callable[[T], U]) -> Iterator[tuple[T, U]]:
    """Start the next item before one is handed on, so that the device works while others wait.

    The source may give None for "nothing now": it is asked again once the item that waits has been
    looked at, which may have given it more.
    """
    waiting: tuple[T, U] | None = None
    while True:
        item = following()
        if item is None and waiting is None:
            return
        started = None if item is None else (item, start(item))
        if waiting is not None:
            yield waiting
        waiting = started
