"""Seconds per thousand images of train-gan's network, against its grouped-convolution form.

    python benchmarks/gan.py --size 32 --preset tiny
    python benchmarks/gan.py --size 128 --preset full --device cuda

All forms train the same network on the same random images with every regularizer on (R1, path
length from 64 px, augmentation, label losses, weight average). `ours` is what `train-gan` does by
itself on the device: bfloat16 feature maps where they are faster, torch.compile on CUDA. On CUDA
`bfloat16` is that without torch.compile; `float32` is without either (TF32 in every form).
`grouped`, in float32, makes one set of weights for each sample and convolves with as many groups as
there are samples, which is how modulation is often written; it is checked to give the same images
first, in float64. Rounds of the forms alternate, and the fastest round of each counts, so that
other work on the machine disturbs all alike.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cxrtool.generators.choices import Request
from cxrtool.generators.execution import Execution
from cxrtool.generators.feed import Feed
from cxrtool.generators.stylegan2 import ops
from cxrtool.generators.stylegan2.choices import choose
from cxrtool.generators.stylegan2.layers import StyledConv
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from cxrtool.training import device as devices

LABELS, IMAGES = 14, 512
STEPS = 16  # one whole cycle of the lazy regularizers
OURS = StyledConv.forward


def grouped(self: StyledConv, x: Tensor, styles: Tensor, noise: str | Tensor) -> Tensor:
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


@dataclass(frozen=True)
class Form:
    """One way to compute the same training: the styled convolution, precision, compilation."""

    forward: Any
    precision: str
    compile: str


FORMS = {
    "ours": Form(OURS, "auto", "auto"),
    "bfloat16": Form(OURS, "auto", "off"),
    "float32": Form(OURS, "float32", "off"),
    "grouped": Form(grouped, "float32", "off"),
}
ON_CPU = ("ours", "float32", "grouped")  # ours is compiled on CUDA alone


def new_trainer(args: argparse.Namespace, device: torch.device, form: Form) -> StyleGan2Trainer:
    """A trainer on random images."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (IMAGES, args.size, args.size)).astype(np.uint8)
    values = (rng.random((IMAGES, LABELS)) < 0.2).astype(np.float32)
    feed = Feed(pixels, values, np.ones_like(values, bool), 0, device)
    options = {"batch": args.batch, "style_mixing": 0.9}
    request = Request(args.size, args.preset, IMAGES, LABELS, "random", 1, options)
    choices = choose(request)
    execution = Execution(device, args.size, form.precision, args.compile or form.compile)
    return StyleGan2Trainer(choices, feed, execution=execution)


def check(trainer: StyleGan2Trainer) -> None:
    """Both forms of the convolution give the same images, in float64 on the CPU."""
    generator = copy.deepcopy(trainer.average).cpu().double()
    z = torch.randn(2, generator.arch.z_dim, dtype=torch.float64)
    y = torch.zeros(2, LABELS, dtype=torch.float64)
    found = []
    with torch.no_grad():
        for forward in (OURS, grouped):
            StyledConv.forward = forward  # type: ignore[method-assign]
            found.append(generator(z, y)[0])
    StyledConv.forward = OURS  # type: ignore[method-assign]
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-6)


def round_of(trainer: StyleGan2Trainer) -> float:
    """Seconds per thousand images over `STEPS` steps."""
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(STEPS):
        trainer.step()
    if trainer.device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / (STEPS * trainer.choices.batch) * 1000


def memory_gb(trainer: StyleGan2Trainer) -> float | None:
    """The most memory that tensors held since the last call; None on the CPU."""
    if trainer.device.type != "cuda":
        return None
    most = torch.cuda.max_memory_allocated(trainer.device) / 1e9
    torch.cuda.reset_peak_memory_stats(trainer.device)
    return round(most, 2)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most-seconds", type=float, help="no round begins after them")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--compile", choices=("on", "off"), help="for every form")
    parser.add_argument("--forms", help=f"of {', '.join(FORMS)}, separated by commas")
    args = parser.parse_args()
    device = devices.setup(args.device, args.threads)
    wanted = args.forms.split(",") if args.forms else FORMS if device.type == "cuda" else ON_CPU
    trainers = {name: new_trainer(args, device, FORMS[name]) for name in wanted}
    one = next(iter(trainers.values()))
    check(one)
    best: dict[str, float] = {}
    memory: dict[str, float | None] = {}
    first: dict[str, float] = {}
    start = time.perf_counter()
    for number in range(args.rounds + 1):
        over = args.most_seconds and time.perf_counter() - start > args.most_seconds
        if over and best:  # one round counts in any case
            break
        for name, trainer in trainers.items():
            StyledConv.forward = FORMS[name].forward  # type: ignore[method-assign]
            memory_gb(trainer)
            seconds = round_of(trainer)
            memory[name] = memory_gb(trainer)
            if number:
                best[name] = min(best.get(name, seconds), seconds)
            else:  # the first round warms up, and compiles
                first[name] = round(seconds * STEPS * trainer.choices.batch / 1000, 1)
    StyledConv.forward = OURS  # type: ignore[method-assign]
    result = {
        "size": args.size,
        "preset": args.preset,
        "batch": one.choices.batch,
        "parameters": {
            "generator": sum(p.numel() for p in one.generator.parameters()),
            "discriminator": sum(p.numel() for p in one.discriminator.parameters()),
        },
        "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "how": {name: trainer.execution.described for name, trainer in trainers.items()},
        "sec_per_kimg": {name: round(seconds, 3) for name, seconds in best.items()},
        "first_round_s": first,
    }
    if device.type == "cuda":
        result["memory_gb"] = memory
    if {"ours", "grouped"} <= best.keys():
        result["ratio"] = round(best["ours"] / best["grouped"], 3)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
