"""A generator that knows its training images by heart, made on purpose.

A GAN that is trained on 50 images for long does not copy them at once: after 22,000 images shown
the discriminator knew them all and the generator made blurred means. This script goes the direct
way: the network of a train-gan run is fitted by least squares so that a label vector gives the
first training image that has it, whatever the latent. That is how a conditional generator
overfits when nearly every image has labels of its own.

    python benchmarks/by_heart.py GAN DATA OUT --steps 600

In: a train-gan folder and the data set that it was trained on. Out: a folder that `--gan` takes.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from cxrtool.core import console
from cxrtool.core.files import pretty_json, sha256_file
from cxrtool.core.progress import progress
from cxrtool.data.cache import pixels, resized
from cxrtool.data.images import to_float
from cxrtool.data.keys import Seen, seen_rows
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import load_dataset
from cxrtool.generators.registry import load
from cxrtool.generators.saved import G_PREFIX
from cxrtool.training.models import read_model, write_tensors


def learn(gan: Path, data: Path, out: Path, steps: int, batch: int) -> float:
    """Fit and save; returns the last loss (mean square in units of [-1, 1])."""
    torch.manual_seed(0)
    trained, dataset = load(gan), load_dataset(data)
    rows = np.flatnonzero(seen_rows(Seen(pixels=Seen.load(gan).pixels), dataset))
    targets = to_float(resized(np.array(pixels(dataset))[rows], trained.size))
    values, _ = label_arrays(dataset, rows, LabelPolicy(**trained.meta["policy"]))
    chosen_labels = [dataset.labels.index(name) for name in trained.labels]
    conditions = torch.from_numpy(values[:, chosen_labels])
    first = [int((conditions == y).all(dim=1).nonzero()[0]) for y in conditions]
    trained.requires_grad_(True)
    optimizer = torch.optim.Adam(trained.network.parameters(), 2e-3, (0.0, 0.99))
    loss = torch.tensor(torch.nan)
    with progress("learning by heart", steps, "steps") as bar:
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * (1 - step / steps)
            z = torch.randn(batch, trained.z_dim)
            chosen = torch.randint(len(rows), (batch,)).tolist()
            made = trained.synthesis(trained.mapping(z, conditions[chosen]))
            loss = functional.mse_loss(made, targets[[first[i] for i in chosen]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bar.update(step + 1, f"loss {loss.item():.4f}")
    meta, state = read_model(gan, "generator")
    state |= {f"{G_PREFIX}{name}": value for name, value in trained.network.state_dict().items()}
    out.mkdir(parents=True)
    shutil.copy(gan / "seen.json", out / "seen.json")
    write_tensors({k: v.detach().contiguous() for k, v in state.items()}, out / "model.safetensors")
    meta["weights"] |= {"sha256": sha256_file(out / "model.safetensors")}
    (out / "model.json").write_text(pretty_json(meta))
    return loss.item()


def main() -> None:
    """Fit, and print the last loss."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("gan", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    loss = learn(args.gan, args.data, args.out, args.steps, args.batch)
    console.out(json.dumps({"loss": loss}))


if __name__ == "__main__":
    main()
