"""How fast `cxr synthesize` plans and makes images, against the usual script.

The usual script makes one image a call and writes its PNG in the same thread. Both run here in
turns in one process, with the same network (random weights: speed does not depend on training), and
so does the network alone, on blocks, without writing anything. The planner is timed on a label
table as large as CheXpert's.

    python benchmarks/synthesize.py                      # 64 px, preset small; 256 px on CUDA
    python benchmarks/synthesize.py --images 4096 --rounds 5 --block 128
    python benchmarks/synthesize.py --memory             # the whole command at 1,000 to 100,000

Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from cxrtool.core import console
from cxrtool.core.cores import available_cores
from cxrtool.core.runs import Run
from cxrtool.data.images import PNG_LEVEL, to_uint8
from cxrtool.data.manifest import Dataset, DatasetInfo
from cxrtool.data.writer import DatasetWriter
from cxrtool.generators.choices import load_presets
from cxrtool.generators.stylegan2.generator import Architecture, Generator
from cxrtool.generators.stylegan2.network import TrainedGenerator, mean_latents
from cxrtool.synthesis import planner, targets
from cxrtool.synthesis.descriptors import Gallery
from cxrtool.synthesis.generate import Job, fill, slots_of, write_set
from cxrtool.synthesis.panel import Near, NearestDistance, Panel
from cxrtool.synthesis.sampler import BlockSampler
from cxrtool.synthesis.slots import latents, slot_seed
from cxrtool.synthesis.targets import LabelTable
from cxrtool.synthesis.writer import synthetic_info
from cxrtool.training.device import setup

LABELS = tuple(f"label {i}" for i in range(14))
SIZES = ("channel_base", "channel_max", "z_dim", "w_dim", "mapping_layers")


def random_network(size: int, preset: str, device: torch.device) -> TrainedGenerator:
    """A generator of a preset's sizes with random weights."""
    numbers = load_presets("stylegan2")[preset]
    arch = Architecture(size=size, labels=len(LABELS), **{name: numbers[name] for name in SIZES})
    generator = Generator(arch, torch.Generator().manual_seed(0))
    vectors = np.zeros((1, len(LABELS)), dtype=np.float32)
    means = mean_latents(generator, torch.from_numpy(vectors), torch.zeros(64, len(LABELS)))
    network = TrainedGenerator(generator, LABELS, means, {})
    return network.to(device).eval().requires_grad_(False)


def label_table(n_rows: int) -> LabelTable:
    """Random labels, as rare as CheXpert's rarest."""
    rng = np.random.default_rng(0)
    values = (rng.random((n_rows, len(LABELS))) < np.linspace(0.02, 0.5, 14)).astype(np.uint8)
    return LabelTable(np.arange(n_rows), LABELS, values, (True,) * len(LABELS))


def real_set(n_rows: int, size: int) -> Dataset:
    """The real set as far as rows of synthetic images need it."""
    import pandas as pd

    info = DatasetInfo(
        labels=LABELS,
        covered=(True,) * len(LABELS),
        size=size,
        fit="crop",
        kernel="bicubic",
        namespace="benchmark",
        patients=False,
        source="benchmark",
    )
    return Dataset(Path("none"), info, pd.DataFrame(index=range(n_rows)))


def fixed_plan(table: LabelTable, n: int) -> planner.Plan:
    """A plan of exactly n images."""
    request = targets.Request((LABELS[0],), (0,), counts=(n,))
    return planner.make_plan(table.values, LABELS, request, seed=0)


def time_planner() -> dict[str, float]:
    """Seconds for the plan of three rare classes at 15 % of 223,414 rows."""
    table = label_table(223_414)
    request = targets.Request(LABELS[:3], (0, 1, 2), shares=(Fraction("0.15"),) * 3)
    seconds = []
    for seed in range(5):
        started = time.perf_counter()
        plan = planner.make_plan(table.values, LABELS, request, seed=seed)
        seconds.append(time.perf_counter() - started)
    return {"rows": 223_414, "images": plan.n_synthetic, "seconds": min(seconds)}


def usual_script(
    network: TrainedGenerator, plan: planner.Plan, table: LabelTable, folder: Path
) -> None:
    """One image a call, its PNG written in the same thread."""
    device = network.means.device
    y = torch.from_numpy(table.vectors(LABELS)[plan.source_rows])
    folder.mkdir()
    with torch.inference_mode():
        for i in range(plan.n_synthetic):
            z = torch.from_numpy(latents([i], network.z_dim)).to(device)
            image = to_uint8(network.generate(z, y[i : i + 1].to(device)))[0]
            Image.fromarray(image).save(
                folder / f"{i:06d}.png", compress_level=PNG_LEVEL, compress_type=3
            )


def nearest_panel(n_training: int, size: int, device: torch.device) -> Panel:
    """The distance to so many training images of noise; nothing for none."""
    if not n_training:
        return Panel()
    images = np.random.default_rng(0).integers(0, 256, (n_training, size, size), dtype=np.uint8)
    rows = np.arange(n_training)
    return Panel((NearestDistance(Near(Gallery.of(images, rows, size, device))),))


def make_set(folder: Path, job: Job) -> None:
    """What `cxr synthesize` does once it has a plan and a network."""
    run, accounts = Run.for_test(folder), job.accounts()
    writer, slots = DatasetWriter(run, job.info), slots_of(job.plan, job.block)
    fill(run, job, writer, accounts, slots)
    write_set(run, job, writer, accounts, slots)


def network_alone(sampler: BlockSampler, plan: planner.Plan, table: LabelTable, block: int) -> None:
    """All blocks through the network; only the last one is waited for on CUDA."""
    rows = table.vectors(LABELS)[plan.source_rows]
    launched = None
    for start in range(0, plan.n_synthetic, block):
        part = rows[start : start + block]
        seeds = [slot_seed(0, start + i) for i in range(len(part))]
        launched = sampler.launch(seeds, part, np.arange(len(part)))
    if launched is not None:
        launched.wait()


def compare(args: argparse.Namespace, size: int, preset: str) -> dict[str, Any]:
    """Images a second of the three, in turns; medians over the rounds."""
    device = setup(args.device, args.threads)
    network = random_network(size, preset, device)
    table = label_table(1000)
    plan, some = fixed_plan(table, args.images), fixed_plan(table, max(1, args.images // 8))
    real = real_set(1000, size)
    info = synthetic_info(real.info, claimed=table.usable, preprocessing={"size": size}, notes={})
    sampler = BlockSampler(network, block=args.block, truncation=1.0, device=device)
    job = Job(
        *(real, table, plan, network, info, "0" * 16, 0, 1.0, args.block, device),
        panel=nearest_panel(args.nearest, size, device),
        workers=args.workers or available_cores(),
    )
    whole, part = plan.n_synthetic, some.n_synthetic
    rates: dict[str, list[float]] = {"cxr": [], "script": [], "network": []}
    work: dict[str, list[float]] = {"cxr": [], "script": [], "network": []}
    network_alone(sampler, some, table, args.block)  # warm up
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            ways: list[tuple[str, int, Callable[[], object]]] = [
                ("cxr", whole, partial(make_set, folder / "run", job)),
                ("script", part, partial(usual_script, network, some, table, folder / "script")),
                ("network", whole, partial(network_alone, sampler, plan, table, args.block)),
            ]
            for kind, n, do in ways:
                started, worked = time.perf_counter(), time.process_time()
                do()
                rates[kind].append(n / (time.perf_counter() - started))
                work[kind].append(n / (time.process_time() - worked))
    ours, script, alone = (np.array(rates[name]) for name in ("cxr", "script", "network"))
    own, own_script, own_alone = (np.array(work[name]) for name in ("cxr", "script", "network"))
    return {
        "size_px": size,
        "preset": preset,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "block": args.block,
        "images": plan.n_synthetic,
        "training_images": args.nearest,
        "images_per_second": {k: round(statistics.median(v), 1) for k, v in rates.items()},
        "processor_ms": {k: round(1000 / statistics.median(v), 3) for k, v in work.items()},
        "ratio_to_script": round(float(np.median(ours / script)), 2),
        "part_of_network_rate": round(float(np.median(ours / alone)), 3),
        "the_same_by_processor_time": {
            "ratio_to_script": round(float(np.median(own / own_script)), 2),
            "part_of_network_rate": round(float(np.median(own / own_alone)), 3),
        },
    }


def command(*arguments: object) -> dict[str, Any]:
    """Run ``cxr`` and wait for it: seconds, images a second and peak resident memory."""
    started = time.perf_counter()
    whole = [sys.executable, "-m", "cxrtool", *map(str, arguments), "-q"]
    process = subprocess.Popen(whole, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"cxr {arguments[0]} failed")
    seconds = time.perf_counter() - started
    return {"peak_MiB": round(usage.ru_maxrss / 1024, 1), "seconds": round(seconds, 1)}


def peak_memory(sizes: list[int]) -> None:
    """Peak memory of the whole command, and of `cxr merge`, on 16 px phantoms."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, gan = folder / "data", folder / "gan"
        command("prepare", "--format", "phantom", "--n", 300, "--size", 16, "-o", data)
        command(
            *("train-gan", data, "--size", 16, "--preset", "tiny", "--batch", 8, "--kimg", 0.064),
            *("--threads", 1, "--device", "cpu", "-o", gan),
        )
        for n in sizes:
            made = command(
                *("synthesize", data, "--gan", gan, "--counts", f"Edema={n}", "--block", 64),
                *("--shard", "1/1", "--device", "cpu", "--threads", 1, "-o", folder / "made"),
            )
            merged = command("merge", folder / "made", "-o", folder / "merged")
            console.out(json.dumps({"images": n, "synthesize": made, "merge": merged}))
            shutil.rmtree(folder / "made")
            shutil.rmtree(folder / "merged")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--block", type=int, default=64)
    parser.add_argument("--size", type=int, default=None)
    parser.add_argument("--preset", default=None)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--workers", type=int, default=None)
    parser.add_argument(
        "--nearest", type=int, default=5000, help="training images to measure the distance to"
    )
    parser.add_argument(
        "--memory", nargs="*", type=int, metavar="N", help="peak memory for so many images"
    )
    args = parser.parse_args()
    console.configure(console.QUIET)
    if args.memory is not None:
        peak_memory(args.memory or [1_000, 10_000, 100_000])
    else:
        on_cuda = args.device != "cpu" and torch.cuda.is_available()
        size = args.size or (256 if on_cuda else 64)
        preset = args.preset or ("full" if on_cuda else "small")
        result = {"planner": time_planner(), "images": compare(args, size, preset)}
        console.out(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
