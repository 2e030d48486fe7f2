"""Several processes that train one network on parts of each batch, started by ``torchrun``.

In: the environment that ``torchrun`` sets. Out: a `World` that adds up gradients and agrees on
numbers. One process is a world of one, in which every method does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class World:
    """The processes of one training.

    Args:
        device: What this process computes on; NCCL for CUDA, gloo for the CPU.

    Attributes:
        rank: Of this process, 0 for the one that writes.
        size: How many there are.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0")) if self.size > 1 else 0
        if self.size > 1:
            dist.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
            # Flags go by the CPU, so that no step waits for the device because of them.
            self._flags: Any = dist.new_group(backend="gloo")

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its sum over the processes, in one message."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, total in zip(gradients, flat.split([g.numel() for g in gradients])):
            gradient.copy_(total.view_as(gradient))

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over the processes."""
        if self.size == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value / self.size

    def any(self, flag: bool) -> bool:
        """Whether the flag is up in any process; all get the same answer."""
        if self.size == 1:
            return flag
        up = torch.tensor(int(flag))
        dist.all_reduce(up, dist.ReduceOp.MAX, group=self._flags)
        return bool(up)

    def wait(self) -> None:
        """Wait until all are here."""
        if self.size > 1:
            dist.barrier(group=self._flags)

    def close(self) -> None:
        """End the conversation."""
        if self.size > 1:
            dist.destroy_process_group()


def local_device(device: str) -> str:
    """``--device`` for this process: with several of them and CUDA, one GPU each."""
    rank = os.environ.get("LOCAL_RANK")
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    return f"cuda:{rank}" if rank is not None and several and cuda else device
