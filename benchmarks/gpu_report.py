"""The section of docs/results/speed.md that one call of gpu.sh gives.

    python benchmarks/gpu_report.py OUT

In: OUT/figures.jsonl (a line a part, a line a figure of benchmarks/*.py) and the run directories of
train-gan and finetune-clip beside it. Out: Markdown on stdout, with device, versions and date.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from cxrtool.core.runs import read_metrics


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file; a line cut short by a time limit is left out."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows


def heading() -> list[str]:
    """Device, versions and date."""
    cuda = torch.cuda.is_available()
    device = torch.cuda.get_device_name() if cuda else f"{platform.machine()} (no CUDA device)"
    day = datetime.now(UTC).date().isoformat()
    versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}, Python"
    return [f"## GPU: {device}, {day}", "", f"{versions} {platform.python_version()}.", ""]


def speeds(rows: list[dict[str, Any]]) -> list[str]:
    """Seconds per thousand images by size and form."""
    measured = [row for row in rows if "sec_per_kimg" in row]
    if not measured:
        return []
    names = list(dict.fromkeys(name for row in measured for name in row["sec_per_kimg"]))
    lines = [
        "Seconds per thousand images, every regularizer on (`benchmarks/gan.py`):",
        "",
        "| network | batch | " + " | ".join(names) + " | grouped / ours | memory, GB |",
        "|---" * (len(names) + 4) + "|",
    ]
    for row in measured:
        cells = [str(row["sec_per_kimg"].get(name, "")) for name in names]
        ratio = f"{1 / row['ratio']:.2f}" if row.get("ratio") else ""
        memory = row.get("memory_gb", {}).get("ours", "")
        network = f"`{row['preset']}` {row['size']} px"
        lines.append(f"| {network} | {row['batch']} | {' | '.join(cells)} | {ratio} | {memory} |")
    hows = [f"`{name}`: {how}" for name, how in measured[-1]["how"].items()]
    return [*lines, "", "; ".join(hows) + ".", ""]


def trainings(out: Path) -> list[str]:
    """What each run of train-gan took, and its curve of distances."""
    lines: list[str] = []
    for path in sorted(out.glob("*/metrics.jsonl")):
        rows = read_metrics(path.parent)
        ticks = [row for row in rows if "sec_per_kimg" in row]
        if not ticks:
            continue
        pace = statistics.median(row["sec_per_kimg"] for row in ticks[len(ticks) // 2 :])
        memory = max(row["memory_bytes"] for row in ticks) / 1e9
        wait = statistics.median(row["data_wait_sec_per_kimg"] for row in ticks)
        lines += [
            f"`{path.parent.name}`, {ticks[-1]['kimg']:g} kimg: {pace:.2f} s/kimg at the end, "
            f"{memory:.1f} GB, data wait {wait:.4f} s/kimg.",
            "",
            "| kimg | Fréchet distance | KID |",
            "|---|---|---|",
        ]
        for row in rows:
            if "fd" in row:
                lines.append(f"| {row['kimg']:g} | {row['fd']:.4g} | {row.get('kid', 0):.4g} |")
        lines.append("")
    return lines


def table(title: str, columns: str, rows: list[tuple[Any, ...]]) -> list[str]:
    """A titled Markdown table, columns named with commas between; nothing without rows."""
    if not rows:
        return []
    names = columns.split(", ")
    lines = [title, "", "| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    return [*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows), ""]


def classifiers(rows: list[dict[str, Any]]) -> list[str]:
    """benchmarks/cls.py."""
    found = [row for row in rows if "plain_img_per_s" in row]
    keys = ("batch", "workers", "plain_img_per_s", "img_per_s", "ratio", "data_wait_frac")
    return table(
        "`train-cls` against a plain float32 loop (`benchmarks/cls.py`):",
        "network, batch, workers of the plain loop, plain (images/s), ours, ratio, wait",
        [(f"{row['arch']} {row['size']} px", *(row[key] for key in keys)) for row in found],
    )


def synthesis(rows: list[dict[str, Any]]) -> list[str]:
    """benchmarks/synthesize.py."""
    found = [row["images"] for row in rows if "planner" in row]
    keys = ("block", "images", "training_images", "ratio_to_script", "part_of_network_rate")
    return table(
        "`synthesize` against one image a call (`benchmarks/synthesize.py`), images a second:",
        "network, script, cxr, network alone, block, images, distances to, cxr / script, "
        "part of the network's rate",
        [
            (
                f"`{row['preset']}` {row['size_px']} px",
                *(row["images_per_second"][key] for key in ("script", "cxr", "network")),
                *(row[key] for key in keys),
            )
            for row in found
        ],
    )


def relevance(rows: list[dict[str, Any]]) -> list[str]:
    """benchmarks/edit.py."""
    found = [row for row in rows if "exact_s_all_channels" in row]
    keys = ("images", "ratio", "cosine", "exact_s_all_channels")
    return table(
        "Relevance matrix against one image a call (`benchmarks/edit.py`):",
        "loop (images/s), ours, images, time (ratio), least cosine, all channels (s)",
        [
            (
                *(row["images_per_s"][key] for key in ("loop", "cxr")),
                *(row[key] for key in keys),
            )
            for row in found
        ],
    )


def clips(out: Path) -> list[str]:
    """Pairs a second of each run of finetune-clip, and what it reads on held-out patients."""
    rows = []
    for path in sorted(out.glob("*/open_clip_config.json")):
        ticks = [row for row in read_metrics(path.parent) if row.get("pairs_per_s")]
        summary = json.loads((path.parent / "result.json").read_text())["summary"]
        if ticks:
            pace = statistics.median(row["pairs_per_s"] for row in ticks)
            read = "" if summary["auroc_mean"] is None else f"{summary['auroc_mean']:.3f}"
            facts = (summary[key] for key in ("model", "size", "pairs", "text", "steps"))
            rows.append((f"`{path.parent.name}`", *facts, f"{pace:.0f}", read))
    return table(
        "`finetune-clip` from scratch:",
        "run, network, px, pairs, text, steps, pairs/s, zero-shot AUROC of held-out patients",
        rows,
    )


def parts(rows: list[dict[str, Any]]) -> list[str]:
    """How each part ended."""
    ends = {0: "done", 124: "out of time"}
    said = [
        f"{row['part']}: {ends.get(row['exit'], 'failed')}, {row['seconds']} s"
        for row in rows
        if "part" in row
    ]
    return ["Parts: " + "; ".join(said) + ".", ""]


def main() -> None:
    """Read and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    rows = rows_of(out / "figures.jsonl")
    lines = [*heading(), *classifiers(rows), *synthesis(rows), *relevance(rows), *clips(out)]
    print("\n".join([*lines, *speeds(rows), *trainings(out), *parts(rows)]))


if __name__ == "__main__":
    main()
