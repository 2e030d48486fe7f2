"""The fixed chain writes what it wrote (see `golden_chain`, which also records it anew)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.golden_chain import RECORD, environment

#: Of the largest number of a file. With AVX2 in place of AVX-512 networks stray by up to .003,
#: edits by .12.
TOLERANCE = 0.2


def test_the_chain_writes_what_it_wrote(tmp_path: Path) -> None:
    record = json.loads(RECORD.read_text())
    words = [sys.executable, "-m", "tests.e2e.golden_chain", "keep", "--folder", str(tmp_path)]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    pages = [*tmp_path.glob("*/report.html"), *tmp_path.glob("*/model_card.md")]
    assert len(pages) > 9
    for page in pages:  # the chain has no --id-key
        assert "are reversible" in " ".join(page.read_text("utf-8").split()), page
    assert found["everywhere"] == record["everywhere"]
    assert {k: set(v) for k, v in found["files"].items()} == {
        k: set(v) for k, v in record["files"].items()
    }
    if environment() == record["environment"]:
        changed = {
            f"{stage}/{file}"
            for stage, files in record["files"].items()
            for file, digest in files.items()
            if found["files"][stage][file] != digest
        }
        assert not changed
    for stage, files in record["numbers"].items():
        for file, numbers in files.items():
            ours = found["numbers"][stage][file]
            scale = max(map(abs, numbers))
            assert len(ours) == len(numbers), f"{stage}/{file}"
            far = [(a, b) for a, b in zip(ours, numbers) if abs(a - b) > TOLERANCE * scale]
            assert not far, f"{stage}/{file}: {far}"
