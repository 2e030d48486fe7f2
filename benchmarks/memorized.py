"""Does ``--filter memorized`` catch a generator that repeats its training images?

Two generators of the same size are trained on simulated radiographs: one on 50 images for so long
that it knows them by heart, one on all of them. Both then make the same number of images with
``--filter memorized``; the count of refused tries is the answer. A sheet of each shows images
beside their nearest training image, for a person to judge.

    python benchmarks/memorized.py -o memorized                 # 32 px, about an hour on 2 cores
    python benchmarks/memorized.py -o m --kind overfitted       # one of the two
    python benchmarks/memorized.py -o m --kimg 2 --images 40    # only to see that it runs

Prints one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

CXR = [sys.executable, "-m", "cxrtool"]
FEW = 50


def cxr(*arguments: object) -> str:
    done = subprocess.run([*CXR, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.strip()


def data_sets(out: Path, n: int, size: int) -> dict[str, Path]:
    """All simulated images, and `FEW` of them as a set of their own."""
    healthy, few = out / "data", out / "data-few"
    cxr("prepare", "--format", "phantom", "--n", n, "--size", size, "-q", "-o", healthy)
    rows = list(csv.DictReader((healthy / "manifest.csv").open(newline="")))
    train = [r for r in rows if r["split"] == "train" and r["view"] != "LATERAL"][:FEW]
    table = out / "few.csv"
    labels = json.loads((healthy / "dataset.json").read_text())["labels"]
    with open(table, "w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "patient_id", "view", *labels])
        for row in train:
            path = f"{healthy.name}/{row['image']}"
            writer.writerow([path, row["patient_id"], row["view"], *(row[n] for n in labels)])
    cxr(
        *("prepare", table, "--format", "table", "--size", size, "--split-by", "none", "-q"),
        *("-o", few),
    )
    return {"healthy": healthy, "overfitted": few}


def sheet(data: Path, synth: Path, path: Path) -> None:
    """Synthetic images above their nearest training images."""
    import torch

    from cxrtool.data.cache import pixels
    from cxrtool.data.images import contact_sheet
    from cxrtool.data.manifest import load_dataset
    from cxrtool.synthesis.descriptors import describe

    made, real = np.array(pixels(load_dataset(synth)))[:8], np.array(pixels(load_dataset(data)))
    similarity = describe(torch.from_numpy(made)) @ describe(torch.from_numpy(real)).T
    nearest = real[similarity.argmax(dim=1).numpy()]
    captions = [f"made {i}" for i in range(len(made))] + ["nearest"] * len(made)
    contact_sheet(np.concatenate([made, nearest]), 8, captions, 4).save(path)


def try_out(kind: str, data: Path, out: Path, args: argparse.Namespace) -> dict[str, Any]:
    gan = out / f"gan-{kind}"
    split = ("--split", "all") if kind == "overfitted" else ()
    cxr(
        *("train-gan", data, "--size", args.size, "--preset", args.preset, "--kimg", args.kimg),
        *("--batch", 32, "--augment", "none", "--checkpoint", "last", "--threads", args.threads),
        *(*split, "-q", "-o", gan),
    )
    found: dict[str, Any] = {"training_kimg": args.kimg}
    for name, more in (("free", ()), ("filtered", ("--filter", "memorized", "--max-tries", 2000))):
        synth = out / f"{kind}-{name}"
        done = subprocess.run(
            [
                *CXR,
                *("synthesize", str(data), "--gan", str(gan), "--balance", str(args.images)),
                *("--classes", args.label, *split, *map(str, more), "-q", "-o", str(synth)),
                *("--threads", str(args.threads)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 5 and more:
            found["gave_up"] = done.stderr.strip().splitlines()[0]
            continue
        if done.returncode:
            raise SystemExit(done.stderr)
        summary = json.loads((synth / "result.json").read_text())["summary"]["filters"][args.label]
        found[name] = {k: summary[k] for k in ("images", "tries", "rejected", "scores")}
        sheet(data, synth, out / f"{kind}-{name}.png")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=2000, help="simulated images")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--kimg", type=float, default=100)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kind", choices=("healthy", "overfitted"), action="append")
    parser.add_argument("--label", default="Lung Opacity")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    sets = data_sets(args.out, args.n, args.size)
    kinds = args.kind or list(sets)
    found = {kind: try_out(kind, sets[kind], args.out, args) for kind in kinds}
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
