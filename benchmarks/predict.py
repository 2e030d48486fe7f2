"""Speed of `cxr predict` on files against its network alone on pixels that are decoded already.

    python benchmarks/predict.py [IMAGES] [--n 1000] [--arch densenet121] [--size 224] [--threads 1]

IMAGES is a folder of radiographs; without it JPEGs of 2,000 x 2,000 px are made. Both ways take
turns, block by block of `--n` images; the best of `--rounds` counts. Prints one JSON object:
`ratio` is images a second of files over those of pixels by the clock (decoding goes on beside the
network), `processor_ratio` the same in processor time of one process on a tenth of the images, as
if there were one core.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cxrtool.classifiers.architectures import build
from cxrtool.classifiers.ensemble import Ensemble
from cxrtool.classifiers.prediction import BLOCK, Calibration
from cxrtool.core.errors import InputError
from cxrtool.data import decoded, pool
from cxrtool.data.images import KERNEL
from cxrtool.data.named_images import Finder
from cxrtool.training.device import setup

LABELS = tuple("ABCDEFGHIJKLMN")


def make_images(folder: Path, n: int, side: int = 2000) -> Path:
    """Smooth noise as JPEG: a few images, each under many names."""
    rng = np.random.default_rng(0)
    for k in range(n):
        path = folder / f"{k:05d}.jpg"
        if k < 8:
            small = rng.integers(0, 256, (side // 8, side // 8), dtype=np.uint8)
            Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(path)
        else:
            path.write_bytes((folder / f"{k % 8:05d}.jpg").read_bytes())
    return folder


def classifier(arch: str, size: int, device: torch.device) -> Ensemble:
    """An untrained network: speed does not depend on what it says."""
    network = build(arch, LABELS, size).to(memory_format=torch.channels_last).to(device).eval()
    network.description = {
        "preprocessing": {"size": size, "native_size": size, "fit": "crop", "kernel": KERNEL}
    }
    calibration = Calibration.of(network.description, LABELS)
    return Ensemble((Path("untrained"),), (network,), (calibration,), (np.arange(len(LABELS)),))


def from_files(
    ensemble: Ensemble, sources: list[decoded.Source], workers: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels and probabilities of files, as the command makes them."""
    form = decoded.Form(ensemble.native_size, ensemble.fit)
    block: list[np.ndarray] = []
    pixels: list[np.ndarray] = []
    said: list[np.ndarray] = []
    for result in decoded.decode_all(form, sources, workers=workers):
        if isinstance(result, InputError):
            raise result
        block.append(result.pixels)
        if len(block) == BLOCK:
            pixels.append(np.stack(block))
            said.append(ensemble.probabilities(pixels[-1]))
            block = []
    if block:
        pixels.append(np.stack(block))
        said.append(ensemble.probabilities(pixels[-1]))
    return np.concatenate(pixels), np.concatenate(said)


def timed(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """Seconds of a clock."""
    began = clock()
    work()
    return clock() - began


def main() -> None:
    """Measure, and print the result."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("images", type=Path, nargs="?")
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--arch", default="densenet121")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    ensemble = classifier(options.arch, options.size, setup(options.device, options.threads))
    pool.warm(decoded.PRELOAD)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.images or make_images(Path(temporary), options.n)
        groups = Finder().find([folder])
        every = [image.source for group in groups for image in group.images if image.source]
        sources = every[:: max(1, len(every) // options.n)][: options.n]
        pixels, expected = from_files(ensemble, sources, options.workers)
        some = sources[: max(1, len(sources) // 10)]
        clock, processor = time.perf_counter, time.process_time
        rounds = [
            (
                timed(lambda: from_files(ensemble, sources, options.workers), clock),
                timed(lambda: ensemble.probabilities(pixels), clock),
                timed(lambda: from_files(ensemble, some, 1), processor),
                timed(lambda: ensemble.probabilities(pixels[: len(some)]), processor),
            )
            for _ in range(options.rounds)
        ]
    assert np.array_equal(ensemble.probabilities(pixels), expected)
    files_s, alone_s, files_cpu_s, alone_cpu_s = (min(column) for column in zip(*rounds))
    n = len(sources)
    result = {
        "images": n,
        "arch": options.arch,
        "size": options.size,
        "files_per_s": round(n / files_s, 2),
        "pixels_per_s": round(n / alone_s, 2),
        "ratio": round(alone_s / files_s, 3),
        "processor_ratio": round(alone_cpu_s / files_cpu_s, 3),
        "decoding_ms": round(1000 * (files_cpu_s - alone_cpu_s) / len(some), 2),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
