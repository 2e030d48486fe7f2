"""What `cxr synthesize --plan-only` plans for the label tables of CheXpert and NIH ChestX-ray14.

Both tables lie in the wheel of torchxrayvision (extra `xrv`), so no image is needed. CheXpert: Lung
Lesion, Pleural Other and Fracture to 15 % each (Sundaram and Hulkund, 2021), frontal views, 1, 10,
50 and 100 % of the patients; the whole with `--fewest`, and with uncertain cells left open. NIH:
every finding below 5 % to 5 %, also with `--fewest`, and what 15 % is answered.

    python benchmarks/plans.py > plans.md
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CXR = [sys.executable, "-m", "cxrtool"]
TRIO = "Lung Lesion,Pleural Other,Fracture"


def cxr(*arguments: object) -> tuple[subprocess.CompletedProcess[str], float]:
    started = time.perf_counter()
    done = subprocess.run([*CXR, *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done, time.perf_counter() - started


def plan(data: Path, out: Path, *arguments: object) -> tuple[dict[str, Any], str, float]:
    done, seconds = cxr("synthesize", data, *arguments, "--plan-only", "--json", "-o", out)
    return json.loads(done.stdout), done.stderr, seconds


def show(title: str, found: dict[str, Any], table: str, seconds: float) -> None:
    print(f"\n## {title}\n")
    print(
        f"{found['n_real']:,} rows, {found['n_synthetic']:,} images, "
        f"LP {found['lp_optimum']:,.1f}, gap {100 * found['gap']:+.2f} %, "
        f"{seconds:.1f} s with start-up\n"
    )
    lines = table.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("class"))
    print(f"labels of {found['lenders']:,} rows, one up to {found['most_from_one_row']:,} times\n")
    print("```\n" + "\n".join(lines[first:]) + "\n```")


def main() -> None:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    ).parse_args()
    spec = find_spec("torchxrayvision")
    if spec is None or spec.origin is None:
        raise SystemExit("the label tables are in the wheel of torchxrayvision: pip install it")
    tables = Path(spec.origin).parent / "data"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chexpert, nih = folder / "chexpert", folder / "nih"
        source = tables / "chexpert_train.csv.gz"
        cxr("prepare", source, "--format", "chexpert", "--labels-only", "-q", "-o", chexpert)
        for fraction in ("0.01", "0.1", "0.5", "1"):
            found = plan(
                *(chexpert, folder / f"c{fraction}", "--target-frac", "0.15", "--classes", TRIO),
                *("--fraction", fraction),
            )
            show(f"CheXpert, {100 * float(fraction):g} % of the patients", *found)
        whole = (chexpert, folder / "c", "--target-frac", "0.15", "--classes", TRIO)
        show("CheXpert, --fewest", *plan(*whole, "--fewest"))
        left_open = (*whole[:1], folder / "i", *whole[2:], "--uncertain", "ignore")
        show("CheXpert, --uncertain ignore", *plan(*left_open))
        source = tables / "Data_Entry_2017_v2020.csv.gz"
        cxr("prepare", source, "--format", "nih", "--labels-only", "-q", "-o", nih)
        show("NIH ChestX-ray14", *plan(nih, folder / "n", "--target-frac", "0.05"))
        show("NIH, --fewest", *plan(nih, folder / "f", "--target-frac", "0.05", "--fewest"))
        try:
            plan(nih, folder / "m", "--target-frac", "0.15")
        except SystemExit as refusal:
            print(f"\n## NIH, 15 %\n\n```\n{refusal.code}```")


if __name__ == "__main__":
    main()
