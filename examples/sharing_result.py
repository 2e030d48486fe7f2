"""What share_a_generator.sh found, and what the attacks on its generators found, as Markdown.

    python3 examples/sharing_result.py REPORT PRIVACY...

REPORT: output of `cxr evaluate classifiers`; PRIVACY: outputs of `cxr evaluate privacy`.
"""

import json
import sys
from pathlib import Path


def main() -> None:
    """Print it."""
    report, *privacy = map(Path, sys.argv[1:])
    print(json.loads((report / "metrics.json").read_text(encoding="utf-8"))["answer"])
    print("\n| arm | mean AUROC |\n|---|---|")
    lines = (report / "report.md").read_text(encoding="utf-8").splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("| arm | runs |"))
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        print(f"| {cells[0]} | {cells[2]} |")
    print("\nAttacks on the generators that were shared:\n")
    print(
        "| generator | membership, AUROC | nearer to a training image than held-out ones ever are |"
    )
    print("|---|---|---|")
    for folder in privacy:
        record = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        member = record["membership"]
        told = f"{member['auroc']:.3f} [{member['low']:.3f}, {member['high']:.3f}]"
        near = ", ".join(
            f"{n['nearer_than_limit']} of {n['generated_images']:,} ({n['space']})"
            for n in record["nearness"]
        )
        print(f"| {folder.name.removeprefix('privacy-')} | {told} | {near} |")


if __name__ == "__main__":
    main()
