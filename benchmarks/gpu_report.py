"""The section of RESULTS.md that one call of gpu.sh gives.

    python benchmarks/gpu_report.py OUT

In: OUT/figures.jsonl (a line a part, a line a network of benchmarks/gan.py) and the run directories
of train-gan beside it. Out: Markdown on stdout, with device, versions and date.
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

from cxrtool.runs import read_metrics


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
        return ["No speed was measured.", ""]
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
    print("\n".join([*heading(), *speeds(rows), *trainings(out), *parts(rows)]))


if __name__ == "__main__":
    main()
