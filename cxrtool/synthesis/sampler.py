"""The network at work: latents and labels in, 8-bit images out, always in blocks of one size.

In: a `Generator` and, for every block, seeds, label vectors and places in the batch. Out: the
block's images, uint8, and what a panel says of them. A block that is not full is padded with zeros,
so that an image has the same bits whether its block is whole, the last one, or made again for this
one image.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Finished:
    """A block that was waited for.

    Attributes:
        pixels: uint8 [b, H, W].
        scores: [M, b] of the panel's meters.
    """

    pixels: ByteArray
    scores: FloatArray


class Launched:
    """A block on its way: computed by the device, copied to main memory as soon as it is there.

    The copy is queued behind its own block and before the next one, so that waiting for this block
    does not wait for the one that was started after it.
    """

    def __init__(self, pixels: Tensor, finite: Tensor, scores: Tensor, places: IntArray) -> None:
        self._places = places
        self._parts = [_to_host(part) for part in (pixels, finite, scores)]
        self._copied = torch.cuda.current_stream().record_event() if pixels.is_cuda else None

    def wait(self) -> Finished:
        """The images of the block.

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
        return Finished(pixels[self._places], scores[:, self._places])


def _to_host(values: Tensor) -> Tensor:
    if not values.is_cuda:
        return values
    host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return host.copy_(values, non_blocking=True)


class BlockSampler:
    """Runs a generator on padded blocks.

    Args:
        generator: The network, on `device`, in evaluation mode.
        block: Images a batch.
        truncation: psi.
        device: Where the network is.
        panel: Looks at every block.
        render: Makes images in the place of the network alone; None for the network as it is.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        block: int,
        truncation: float,
        device: torch.device,
        panel: Panel | None = None,
        render: Render | None = None,
    ) -> None:
        if generator.channels != 1:
            raise InputError(
                f"the generator makes images of {generator.channels} channels, not gray ones"
            )
        self._generator = generator
        self._block = block
        self._truncation = truncation
        self._device = device
        self._panel = panel or Panel()
        self._render = render or self._generate

    @torch.inference_mode()
    def launch(
        self,
        seeds: list[int],
        labels: FloatArray,
        places: IntArray,
        *,
        slots: IntArray | None = None,
        streams: IntArray | None = None,
    ) -> Launched:
        """Start one block; on CUDA this returns before the images are ready.

        Args:
            seeds: Seed of each image [b].
            labels: Label vectors [b, L] in the generator's order.
            places: Position of each image in the batch [b], below the block size.
            slots: Slot of each image [b], for edits and the panel.
            streams: Target class of each [b], for the panel.
        """
        z = np.zeros((self._block, self._generator.z_dim), dtype=np.float32)
        y = np.zeros((self._block, len(self._generator.labels)), dtype=np.float32)
        z[places] = latents(seeds, self._generator.z_dim)
        y[places] = labels
        padded_slots = np.full(self._block, -1, dtype=np.int64)
        padded_streams = np.zeros(self._block, dtype=np.int64)
        if slots is not None:
            padded_slots[places] = slots
        if streams is not None:
            padded_streams[places] = streams
        labels_on_device = torch.from_numpy(y).to(self._device)
        images = self._render(torch.from_numpy(z).to(self._device), labels_on_device, padded_slots)
        finite = images.isfinite().flatten(1).all(dim=1)
        pixels = quantize(images)
        scores = None
        if self._panel.meters:
            scores = self._panel.scores(
                Sight.of(pixels, labels_on_device, padded_slots, padded_streams)
            )
        if scores is None:
            scores = torch.zeros(0, self._block)
        return Launched(pixels, finite, scores, places)

    def images(self, seeds: list[int], labels: FloatArray, places: IntArray) -> ByteArray:
        """One block, waited for: uint8 [b, H, W]."""
        return self.launch(seeds, labels, places).wait().pixels

    def _generate(self, z: Tensor, y: Tensor, slots: IntArray) -> Tensor:
        return self._generator.generate(z, y, truncation=self._truncation, noise="const")


def one_ahead(items: Iterable[T | None], start: Callable[[T], U]) -> Iterator[tuple[T, U]]:
    """Start item i + 1 before item i is handed on, so that the device works while others wait.

    The source may give None for "nothing now": it is asked again once the item that waits has been
    looked at, which may have given it more.
    """
    waiting: tuple[T, U] | None = None
    source = iter(items)
    while True:
        item = next(source, None)
        if item is None and waiting is None:
            return
        following = None if item is None else (item, start(item))
        if waiting is not None:
            yield waiting
        waiting = following
