"""Recording the passes of a network in training once, and replaying them (CUDA graphs).

In: a network on a CUDA device and a batch like those to come. Out: a function that does what the
network does, forward and backward, with one launch in place of thousands. A network of many small
layers, such as DenseNet-121, otherwise waits for the processor that launches its kernels: they take
a fraction of the time that it takes to ask for them. Numbers are the same: the same kernels run in
the same order on the same memory.
"""

import contextlib
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from cxrtool.core import console
from cxrtool.core.errors import reason_of


class _Whole(nn.Module):
    """A network in its precision; its `forward` is what is recorded, the network's stays."""

    def __init__(self, network: nn.Module, low: bool) -> None:
        super().__init__()
        self.network, self.low = network, low

    def forward(self, x: Tensor) -> Tensor:
        # Casts of weights belong into the recording, not into a cache that outlives it.
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.low, cache_enabled=False):
            return cast(Tensor, self.network(x)).float()


def recorded(
    network: nn.Module, example: Tensor, *, low: bool
) -> Callable[[Tensor], Tensor] | None:
    """The network's passes in training mode, recorded.

    The network is left as it was (recording runs it a few times, which would move the running
    statistics of BatchNorm). Its weights and buffers must stay where they are from here on: changed
    in place, as optimizers and `load_state_dict` do. What the function returns is overwritten by
    its next call.

    Args:
        network: On a CUDA device, in training mode.
        example: A batch; the function takes those of the same shape and memory format alone.
        low: Compute in bfloat16 (autocast).

    Returns:
        [N, ...] -> float32 outputs, with gradients for the weights. None where it cannot be
        recorded (a layer that waits for the device, too little memory); a warning says why.
    """
    before = [buffer.clone() for buffer in network.buffers()]
    rng = torch.random.get_rng_state(), torch.cuda.get_rng_state(example.device)
    whole = _Whole(network, low).train()
    with contextlib.suppress(AttributeError):  # not in older releases
        # Gradients are accumulated on the stream of the recording, which is as it should be.
        torch.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    try:
        return cast(
            Callable[[Tensor], Tensor],
            torch.cuda.make_graphed_callables(whole, (example.clone(),)),
        )
    except Exception as error:  # whatever a driver says; a fault of ours comes again without it
        console.warn(f"training goes on without recorded steps: {reason_of(error)}")
        return None
    finally:
        with torch.no_grad():
            for buffer, saved in zip(network.buffers(), before, strict=True):
                buffer.copy_(saved)
        for parameter in network.parameters():
            parameter.grad = None
        torch.random.set_rng_state(rng[0])
        torch.cuda.set_rng_state(rng[1], example.device)
