"""The tables of `evaluate images`, for programs.

In: an `ImageEvaluation`. Out: records; extractor, n and kernel stand in every row.
"""

from typing import Any

import numpy as np

from cxrtool.pages.images import ImageEvaluation
from cxrtool.stats.predictions import Records

ALL = "all images"


def records(e: ImageEvaluation) -> Records:
    """One record a feature space, distance and label."""
    out: list[dict[str, Any]] = []

    def add(space: str, metric: str, label: str, n: tuple[int, int], **numbers: Any) -> None:
        empty = {"value": None, "sd": None, "real_real": None, "ratio": None}
        sides = {"n_synthetic": n[0], "n_real": n[1]}
        names = {"extractor": space, "kernel": e.kernel, "metric": metric, "label": label}
        out.append({**names, **sides, **empty, **numbers})

    for f in e.fidelity:
        add(
            f.space, "frechet", ALL, (f.n, f.n),
            value=f.frechet, real_real=f.frechet_real, ratio=f.ratio,
        )  # fmt: skip
        everything = (f.n_synthetic, f.n_real)
        add(f.space, "frechet, all images", ALL, everything, value=f.frechet_all)
        add(
            f.space, "kid", ALL, everything,
            value=f.kernel.mean, sd=f.kernel.sd, real_real=f.kernel_real.mean,
        )  # fmt: skip
        for name in ("precision", "recall", "density", "coverage"):
            if f.cover is not None and f.cover_real is not None:
                add(
                    f.space, name, ALL, (f.n, f.n),
                    value=getattr(f.cover, name), real_real=getattr(f.cover_real, name),
                )  # fmt: skip
    for d in e.by_label:
        if d.kernel is not None:
            add(
                d.space, "kid", d.label, (d.n_synthetic, d.n_real),
                value=d.kernel.mean, sd=d.kernel.sd,
            )  # fmt: skip
    return Records(out)


def nearness_records(e: ImageEvaluation) -> list[dict[str, Any]]:
    """One record a space: medians, their ratio, and how many images come too near."""
    return [
        {
            "space": near.space,
            "median_synthetic": float(np.median(near.synthetic)),
            "median_held_out": float(np.median(near.held_out)),
            "ratio": near.ratio,
            "limit": near.limit,
            "copies": near.copies,
            "copy_rate": near.copies / len(near.synthetic),
        }
        for near in e.nearness
    ]
