"""Rows of the relevance matrix: cxr against the one-image-a-call loop.

    python benchmarks/edit.py GAN CLIP [--channels 24] [--images 20]

The loop is what StyleCLIP's script does: every image is rendered from its first layer and embedded
by itself, twice a channel. Both work on the same networks, images and channels (spread over all
layers); rounds alternate, and the fastest of each counts. `cosine` is the least agreement of a row,
`exact_s_all_channels` the time of the whole matrix at that rate.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from cxrtool import clip
from cxrtool import generators as gans
from cxrtool.editing.relevance import (
    STEP,
    ChannelProbe,
    Channels,
    channel_statistics,
    editable,
)
from cxrtool.training import device as devices
from cxrtool.training.rng import torch_generator


@torch.no_grad()
def loop(
    generator: gans.TrainedGenerator,
    encoder: clip.ClipModel,
    styles: dict[str, Tensor],
    channels: Channels,
    name: str,
    chosen: list[int],
) -> Tensor:
    """Rows [channels, D], one image a call."""
    rows = []
    for c in chosen:
        total: Tensor | float = 0.0
        for i in range(len(styles[name])):
            ends = []
            for sign in (1.0, -1.0):
                own = {k: s[i : i + 1].clone() for k, s in styles.items()}
                own[name][0, c] = channels.mean[name][c] + sign * STEP * channels.std[name][c]
                image = generator.synthesis_from_styles(own).clamp(-1.0, 1.0)
                ends.append(functional.normalize(encoder.embed_images(image)[0], dim=0))
            total = total + functional.normalize(ends[0] - ends[1], dim=0)
        assert isinstance(total, Tensor)
        rows.append(functional.normalize(total, dim=0))
    return torch.stack(rows)


def main() -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gan", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--channels", type=int, default=24)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()

    device = devices.setup(args.device, args.threads)
    generator, encoder = gans.load(args.gan, device), clip.load(args.clip, device)

    def sample(first: int, count: int) -> Tensor:
        z = torch.randn(count, generator.z_dim, generator=torch_generator("edit", first))
        y = generator.vectors[torch.arange(first, first + count) % len(generator.vectors)]
        w: Tensor = generator.mapping(z.to(device), y, 0.7)
        return w

    with torch.no_grad():
        channels = channel_statistics(generator, sample, 10_000)
        styles = dict(generator.styles(sample(0, args.images)))
    names = editable(generator)
    each = max(1, args.channels // len(names))
    chosen = {
        name: torch.linspace(0, len(channels.std[name]) - 1, each).long().tolist() for name in names
    }
    probe = ChannelProbe(generator, encoder, styles, channels)
    forms: dict[str, Callable[[str], Tensor]] = {
        "loop": lambda name: loop(generator, encoder, styles, channels, name, chosen[name]),
        "cxr": lambda name: probe.rows(name, batch=args.batch, only=chosen[name]),
    }
    seconds: dict[str, list[float]] = {form: [] for form in forms}
    rows: dict[str, Tensor] = {}
    for _ in range(args.rounds):
        for form, work in forms.items():
            start = time.perf_counter()
            rows[form] = torch.cat([work(name) for name in names])
            float(rows[form].sum())  # waits for the device
            seconds[form].append(time.perf_counter() - start)
    best = {form: min(values) for form, values in seconds.items()}
    images = 2 * args.images * sum(len(c) for c in chosen.values())
    exact_s = best["cxr"] * channels.count / sum(len(c) for c in chosen.values())
    print(
        json.dumps(
            {
                "images": images,
                "device": str(device),
                "images_per_s": {form: round(images / best[form], 1) for form in forms},
                "ratio": round(best["cxr"] / best["loop"], 3),
                "cosine": round(float((rows["loop"] * rows["cxr"]).sum(dim=1).min()), 6),
                "exact_s_all_channels": round(exact_s, 1),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
