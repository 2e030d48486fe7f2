"""A small house of finished runs and damaged files, for commands that are given something bad."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from cxrtool import cli

_QUICK = "--threads 1 --device cpu --seed 3"
#: Output folder -> command.
RUNS = {
    "data": "prepare --format phantom --n 60 --size 16 --workers 1 --seed 5",
    "labels": "prepare --format phantom --n 20 --size 16 --workers 1 --seed 5 --labels-only",
    "cls": f"train-cls data --arch small_cnn --steps 4 --batch 16 --eval-every 4 {_QUICK}",
    "gan": "train-gan data --kimg 0.016 --preset tiny --size 16 --batch 8 --snapshot-kimg 0.016"
    f" --tick-kimg 0.016 --checkpoint last --precision float32 {_QUICK}",
    "synth": "synthesize data --gan gan --counts Edema=8 --block 8 --threads 1 --device cpu",
}


def build(folder: Path) -> None:
    """Write all of it; to be called in ``folder``."""
    for out, command in RUNS.items():
        talk = io.StringIO()
        with contextlib.redirect_stderr(talk), contextlib.redirect_stdout(io.StringIO()):
            code = cli.main([*command.split(), "-q", "-o", out])
        assert code == 0, talk.getvalue()
    _images(folder)
    _tables(folder)
    _records(folder)


def _images(folder: Path) -> None:
    images = folder / "images"
    images.mkdir()
    random = np.random.default_rng(0)
    for k in range(4):
        Image.fromarray(random.integers(0, 255, (32, 32), np.uint8)).save(images / f"{k}.png")
    (images / "empty.png").touch()
    (images / "text.png").write_text("no image")
    (images / "folder.png").mkdir()
    cut = (images / "0.png").read_bytes()
    (images / "cut.png").write_bytes(cut[: len(cut) // 2])
    (folder / "none").mkdir()
    (folder / "file").write_text("words")


def _tables(folder: Path) -> None:
    tables = {
        "header.csv": "image,Edema\n",
        "empty.csv": "",
        "nul.csv": "image,Edema\nimages/0.png,\0\n",
        "long.csv": f"image,Edema\nimages/{'x' * 300}.png,1\n",
        "missing.csv": "image,Edema\nimages/0.png,1\nimages/9.png,0\n",
        "directory.csv": "image,Edema\nimages/0.png,1\nimages/folder.png,0\n",
        "cut.csv": "image,Edema\nimages/0.png,1\nimages/cut.png,0\n",
        "text.csv": "image,Edema\nimages/0.png,1\nimages/text.png,0\n",
        "zero.csv": "image,Edema\nimages/0.png,1\nimages/empty.png,0\n",
        "blank.csv": "image,Edema\nimages/0.png,1\n,0\n",
        "up.csv": "image,Edema\nimages/0.png,1\n../file,0\n",
        "twice.csv": "image,Edema\nimages/0.png,1\nimages/0.png,0\n",
        "patient.csv": "image,patient_id,Edema\n"
        + "".join(f"images/{k}.png,p,{k % 2}\n" for k in range(4)),
        "splits.csv": "image,patient_id,split,Edema\nimages/0.png,p,train,1\n"
        "images/1.png,p,test,0\n",
        "part.csv": "image,split,Edema\nimages/0.png,holdout,1\n",
        "nocolumn.csv": "a,b\n1,2\n",
        "ragged.csv": "image,Edema\nimages/0.png,1,2,3\n",
        "columns.csv": "image,image,Edema\nimages/0.png,images/1.png,1\n",
        "quote.csv": 'image,Edema\n"images/0.png,1\n',
        "good.csv": "image,Edema\n" + "".join(f"images/{k}.png,{k % 2}\n" for k in range(4)),
        "noid.csv": "number,report\n1,No edema.\n",
        "notext.csv": "study_id,words\n1,No edema.\n",
        "noreports.csv": "study_id,report\n",
        "reports.csv": "study_id,report\n1,No edema.\n",
        "blankid.csv": "study_id,report\n1,No edema.\n,Edema.\n",
        "targets.txt": "",
        "bad.toml": "[train-cls\n",
        "section.toml": "[train-dog]\nsteps = 1\n",
        "key.toml": "[train-cls]\nstepps = 1\n",
        "kind.toml": '[train-cls]\nsteps = "many"\n',
        "map.toml": "[labels]\nEdema = 3\n",
        "rules.toml": "[[observation]]\nname = 1\n",
        "short.key": "secret",
        "junk.pt": "junk" * 100,
        "junk.safetensors": "junk" * 100,
    }  # fmt: skip
    for name, text in tables.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "latin.csv").write_bytes("image,Edema\nimages/caf\xe9.png,1\n".encode("latin-1"))


def _records(folder: Path) -> None:
    damage = {
        "cls-cut": ("cls", "model.safetensors", b"\0" * 64),
        "cls-model": ("cls", "model.json", b"{"),
        "cls-other": ("cls", "model.json", b"{}"),
        "gan-model": ("gan", "model.json", b"[]"),
        "gan-seen": ("gan", "seen.json", b'{"format": 99}'),
        "data-image": ("data", "images/0000/0000000.png", b"no image"),
    }
    for name, (run, file, content) in damage.items():
        _copy(folder / run, folder / name)
        (folder / name / file).write_bytes(content)
    for name, file in (("cls-half", "result.json"), ("data-half", "result.json"),
                       ("cls-keyless", "seen.json")):  # fmt: skip
        _copy(folder / name.partition("-")[0], folder / name)
        (folder / name / file).unlink()
    _copy(folder / "data", folder / "edited")
    table = folder / "edited" / "manifest.csv"
    table.write_text(table.read_text("utf-8").replace("train", "test", 1), "utf-8")
    (folder / "mine").mkdir()
    (folder / "mine" / "notes.txt").write_text("mine")
    (folder / "norun").mkdir()
    (folder / "norun" / "run.json").write_text(json.dumps({"stage": "prepare"}))


def _copy(run: Path, to: Path) -> None:
    shutil.copytree(run, to)
    shutil.rmtree(to / ".cache", ignore_errors=True)
