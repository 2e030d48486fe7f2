"""A fixed chain of all commands, and what it must write: the net under every change of structure.

    python -m tests.e2e.golden_chain record --why "the reason in a line"

runs the chain and writes ``tests/golden/chain.json`` anew; `test_golden_chain` runs and compares.
Labels, texts and plans, which no network has a part in, are compared by hash on every machine.
Files are compared by hash where torch, NumPy and the processor's instructions are those of the
record, and elsewhere by their numbers within a tolerance: other instructions round otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import platform
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

RECORD = Path(__file__).resolve().parents[1] / "golden" / "chain.json"

_RUN = "--threads 1 --device cpu"
_TRAIN = f"--precision float32 --seed 3 {_RUN}"
# Which of several networks is the best one may hang on the last digits, and so on the processor.
_GAN = f"--preset tiny --size 16 --batch 8 --snapshot-kimg 0.064 --checkpoint last --seed 3 {_RUN}"
_CLS = f"--arch small_cnn --steps 24 --batch 16 --eval-every 24 {_TRAIN}"
_SYNTH = "synthesize data --gan gan --target-frac 0.2 --classes Fracture --block 8"
#: Output folder -> command, of all subcommands. The folders lie side by side, so that no path of a
#: machine gets into an output.
COMMANDS = {
    "raw": "prepare --format phantom --n 220 --size 16 --workers 1 --seed 5",
    "data": "extract-reports raw --texts rules,impression,inverted --workers 1",
    "labels": "evaluate labels data --reference raw/manifest.csv --key study_id",
    "gan": f"train-gan data --kimg 0.128 --precision float32 {_GAN}",
    "gan-from": f"train-gan data --kimg 0.064 --init-from gan --precision float32 {_GAN}",
    "dcgan": f"train-gan data --arch dcgan --kimg 0.032 {_GAN}",
    "acgan": f"train-gan data --arch acgan --kimg 0.032 {_GAN}",
    "bagan": "train-gan data --arch bagan --single-label rarest"
    " --labels Cardiomegaly,Edema,Fracture --kimg 0.032"
    f" --pretrain-kimg 0.032 {_GAN}",
    "opengan": "train-gan data --arch opengan --single-label rarest"
    " --labels Cardiomegaly,Edema,Fracture"
    f" --kimg 0.032 --pretrain-kimg 0.032 {_GAN}",
    "clip": f"finetune-clip data --text rules --model tiny --steps 12 --batch 16 {_TRAIN}",
    "clip-2": f"finetune-clip data --text impression --model tiny --steps 12 --batch 16 {_TRAIN}",
    "edits": "edit gan --clip clip --target 'enlarged heart' --n 3 --block 2 --steps 6 " + _RUN,
    "global": "edit gan --clip clip --target 'enlarged heart' --n 3 --block 2 --method global"
    " --relevance-images 4 " + _RUN,
    "cls-none": f"train-cls data {_CLS}",
    "cls-auc": f"train-cls data --loss auc-margin {_CLS}",
    "synth": f"{_SYNTH} --filter duplicate {_RUN}",
    "part-1": f"{_SYNTH} --shard 1/2 {_RUN}",
    "part-2": f"{_SYNTH} --shard 2/2 {_RUN}",
    "merged": "merge part-1 part-2",
    "exported": "export synth --to imagefolder",
    "replayed": f"replay merged --gan gan {_RUN}",
    "cls-gan": f"train-cls data synth --arm gan {_CLS}",
    "images": f"evaluate images synth --real data --features cls-none {_RUN}",
    "clips": f"evaluate clip clip clip-2 --data data {_RUN}",
    "report": "evaluate classifiers cls-none cls-gan --data data --synth synth"
    " --image-report images --bootstrap 100 " + _RUN,
}
#: What is the same on every machine: manifest columns, and whole files.
LABELLED = ("raw", "data")
PLANNED = {"synth": ("plan.json",), "merged": ("plan.json",)}
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.])")


def environment() -> dict[str, str]:
    """What decides the last bits of a computation: versions, and the processor to its caches.

    Libraries choose kernels and the sizes of their blocks by both.
    """
    import numpy
    import torch

    wanted = ("cpu family", "model", "model name", "stepping", "cache size")
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    found = dict(reversed([line.split(":", 1) for line in lines if ":" in line]))
    cpuinfo = {key.strip(): value.strip() for key, value in found.items()}
    return {
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "machine": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "processor": ", ".join(cpuinfo.get(key, "") for key in wanted),
        "flags": " ".join(
            sorted(f for f in cpuinfo.get("flags", "").split() if f.startswith(("amx", "avx")))
        ),
    }


def run(folder: Path) -> None:
    """Run all commands in `folder`."""
    from cxrtool import cli

    with contextlib.chdir(folder):
        for out, command in COMMANDS.items():
            talk, data = io.StringIO(), io.StringIO()
            with contextlib.redirect_stderr(talk), contextlib.redirect_stdout(data):
                code = cli.main([*shlex.split(command), "-q", "-o", out])
            assert code == 0, f"cxr {command}: {code}\n{talk.getvalue()}"


def digest(folder: Path) -> dict[str, Any]:
    """Hashes and numbers of all that the chain wrote."""
    record: dict[str, Any] = {"everywhere": {}, "files": {}, "numbers": {}}
    for name in LABELLED:
        record["everywhere"][f"{name}: labels and texts"] = _labels(folder / name)
    for name, files in PLANNED.items():
        for file in files:
            record["everywhere"][f"{name}/{file}"] = _sha256((folder / name / file).read_bytes())
    for name in COMMANDS:
        outputs = json.loads((folder / name / "result.json").read_text())["outputs"]
        record["files"][name] = {path: entry["sha256"][:16] for path, entry in outputs.items()}
        numbers = {path: _numbers(folder / name / path) for path in sorted(outputs)}
        record["numbers"][name] = {path: found for path, found in numbers.items() if found}
    return record


def _labels(folder: Path) -> str:
    import pandas as pd

    labels = json.loads((folder / "dataset.json").read_text())["labels"]
    table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    texts = ("report", "findings", "impression", "rules", "inverted")
    columns = [c for c in (*labels, *texts, "split", "patient_id") if c in table.columns]
    return _sha256(table[columns].to_csv(index=False).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _numbers(path: Path) -> list[float]:
    """A few numbers that say what is in a file, where it holds any."""
    import numpy as np

    values: list[float] = []
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        for _, tensor in sorted(load_file(path).items()):
            if np.issubdtype(tensor.dtype, np.floating):  # not how many batches were seen
                values += [float(tensor.mean()), float(tensor.std())]
    elif path.suffix == ".png" and path.parent.name == "images":
        from PIL import Image

        values = [float(np.asarray(Image.open(path)).mean())]
    elif path.suffix in (".csv", ".jsonl"):
        values = [float(text) for text in _NUMBER.findall(path.read_text())]
    if len(values) > 24:  # a few means of many
        values = [float(np.mean(part)) for part in np.array_split(np.array(values), 24)]
    return [float(f"{value:.5g}") for value in values]


def main() -> None:
    """Record the chain anew."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("action", choices=["record", "keep"])
    parser.add_argument("--why", help="The reason, a line.", default="")
    parser.add_argument("--folder", type=Path, help="Where to run.")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        run(folder)
        found = digest(folder)
    if options.action == "keep":
        sys.stdout.write(json.dumps(found, indent=1))
        return
    if not options.why.strip():
        parser.error("--why is missing: say what changed the outputs")
    before = json.loads(RECORD.read_text()) if RECORD.exists() else {"why": []}
    record = {"why": [*before["why"], options.why], "environment": environment(), **found}
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
