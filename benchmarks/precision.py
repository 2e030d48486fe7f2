"""Milliseconds a training step of the generators in float32 and in bfloat16, on this processor.

    python benchmarks/precision.py [--sizes 32,64] [--presets tiny,small] [--steps 16]

Both forms train the same network on the same images of random blocks, with every regularizer on,
one thread, in turns; the better of the rounds counts, in processor time, so that other work on the
machine disturbs little. The mean losses say whether they learn alike. Prints a line of JSON each.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import torch

from cxrtool.generators.choices import Request
from cxrtool.generators.execution import Execution
from cxrtool.generators.feed import Feed
from cxrtool.generators.registry import ARCHS
from cxrtool.training import device as devices

FORMS = ("float32", "bfloat16")
IMAGES, LABELS, BLOCK = 512, 3, 4


def trainer(arch: str, size: int, preset: str, precision: str) -> Any:
    """A trainer on random images."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (IMAGES, size // BLOCK, size // BLOCK)).astype(np.uint8)
    values = (rng.random((IMAGES, LABELS)) < 0.4).astype(np.float32)
    pixels = np.kron(small, np.ones((BLOCK, BLOCK), np.uint8))
    feed = Feed(pixels, values, np.ones_like(values, bool), 0)
    request = Request(size, preset, IMAGES, LABELS, "random", 1, {"seed": 0, "kimg": 100})
    execution = Execution(feed.device, size, precision, "off")
    return ARCHS[arch].code.build(ARCHS[arch].choose(request), feed, execution=execution)


def measured(arch: str, size: int, preset: str, steps: int, rounds: int) -> dict[str, Any]:
    """Both forms of one network."""
    trainers = {form: trainer(arch, size, preset, form) for form in FORMS}
    best = dict.fromkeys(FORMS, float("inf"))
    for one in trainers.values():
        one.step()
    for _ in range(rounds):
        for form, one in trainers.items():
            start = time.process_time()
            for _ in range(steps):
                one.step()
            best[form] = min(best[form], (time.process_time() - start) / steps)
    losses = {
        form: {name: round(v, 4) for name, v in one.means.read().items() if "loss" in name}
        for form, one in trainers.items()
    }
    return {
        "arch": arch,
        "size": size,
        "preset": preset,
        "batch": trainers["float32"].choices.batch,
        "ms_a_step": {form: round(1000 * seconds, 1) for form, seconds in best.items()},
        "ratio": round(best["bfloat16"] / best["float32"], 3),
        "losses": losses,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archs", default="stylegan2,flow")
    parser.add_argument("--sizes", default="32,64")
    parser.add_argument("--presets", default="tiny,small")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    devices.setup("cpu", 1)
    able = torch.cpu.get_capabilities()
    names = ("cpu_name", "amx_bf16", "avx512_bf16")
    print(json.dumps({name: able.get(name) for name in names}), flush=True)
    for arch in args.archs.split(","):
        for size in map(int, args.sizes.split(",")):
            for preset in args.presets.split(","):
                result = measured(arch, size, preset, args.steps, args.rounds)
                print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
