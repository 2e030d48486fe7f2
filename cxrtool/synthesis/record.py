"""A plan as JSON, as a table for people, and as the list of its slots.

In: a `Plan`. Out: ``plan.json`` (also what ``--plan-only --json`` prints), the rows of the table on
stderr, and ``slots.csv``: for every image to be made its class's stream and the real row whose
labels it takes.
"""

import csv
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from cxrtool.core.runs import Run
from cxrtool.synthesis.arrays import IntArray
from cxrtool.synthesis.planner import Plan
from cxrtool.synthesis.slots import in_parts

FORMAT = 2  # 2: fewest, lenders, most_from_one_row, positives, unknown
COLUMNS = ("class", "real", "before", "wanted", "after", "drift", "LP", "images")


def plan_record(
    plan: Plan,
    source_rows: IntArray,
    *,
    usable: tuple[bool, ...],
    seed: int,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """``plan.json``.

    Keys: ``n_real`` (N), ``n_synthetic``, ``lp_optimum`` (the linear program's least expected
    number of images; null for literal counts), ``gap`` = n_synthetic / lp_optimum - 1 (below 0 if
    the draws were lucky: the program is an expectation) and ``gap_images``, the same in images;
    ``targets``: for each class ``share_before``, ``share_wanted``, ``share_after``, ``drawn``
    (images from its stream), ``positives_before``, ``positives_after`` and ``lp``; ``drift``: for
    every other label the share after minus the share before; ``shares``: both, of all labels;
    ``positives`` and ``unknown``: real rows by label that have it, and in which it is unknown (a
    share is of the known ones); ``lenders``: how many rows lend their labels, and
    ``most_from_one_row`` how many images one of them at most.

    Args:
        plan: The plan.
        source_rows: Row of the data set's manifest, or of the table of label vectors, for every
            slot, from 0 [n_synthetic].
        usable: Whether the source covers each label; the others have no share.
        seed: Seed of the streams.
        settings: What the plan depends on besides (selection, policy), JSON-able.
    """
    request = plan.request
    after = plan.positives + plan.drawn_positives
    known = plan.known + plan.drawn_known
    shares = {
        name: {
            "before": int(plan.positives[i]) / max(int(plan.known[i]), 1),
            "after": int(after[i]) / max(int(known[i]), 1),
        }
        for i, name in enumerate(plan.labels)
        if usable[i]
    }
    targets: dict[str, dict[str, Any]] = {}
    for k, (name, column) in enumerate(zip(request.labels, request.columns, strict=True)):
        targets[name] = {
            "share_before": shares[name]["before"],
            "share_wanted": float(request.shares[k]) if request.shares else None,
            "share_after": shares[name]["after"],
            "drawn": plan.drawn[k],
            "positives_before": int(plan.positives[column]),
            "positives_after": int(after[column]),
            "lp": None if plan.expected is None else round(plan.expected[k], 3),
        }
    optimum = plan.optimum
    lenders, most = plan.lenders
    positives = {name: int(plan.positives[i]) for i, name in enumerate(plan.labels) if usable[i]}
    unknown = {name: plan.n_real - int(plan.known[i]) for i, name in enumerate(plan.labels)}
    return {
        "format": FORMAT,
        "n_real": plan.n_real,
        "n_synthetic": plan.n_synthetic,
        "lp_optimum": None if optimum is None else round(optimum, 3),
        "gap": plan.n_synthetic / optimum - 1 if optimum else optimum,
        "gap_images": None if optimum is None else round(plan.n_synthetic - optimum, 3),
        "targets": targets,
        "drift": {k: s["after"] - s["before"] for k, s in shares.items() if k not in targets},
        "shares": shares,
        "positives": positives,
        "unknown": {name: n for name, n in unknown.items() if n and name in shares},
        "mode": "counts" if request.counts else "shares",
        "per_class": plan.own_only,
        "fewest": plan.fewest,
        "lenders": lenders,
        "most_from_one_row": most,
        "seed": seed,
        "settings": dict(settings),
        "slots_sha256": slots_digest(plan, source_rows),
    }


def slots_digest(plan: Plan, source_rows: IntArray) -> str:
    """Hash of every slot's class and row: equal for the shards of one plan."""
    digest = hashlib.sha256()
    for name, n in zip(plan.request.labels, plan.drawn, strict=True):
        digest.update(f"{len(name)}:{name}:{n}\n".encode())
    digest.update(np.ascontiguousarray(source_rows, dtype="<i8").tobytes())
    return digest.hexdigest()


def write_slots(run: Run, plan: Plan, source_rows: IntArray) -> None:
    """``slots.csv``: slot, class, source_row (from 0, in the manifest or the table of vectors)."""
    names, streams = plan.request.labels, plan.stream_of
    with run.atomic("slots.csv") as path, open(path, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("slot", "class", "source_row"))
        for part in in_parts(np.arange(plan.n_synthetic, dtype=np.int64)):
            classes = [names[k] for k in streams[part].tolist()]
            writer.writerows(zip(part.tolist(), classes, source_rows[part].tolist(), strict=True))


def table_rows(record: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """The plan as rows under `COLUMNS`: targets first, then every other label."""
    rows: list[tuple[object, ...]] = []
    for name in (*record["targets"], *record["drift"]):
        before, after = record["shares"][name]["before"], record["shares"][name]["after"]
        wanted, lp, drawn = "", "", ""
        if t := record["targets"].get(name):
            wanted = "" if t["share_wanted"] is None else percent(t["share_wanted"])
            lp = "" if t["lp"] is None else f"{t['lp']:,.1f}"
            drawn = f"{t['drawn']:,}"
        real, drift = record["positives"][name], f"{100 * (after - before):+.2f}"
        rows.append((name, real, percent(before), wanted, percent(after), drift, lp, drawn))
    return rows


def fallen_below(record: Mapping[str, Any]) -> list[str]:
    """Labels that had the one wanted share before and lose it, diluted by the new images."""
    shares_wanted = {t["share_wanted"] for t in record["targets"].values()}
    if len(shares_wanted) != 1 or None in shares_wanted:
        return []
    share = shares_wanted.pop()
    shares = record["shares"]
    return [n for n in record["drift"] if shares[n]["before"] >= share > shares[n]["after"]]


def met_already(record: Mapping[str, Any]) -> list[str]:
    """Targets that had their share before and need no image."""
    wanted = {k: t for k, t in record["targets"].items() if t["share_wanted"] is not None}
    return [
        k for k, t in wanted.items() if not t["drawn"] and t["share_before"] >= t["share_wanted"]
    ]


def unknown(record: Mapping[str, Any]) -> str:
    """What the policy leaves open, in words; empty where all is known."""
    cells = [f"{name} {n:,}" for name, n in record["unknown"].items()]
    if not cells:
        return ""
    return (
        f"unknown in so many of {record['n_real']:,} rows: {', '.join(cells)}; shares are of the"
        " known ones, and images that take an unknown label leave it open"
    )


def lenders(record: Mapping[str, Any]) -> str:
    """How few rows the labels of a plan come from."""
    n, most = record["lenders"], record["most_from_one_row"]
    rows = f"{n:,} real row" + ("s" if n != 1 else "")
    return f"all labels come from {rows}, those of one row up to {most:,} times"


def title(record: Mapping[str, Any]) -> str:
    """One line above the table: totals, the program's optimum and the gap to it."""
    text = f"{record['n_synthetic']:,} images for {record['n_real']:,} real rows"
    if origin := record["settings"].get("labels_from"):
        text = f"{record['n_synthetic']:,} images, labels as in {record['n_real']:,} of {origin}"
    if record["lp_optimum"] is not None:
        text += f"; linear program {record['lp_optimum']:,.1f}"
        text += f", gap {record['gap_images']:+,.1f} ({100 * record['gap']:+.2f} %)"
    return text


def percent(share: float) -> str:
    """A share for people, with enough digits to tell 15 % from just below it."""
    return f"{100 * share:.2f} %"
