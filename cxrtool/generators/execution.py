"""How the networks of the main phases are computed: in which precision, compiled or as written.

In: what was asked for and the device. Out: an `Execution` that the trainer runs both networks
through. The regularizers do not come here: their gradients of gradients do not go through
torch.compile, and R1 is sensitive to precision (they run as written).

bfloat16 touches the feature maps of the highest resolutions only (Karras et al. 2020, arXiv
2006.06676, appendix E, does so with float16; bfloat16 has the exponents of float32 and needs no
clamping): mapping, styles, demodulation, images and scores stay float32.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from cxrtool.core import console
from cxrtool.core.errors import reason_of
from cxrtool.training.device import has_fast_bfloat16

LOW_RESOLUTIONS = 4  # how many of the highest resolutions are bfloat16
LEAST_LOW_PX = 8
LEAST_AUTO_PX = 32  # image size below which bfloat16 wins no time


class Execution:
    """Runs both networks in the main phases.

    Args:
        device: Where.
        size: Image size in pixels.
        precision: "float32", "bfloat16", or "auto" for bfloat16 from `LEAST_AUTO_PX` on devices
            that are fast at it.
        compile: "on", "off", or "auto" for on CUDA devices.

    Attributes:
        low: Resolution from which feature maps are bfloat16; None for nowhere.
    """

    def __init__(
        self,
        device: torch.device,
        size: int,
        precision: str = "auto",
        compile: str = "auto",
    ) -> None:
        low = precision == "bfloat16" or (
            precision == "auto" and size >= LEAST_AUTO_PX and has_fast_bfloat16(device)
        )
        self.low = max(LEAST_LOW_PX, size >> LOW_RESOLUTIONS - 1) if low else None
        self.compiles = compile == "on" or (compile == "auto" and device.type == "cuda")
        self._tried = False
        self._compiled: dict[nn.Module, Callable[..., Any]] = {}

    @property
    def described(self) -> str:
        """One line for the person who waits."""
        precision = f"bfloat16 from {self.low} px up" if self.low else "float32"
        return f"feature maps in {precision}" + ("; torch.compile" if self.compiles else "")

    def run(self, network: nn.Module, *inputs: Any, **more: Any) -> Any:
        """A network's `forward`, for losses that need no gradient of a gradient.

        Args:
            network: Of the trainer.
            inputs: Its arguments up to `low`.
            more: Its arguments behind `low`.
        """
        return self._compiled.get(network, network)(*inputs, self.low, **more)

    def prove(
        self,
        networks: Iterable[nn.Module],
        trial: Callable[[], None],
        agree: Callable[[bool], bool],
    ) -> None:
        """Compile the networks, the first time, and try them; go on as written if that fails.

        Args:
            networks: Of the trainer.
            trial: Runs the main phases once, forward and backward, and leaves no trace.
            agree: Whether the argument is true in any of the processes that train together.

        Raises:
            torch.OutOfMemoryError: from `trial`.
        """
        if self._tried or not self.compiles:
            return
        self._tried = True
        console.say("compiling the networks, once")
        why = ""
        try:
            for network in networks:
                self._compiled[network] = torch.compile(network, dynamic=False)
            trial()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a compiler throws; a fault of ours comes again
            why = reason_of(error)
        if agree(bool(why)):
            self.compiles, self._compiled = False, {}
            console.warn(f"training goes on without torch.compile: {why or 'another process'}")
