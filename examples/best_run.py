"""Of finished `cxr train-cls` runs, the one with the highest mean AUROC on validation.

    python examples/best_run.py RUN...

Prints its learning rate, batch and optimizer; a line a run goes to stderr. Test rows have no say.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path


def main() -> None:
    """Print the choice."""
    scored = []
    for folder in map(Path, sys.argv[1:]):
        summary = json.loads((folder / "result.json").read_text(encoding="utf-8"))["summary"]
        score = summary["val_auroc"]
        scored.append((-math.inf if score is None or math.isnan(score) else score, folder))
        print(f"{folder.name}: validation AUROC {score}", file=sys.stderr)
    if not scored:
        sys.exit("error: no runs given")
    best = max(scored, key=lambda pair: pair[0])[1]  # the first of equals
    options = json.loads((best / "run.json").read_text(encoding="utf-8"))["config"]
    print(options["lr"], options["batch"], options["optimizer"])


if __name__ == "__main__":
    main()
