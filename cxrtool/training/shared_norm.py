"""Batch norm over the whole batch of several processes, each of which holds a part of it.

In: a network and a `World`. Out: the same network, whose batch norms standardize by the mean and
variance over all processes in training (Ioffe & Szegedy 2015, with the sums of a distributed
batch). PyTorch's own SyncBatchNorm works on CUDA alone; this one is plain sums, so that two
processes on a CPU train the network that one trains.
"""

from torch import Tensor, nn

from cxrtool.training.world import World


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
