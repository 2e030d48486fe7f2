"""Seconds per thousand images of train-gan's network, against its grouped-convolution form.

    python benchmarks/gan.py --size 32 --preset tiny
    python benchmarks/gan.py --size 64 --preset small --device cuda

Both forms train the same network on the same random images with every regularizer on (R1, path
length from 64 px, DiffAugment, label losses, weight average). The grouped form makes one set of
weights for each sample and convolves with as many groups as there are samples, which is how
modulation is often written; it is checked to give the same images first. Rounds of the two
alternate, and the fastest round of each counts, so that other work on the machine disturbs both
alike.
"""

from __future__ import annotations

import argparse
import json
import platform
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cxrtool.gans.choices import choose
from cxrtool.gans.feed import Feed
from cxrtool.gans.stylegan2 import ops
from cxrtool.gans.stylegan2.layers import StyledConv
from cxrtool.gans.trainer import Trainer
from cxrtool.training import device as devices
from cxrtool.training.rng import Draws

LABELS, IMAGES = 14, 512
OURS = StyledConv.forward


def grouped(self: StyledConv, x: Tensor, styles: Tensor, noise: str | Draws) -> Tensor:
    """`StyledConv.forward` with one set of weights a sample."""
    n, inputs, high, wide = x.shape
    outputs = len(self.weight)
    weight = self.weight[None] * self.weight_gain * styles[:, None, :, None, None]
    weight = weight * torch.rsqrt(weight.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)
    x = x.contiguous().reshape(1, n * inputs, high, wide)
    if self.up:
        kernel = weight.flip(3, 4).transpose(1, 2).reshape(n * inputs, outputs, 3, 3)
        y = F.conv_transpose2d(x, kernel, stride=2, groups=n)
        fir = (self.fir * 4).expand(n * outputs, 1, 4, 4)
        y = F.conv2d(y, fir, padding=1, groups=n * outputs)
    else:
        y = F.conv2d(x, weight.reshape(n * outputs, inputs, 3, 3), padding=1, groups=n)
    y = y.reshape(n, outputs, self.resolution, self.resolution)
    image = self._noise(noise, y)
    if image is not None:
        y = y + image / ops.LRELU_GAIN
    y = y + self.bias[None, :, None, None]
    return F.leaky_relu(y, ops.LRELU_SLOPE) * ops.LRELU_GAIN


def new_trainer(args: argparse.Namespace, device: torch.device) -> Trainer:
    """A trainer on random images."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (IMAGES, args.size, args.size)).astype(np.uint8)
    values = (rng.random((IMAGES, LABELS)) < 0.2).astype(np.float32)
    feed = Feed(pixels, values, np.ones_like(values, bool), 0, device)
    choices = choose(
        size=args.size,
        preset=args.preset,
        images=IMAGES,
        labels=LABELS,
        where="random",
        batch=args.batch,
        style_mixing=0.9,
    )
    return Trainer(choices, feed)


def check(trainer: Trainer) -> None:
    """Both forms give the same images."""
    arch = trainer.choices.arch
    z = torch.randn(4, arch.z_dim, device=trainer.device)
    y = torch.zeros(4, LABELS, device=trainer.device)
    with torch.no_grad():
        StyledConv.forward = OURS  # type: ignore[method-assign]
        ours = trainer.generator(z, y)[0]
        StyledConv.forward = grouped  # type: ignore[method-assign]
        theirs = trainer.generator(z, y)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-2 if z.is_cuda else 1e-4)


def round_of(trainer: Trainer, steps: int) -> float:
    """Seconds per thousand images over some steps."""
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(steps):
        trainer.step()
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / (steps * trainer.choices.batch) * 1000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--ours-only", action="store_true", help="leave the grouped form out")
    args = parser.parse_args()
    device = devices.setup(args.device, args.threads)
    trainer = new_trainer(args, device)
    check(trainer)
    forms = {"ours": OURS} if args.ours_only else {"ours": OURS, "grouped": grouped}
    best: dict[str, float] = {}
    for number in range(args.rounds + 1):
        for name, forward in forms.items():
            StyledConv.forward = forward  # type: ignore[method-assign,assignment]
            seconds = round_of(trainer, 16)  # one whole cycle of the lazy regularizers
            if number:  # the first round warms up
                best[name] = min(best.get(name, seconds), seconds)
    StyledConv.forward = OURS  # type: ignore[method-assign]
    result = {
        "size": args.size,
        "preset": args.preset,
        "batch": trainer.choices.batch,
        "parameters": {
            "generator": sum(p.numel() for p in trainer.generator.parameters()),
            "discriminator": sum(p.numel() for p in trainer.discriminator.parameters()),
        },
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "sec_per_kimg": {name: round(seconds, 3) for name, seconds in best.items()},
    }
    if "grouped" in best:
        result["ratio"] = round(best["ours"] / best["grouped"], 3)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
