"""Several processes that train one network on parts of each batch, started by ``torchrun``.

In: the environment that ``torchrun`` sets. Out: a `World` that adds up gradients and agrees on
numbers. One process is a world of one, in which every method does nothing.

Batch norms standardize by the mean and variance over all processes in training (Ioffe & Szegedy
2015, with the sums of a distributed batch). PyTorch's own SyncBatchNorm works on CUDA alone; this
one is plain sums, so that two processes on a CPU train the network that one trains.
"""

import os
from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
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

    def mean_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes, in one message."""
        weights = list(parameters)
        self.sum_gradients(weights)
        if self.size > 1:
            for p in weights:
                if p.grad is not None:
                    p.grad.div_(self.size)

    def part(self, n: int) -> slice:
        """The rows of n that this process works on; n is a multiple of the number of processes."""
        own = n // self.size
        return slice(self.rank * own, (self.rank + 1) * own)

    def gather(self, part: Tensor) -> Tensor:
        """Rows [n / size, D] of every process -> all rows [n, D], in the order of `part`.

        Differentiable: what the losses of all processes have to say to a row adds up in the process
        that it came from. With equal losses everywhere and `mean_gradients` after, weights move as
        in one process that holds all rows.
        """
        if self.size == 1:
            return part
        before, after = (len(part) * n for n in (self.rank, self.size - self.rank - 1))
        return self.sum(F.pad(part, (0, 0, before, after)))

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a tensor over the processes; differentiable in the sense of `gather`."""
        return value if self.size == 1 else _Sum.apply(value)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over the processes."""
        return self.sum(value) / self.size

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


class _Sum(torch.autograd.Function):
    """All-reduce; the gradient is the sum over the processes."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _Sum.apply(gradient)


def local_device(device: str) -> str:
    """``--device`` for this process: with several of them and CUDA, one GPU each."""
    rank = os.environ.get("LOCAL_RANK")
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    return f"cuda:{rank}" if rank is not None and several and cuda else device


class SharedBatchNorm(nn.BatchNorm2d):
    """A batch norm whose statistics are those of all processes.

    Args:
        own: The batch norm whose parameters and statistics it takes over, as they are.
        world: The processes; each has equally many images.
    """

    def __init__(self, own: nn.BatchNorm2d, world: World) -> None:
        super().__init__(
            own.num_features, own.eps, own.momentum, own.affine, own.track_running_stats
        )
        self.weight, self.bias = own.weight, own.bias
        self.running_mean, self.running_var = own.running_mean, own.running_var
        self.num_batches_tracked = own.num_batches_tracked
        self._world = world

    def forward(self, input: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape and dtype; sums are float32."""
        if not self.training:
            return super().forward(input)
        x, axes = input.float(), (0, 2, 3)
        count = x.numel() // x.shape[1] * self._world.size
        mean = self._world.sum(x.sum(dim=axes)) / count
        centered = x - mean.view(1, -1, 1, 1)
        variance = self._world.sum(centered.square().sum(dim=axes)) / count
        if self.running_mean is not None and self.running_var is not None:
            momentum = self.momentum or 0.0
            unbiased = variance.detach() * (count / max(1, count - 1))
            self.running_mean.lerp_(mean.detach(), momentum)
            self.running_var.lerp_(unbiased, momentum)
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        y = centered * scale.view(1, -1, 1, 1)
        if self.affine:
            y = y + self.bias.view(1, -1, 1, 1)
        return y.to(input.dtype)


def share_batch_norms(network: nn.Module, world: World) -> None:
    """Replace every batch norm of a network, where there are several processes; in place."""
    if world.size == 1:
        return
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, SharedBatchNorm(child, world).train(child.training))
