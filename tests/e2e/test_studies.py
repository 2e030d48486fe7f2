"""The study scripts at ``--smoke``: a report with all arms, a second run that makes nothing."""

from __future__ import annotations

import concurrent.futures
import contextlib
import csv
import fcntl
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrtool.data.manifest import load_dataset
from tests.conftest import REPOSITORY
from tests.e2e import preloaded

EXAMPLES = REPOSITORY / "examples"
SMALL = {"THREADS": "1", "OMP_NUM_THREADS": "1", "DEVICE": "cpu"}
FIRST: list[str] = []  # a folder whose ``cxr`` comes before the installed one


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """A ``cxr`` that has imported torch already: it is called two hundred times here."""
    with preloaded.command() as folder:
        FIRST[:] = [str(folder)]
        yield
        FIRST.clear()


def bash(*words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a script of examples/ with this interpreter's ``cxr``."""
    script, *rest = map(str, words)
    env = {
        "HOME": os.environ.get("HOME", "/"),
        "PATH": ":".join([*FIRST, str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(REPOSITORY),
        **SMALL,
        **more,
    }
    command = ["bash", str(EXAMPLES / script), *rest]
    return subprocess.run(command, capture_output=True, text=True, timeout=1500, env=env)


def made(folder: Path) -> dict[Path, int]:
    """When each finished run was finished."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("result.json")}


def check(script: str, folder: Path, arms: set[str], *source: Path) -> Path:
    """Run a script twice; gives the folder of its report."""
    first = bash(script, *source, folder, "--smoke")
    assert first.returncode == 0, first.stderr
    report = folder / "smoke" / "report"
    assert first.stdout.splitlines()[-1] == f"report: {report}/report.html"
    assert (report / "report.html").stat().st_size > 1000
    text = (report / "report.md").read_text(encoding="utf-8")
    for arm in arms:
        assert f"\n| {arm}" in text, f"{arm} is not in the report"

    before = made(folder)
    assert len(before) > len(arms) + 3
    second = bash(script, *source, folder, "--smoke")
    assert second.returncode == 0, second.stderr
    assert "everything is up to date" in second.stderr.splitlines()
    assert second.stdout.splitlines()[-1] == first.stdout.splitlines()[-1]
    assert made(folder) == before
    return report


def test_cross_modality(tmp_path: Path) -> None:
    report = check("cross_modality.sh", tmp_path / "c", {"none", "synthetic-only", "gan"})
    assert "accuracy" in (report / "report.md").read_text(encoding="utf-8")
    tables = (tmp_path / "c" / "smoke" / "tables.md").read_text(encoding="utf-8")
    assert tables.count("\n| here | all classes | 0.") == 1
    assert "\n| brain MRI | all classes |  |  |  | 0.859 |\n" in tables

    night = bash("cron.sh", tmp_path / "logs", "bash", EXAMPLES / "cross_modality.sh",
                 tmp_path / "c", "--smoke")  # fmt: skip
    assert (night.returncode, night.stdout, night.stderr) == (0, "", "")
    images = tmp_path / "c" / "smoke" / "images"
    lacking = bash("cross_modality.sh", images, tmp_path / "other", "--cpu", CLASSES="Edema,Tumor",
                   SIZE="16")  # fmt: skip
    assert lacking.returncode == 2
    assert "lacks the class Tumor" in lacking.stderr


def test_started_twice_at_once(tmp_path: Path) -> None:
    first = tmp_path / "smoke" / "phantoms"
    first.mkdir(parents=True)
    with (first / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = bash("cross_modality.sh", tmp_path, "--smoke")
    assert done.returncode == 75, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("bagan_opengan.sh",),
        ("sundaram_hulkund.sh",),
        ("tb_smgan.sh",),
        ("medmnist.sh",),
        ("cross_modality.sh",),
        ("did_it_help.sh", "kermany", "table.csv"),
        ("positive_control.sh",),
        ("share_a_generator.sh",),
    ],
)
def test_a_second_one_touches_nothing(words: tuple[str, ...], tmp_path: Path) -> None:
    work = tmp_path / "smoke"
    work.mkdir()
    (work / "tables.new").write_text("of the first")
    with (work / ".study.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = bash(*words, tmp_path, "--smoke")
    assert done.returncode == 75, done.stderr
    assert "another run of a study is at work" in done.stderr
    assert sorted(path.name for path in work.iterdir()) == [".study.lock", "tables.new"]


def test_a_warning_of_several_sets_is_shown_once_and_counted(tmp_path: Path) -> None:
    command = tmp_path / "bin" / "cxr"
    command.parent.mkdir()
    command.write_text(
        '#!/bin/sh\necho "warning: set-$1 has $1 images" >&2\necho "said $1" >&2\n'
        'echo "out $1"\nexit "$2"\n'
    )
    command.chmod(0o755)
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "metrics.json").write_text('{"answer": "A sentence."}')
    lines = (
        f"set -euo pipefail; source {EXAMPLES / 'study.sh'}; cxr 1 0; cxr 2 0;"
        " cxr 30 7 || echo code $?; answer report"
    )
    path = f"{command.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", lines], cwd=tmp_path, capture_output=True, text=True, env={"PATH": path}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["out 1", "out 2", "out 30", "code 7", "A sentence."]
    shown = done.stderr.splitlines()
    assert [line for line in shown if line.startswith("warning: set-")] == [
        "warning: set-1 has 1 images"
    ]
    assert [line for line in shown if line.startswith("said")] == ["said 1", "said 2", "said 30"]
    assert shown[-1] == "  3 times: set-1 has 1 images"
    assert len((tmp_path / "warnings.txt").read_text().splitlines()) == 3


def test_bagan_opengan(tmp_path: Path) -> None:
    check("bagan_opengan.sh", tmp_path / "d", {"none", "standard", "gan"})
    tables = (tmp_path / "d" / "smoke" / "tables.md").read_text(encoding="utf-8")
    assert tables.count("\n| 4 | ") == 3 + 1  # the classes and their mean
    assert "\n| 3000 | Nodule |  |  |  | 0.728 |  | 0.725 |  | 0.737 |\n" in tables
    page = (tmp_path / "d" / "smoke" / "report" / "report.md").read_text(encoding="utf-8")
    assert "gan (bagan, 4 images a class)" in page
    assert "gan (opengan, 4 images a class)" in page
    for name in ("bagan", "opengan"):
        manifest = tmp_path / "d" / "smoke" / f"synth-{name}-4" / "manifest.csv"
        with manifest.open(newline="", encoding="utf-8") as stream:
            assert len(list(csv.DictReader(stream))) == 3 * 4


def test_sundaram_hulkund(tmp_path: Path) -> None:
    arms = {"none", "standard", "gan", "duplicate", "pretrain-finetune"}
    check("sundaram_hulkund.sh", tmp_path / "b", arms)
    tables = (tmp_path / "b" / "smoke" / "tables.md").read_text(encoding="utf-8")
    head = (
        "| set | class | none | *printed* | standard | *printed* | gan | *printed* | duplicate | "
    )
    assert head in tables
    assert tables.count("\n| 1 | ") == 3 + 3  # ours, on phantoms, and the paper's classes
    assert "\n| 0.01 | Fracture |  | 0.583 |  | 0.601 |  | 0.656 |  |  |\n" in tables


def test_a_class_that_a_regimen_lacks_is_named_before_any_training(tmp_path: Path) -> None:
    done = bash("sundaram_hulkund.sh", tmp_path, "--smoke", REGIMENS="1.0 0.02")
    assert done.returncode in (2, 3), done.stderr
    assert "no plan for the regimen of 0.02 of the patients" in done.stderr
    assert not list(tmp_path.glob("smoke/*-gan"))


def test_tb_smgan_refuses_what_cannot_be(tmp_path: Path) -> None:
    table = tmp_path / "summaries.csv"
    table.write_text("study_id,text\n")
    other = {"STRATEGIES": "rules"}
    cases: list[tuple[dict[str, str], str]] = [
        (
            {**other, "ENSEMBLES": "rules+,random+"},
            "ENSEMBLES: rules+,random+ is not made of STRATEGIES (rules)",
        ),
        ({**other, "ENSEMBLES": "name=rules"}, "ENSEMBLES: name=rules is not made of"),
        ({"STRATEGIES": "rules external"}, "give its table of summaries by TEXT_FROM"),
        ({**other, "TEXT_FROM": str(table)}, "TEXT_FROM is the text of external, which STRATEGIES"),
        ({"TEXT_FROM": "none.csv"}, "TEXT_FROM: no such file or folder: none.csv"),
        ({"PRETRAINED": "none.pt"}, "PRETRAINED: no such file or folder: none.pt"),
        ({"PART": "0/2"}, "PART=0/2: write PART=1/2"),
    ]
    for variables, said in cases:
        done = bash("tb_smgan.sh", tmp_path, "--smoke", **variables)
        assert done.returncode == 2, variables
        assert said in done.stderr
    assert not list(tmp_path.glob("smoke/*/result.json"))


def test_tb_smgan(tmp_path: Path) -> None:
    words = ("tb_smgan.sh", tmp_path / "a", "--smoke")
    work = tmp_path / "a" / "smoke"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        parts = [pool.submit(bash, *words, PART=f"{k}/2") for k in (1, 2)]
        for part in parts:
            assert part.result().returncode == 0, part.result().stderr
    assert not (work / "report").exists()
    check("tb_smgan.sh", tmp_path / "a", {"none", "duplicate", "gan"})
    tables = (work / "tables.md").read_text(encoding="utf-8")
    sets = ("plain", "rules+", "rules-", "random+", "random-", "both")
    for name in (*sets, "none", "duplicate"):
        assert tables.count(f"\n| {name} | ") == (2 if name in sets else 1)
    assert "| *printed: rules+* | 0.579 | 0.235 | 0.17 | 0.364 | 0.432 | 0.356 | |" in tables
    unread = "| original+ | – | – | – | – | – | – | its CLIP has met no word: nothing is edited |"
    assert tables.count(f"\n{unread}\n| *printed: original+* | 0.") == 2
    for name in sets:
        sign = {"plain": "", "both": "+"}.get(name, name[-1])
        assert signs_of(work / f"synth-{name}") == {sign}
    for clip in ("rules", "random"):
        run = json.loads((work / f"clip-{clip}" / "run.json").read_text(encoding="utf-8"))
        assert Path(run["config"]["pretrained"]).name == "clip-original"
        assert json.loads((work / f"clip-{clip}" / "model.json").read_text())["lock"] == []

    # A start that has met words is edited by, and so are summaries of elsewhere.
    table = work / "summaries.csv"
    reports = csv.DictReader((work / "data" / "manifest.csv").open(newline="", encoding="utf-8"))
    studies = {row["study_id"]: row["rules"] for row in reports}
    lines = [f'{study},"seen: {text}"' for study, text in studies.items()]
    table.write_text("\n".join(["study_id,text", *lines]) + "\n")
    given = {"PRETRAINED": str(work / "clip-rules"), "TEXT_FROM": str(table), "SEEDS": "0"}
    strategies = "external original"
    done = bash("tb_smgan.sh", tmp_path / "b", "--smoke", STRATEGIES=strategies, **given)
    assert done.returncode == 0, done.stderr
    other = tmp_path / "b" / "smoke"
    for name in ("external+", "external-", "original+", "original-"):
        assert signs_of(other / f"synth-{name}") == {name[-1]}
    assert "| original+ | 0." in (other / "tables.md").read_text(encoding="utf-8")


def signs_of(folder: Path) -> set[str]:
    """How the edits of a set of 5 x 4 images begin."""
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 5 * 4
    return {row["edit"][:1] for row in rows}


def test_medmnist(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 80), ("val", 30), ("test", 40)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = (rng.random((n, 14)) < 0.1).astype(np.uint8)
        arrays[f"{split}_labels"][:, [7, 9]] = 0  # Pneumothorax, Edema: rare enough for ten images
        arrays[f"{split}_labels"][:4] = 1
    np.savez(tmp_path / "chestmnist.npz", **arrays)  # type: ignore[arg-type]  # numpy types its other option
    arms = {"none", "standard", "gan", "duplicate"}
    check("medmnist.sh", tmp_path / "m", arms, tmp_path / "chestmnist.npz")


def test_did_it_help(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = ["path,patient_id,split,class"]
    for k in range(96):
        name = ("NORMAL", "VIRAL", "BACTERIAL", "BACTERIAL", "BACTERIAL")[k % 5]
        pixels = rng.integers(0, 90, (32, 32), dtype=np.uint8)
        pixels[len(name) : len(name) + 8] += 120
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
        rows.append(f"{k}.png,p{k},{'test' if k >= 66 else 'train'},{name}")
    table = tmp_path / "table.csv"
    table.write_text("\n".join(rows) + "\n")
    first = bash("did_it_help.sh", "kermany", table, tmp_path / "w", "--smoke")
    assert first.returncode == 0, first.stderr
    work = tmp_path / "w" / "smoke"
    assert first.stdout.splitlines()[-1] == f"open {work}/report/report.html"
    text = (work / "report" / "report.md").read_text(encoding="utf-8")
    for arm in ("none", "standard", "standard (balanced)", "duplicate", "gan", "pretrain-finetune"):
        assert f"\n| {arm}" in text, f"{arm} is not in the report"
    before = made(work)
    # Data, a generator a seed and its images, arms and seeds, pages.
    for arm in ("standard", "balanced", "duplicate", "gan", "pretrain-finetune"):
        model = json.loads((work / f"f1.0-{arm}-0" / "model.json").read_text(encoding="utf-8"))
        assert model["recipe"]["augment"] == "safe"
    assert len(before) == 1 + 2 * 2 + 6 * 2 + 2
    assert what(work) == {"the method"}
    second = bash("did_it_help.sh", "kermany", table, tmp_path / "w", "--smoke")
    assert second.returncode == 0, second.stderr
    assert made(work) == before
    one = {"ARMS": "standard gan", "ONE_GENERATOR": "1"}
    done = bash("did_it_help.sh", "kermany", table, tmp_path / "w", "--smoke", **one)
    assert done.returncode == 0, done.stderr
    assert what(work, report="report-one") == {"this synthetic set"}
    # The other seed's classifier of the one generator's images, and pages; all else is there.
    new = {path.parent.name for path in made(work).keys() - before.keys()}
    assert new == {"f1.0-gan-1-of-0", "images-standard", "report-one"}


def what(work: Path, arm: str = "gan", report: str = "report") -> set[str]:
    """What the differences of an arm are about."""
    with (work / report / "comparison.csv").open(newline="", encoding="utf-8") as stream:
        return {row["about"] for row in csv.DictReader(stream) if row["a"] == arm}


def test_positive_control(tmp_path: Path) -> None:
    report = check("positive_control.sh", tmp_path / "p", {"duplicate", "gan (right-1)"})
    work = report.parent
    table = (work / "dose.md").read_text(encoding="utf-8")
    for name in ("100% with their labels", "0% with their labels", "blurred by 16 px"):
        assert f"\n| {name} | " in table
    assert "\nImages under each other's labels: " in table
    assert what(work, "gan (right-1)") == {"the method"}
    given = Counter((work / "warnings.txt").read_text(encoding="utf-8").splitlines())
    history = "warning: Of unknown history: generator right-1-0 (no keys"
    assert [n for line, n in given.items() if line.startswith(history)] == [2]
    assert Image.open(work / "dose.png").size[0] > 1000
    with (work / "right-0-0-images" / "table.csv").open(newline="") as stream:
        slots = [row["slot"] for row in csv.DictReader(stream)]
    right, wrong = ([(work / f"right-{share}-0-images/images/{int(k):06d}.png").read_bytes()
                     for k in slots] for share in (1, 0))  # fmt: skip
    assert sorted(right) == sorted(wrong)
    assert all(a != b for a, b in zip(right, wrong))


def test_share_a_generator(tmp_path: Path) -> None:
    words = ("share_a_generator.sh", tmp_path / "h", "--smoke")
    work = tmp_path / "h" / "smoke"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        parts = [pool.submit(bash, *words, PART=f"{k}/2") for k in (1, 2)]
        for part in parts:
            assert part.result().returncode == 0, part.result().stderr
    assert not (work / "report").exists()
    arms = {"none", "standard", "pooled"}
    arms |= {f"{a} ({g})" for a in ("duplicate", "gan", "synthetic-only")
             for g in ("flow", "stylegan2")}  # fmt: skip
    check("share_a_generator.sh", tmp_path / "h", arms)

    sets = {name: load_dataset(work / name) for name in ("a", "b")}
    everyone = load_dataset(work / "all")
    people = {name: set(data.column("patient_id")) for name, data in sets.items()}
    assert not people["a"] & people["b"]
    assert people["a"] | people["b"] == set(everyone.column("patient_id"))
    tested = set(everyone.column("patient_id")[everyone.column("split") == "test"])
    b = sets["b"]
    assert set(b.column("patient_id")[b.column("split") == "test"]) == tested
    for kind in ("flow", "stylegan2"):  # one generator for both seeds, of which B has the copy
        assert not (work / f"shared-{kind}-0" / "seen.json").exists()
        assert "Membership by its" in (work / f"shared-{kind}-0" / "model_card.md").read_text()
        assert not (work / f"generator-{kind}-1").exists()
    model = json.loads((work / "pooled-0" / "model.json").read_text(encoding="utf-8"))
    assert set(model["images"]) == {"real", "real of another set"}
    assert "| flow-0 | 0." in (work / "result.md").read_text(encoding="utf-8")


def test_hospitals_that_cannot_be(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, str], str]] = [
        ({"PART": "3/2"}, "PART=3/2: write PART=1/2"),
        ({"GROUP": "two"}, "not two"),
        ({"CLASSES": "Edema,Tumor"}, "lacks the class Tumor"),
        ({"SHARE": "0.01"}, "cannot be parted"),
    ]
    for variables, said in cases:
        done = bash("share_a_generator.sh", tmp_path, "--smoke", **variables)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert not list(tmp_path.glob("smoke/generator*"))


@pytest.mark.parametrize(
    ("best", "worst", "code", "said"),
    [
        ("evidence for", "no evidence", 0, ""),
        ("evidence for", "evidence against", 0, ""),
        ("no evidence", "no evidence", 1, "not found to help"),
        ("evidence for", "evidence for", 1, "under each other's labels are found to help"),
    ],
)
def test_a_control_that_fails_says_so(
    best: str, worst: str, code: int, said: str, tmp_path: Path
) -> None:
    lines = ["a,row,metric,value,low,high,verdict"]
    for name, verdict in (("right-1", best), ("right-0", worst), ("blur-2", "no evidence")):
        lines.append(f"gan ({name}),mean over labels,auroc,0.03,0.01,0.05,{verdict}")
    (tmp_path / "comparison.csv").write_text("\n".join(lines) + "\n")
    for size, expected in (("cpu", code), ("smoke", 0)):
        command = [sys.executable, str(EXAMPLES / "dose_figure.py"), ".", size]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == expected, done.stderr
        assert said in done.stderr or size == "smoke"


def test_medmnist_says_that_it_downloads(tmp_path: Path) -> None:
    (tmp_path / "other.npz").write_text("another file")
    for address, said in (
        (tmp_path / "none.npz", "no download"),
        (tmp_path / "other.npz", "is not the file that MedMNIST describes"),
    ):
        done = bash("medmnist.sh", tmp_path / address.stem, ADDRESS=f"file://{address}")
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(f"downloading file://{address}\n")
        assert said in done.stderr


class Ranges(http.server.BaseHTTPRequestHandler):
    """One file, in parts where asked for; waits before it sends."""

    content, wait = b"", 0.0

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        time.sleep(self.wait)
        total = len(self.content)
        if first >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{total - 1}/{total}")
        self.send_header("Content-Length", str(total - first))
        self.end_headers()
        self.wfile.write(self.content[first:])

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def served(content: bytes, wait: float = 0.0) -> Iterator[dict[str, str]]:
    """The variables of the script for a server of these bytes."""
    handler = type("Handler", (Ranges,), {"content": content, "wait": wait})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield {
                "ADDRESS": f"http://127.0.0.1:{server.server_port}/a.npz",
                "MD5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
                "no_proxy": "127.0.0.1",
            }
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("there", [b"", b"no archive", b"no archive, only bytes"])
def test_medmnist_goes_on_with_a_download(there: bytes, tmp_path: Path) -> None:
    content = b"no archive, only bytes"
    part = tmp_path / "chestmnist_64.npz.part"
    if there:
        part.write_bytes(there)
    with served(content) as variables:
        done = bash("medmnist.sh", tmp_path, **variables)
    # It ends because that is no archive; but it came whole, and was not asked for again.
    assert done.returncode == 3, done.stderr
    assert (tmp_path / "chestmnist_64.npz").read_bytes() == content
    assert not part.exists()
    assert ("downloading" in done.stderr) == (there != content)


def test_medmnist_removes_what_is_not_the_file(tmp_path: Path) -> None:
    part = tmp_path / "chestmnist_64.npz.part"
    part.write_bytes(b"ANOTHER FILE OF THIS LENGTH")
    with served(b"no archive, only bytes, 27.") as variables:
        done = bash("medmnist.sh", tmp_path, **variables)
        assert done.returncode == 2, done.stderr
        assert "is not the file that MedMNIST describes" in done.stderr
        assert not part.exists()
        assert bash("medmnist.sh", tmp_path, **variables).returncode == 3
    assert (tmp_path / "chestmnist_64.npz").exists()


def test_medmnist_downloads_once_at_a_time(tmp_path: Path) -> None:
    with (
        served(b"no archive, only bytes", wait=3.0) as variables,
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        starts = [pool.submit(bash, "medmnist.sh", tmp_path, **variables) for _ in range(2)]
        codes = sorted(start.result().returncode for start in starts)
    assert codes == [3, 75]
    assert (tmp_path / "chestmnist_64.npz").exists()


def test_medmnist_without_a_file(tmp_path: Path) -> None:
    assert bash("medmnist.sh", tmp_path, "--smoke").returncode == 0


@pytest.mark.parametrize(
    "script", ["cross_modality", "bagan_opengan", "sundaram_hulkund", "tb_smgan", "medmnist"]
)
def test_wrong_words(script: str, tmp_path: Path) -> None:
    for words, message in (
        ((tmp_path / "w", "--smok"), "unknown switch --smok"),
        ((tmp_path / "w", "--smoke", "--full"), "two sizes"),
        (() if script == "medmnist" else (tmp_path / "w",), "usage: "),
        ((tmp_path / "no-data", tmp_path / "w"), "no such file or folder"),
    ):
        done = bash(f"{script}.sh", *words)
        assert done.returncode == 2
        assert message in done.stderr
        assert not (tmp_path / "w").exists()


def test_single_label_names_what_is_missing(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "dataset.json").write_text('{"labels": ["A", "B", "C"]}')
    (data / "manifest.csv").write_text(
        "image,patient_id,view,split,A,B,C\n1.png,p,PA,train,1,0,0\n2.png,q,LL,test,1,0,1\n"
        "3.png,r,AP,val,0,1,1\n"
    )

    def single(*words: str) -> subprocess.CompletedProcess[str]:
        script = str(EXAMPLES / "single_label.py")
        command = [sys.executable, script, str(data), str(tmp_path / "out.csv"), *words]
        return subprocess.run(command, capture_output=True, text=True)

    assert single("--classes", "A,D").returncode == 2
    lacking = single("--classes", "A,B")
    assert lacking.returncode == 2
    assert "no row with the class B alone" in lacking.stderr
    assert single("--classes", "A,B", "--rule", "one-of-chosen").returncode == 0
    with (tmp_path / "out.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["class"] for row in rows] == ["A", "A", "B"]
    assert [row["view"] for row in rows] == ["PA", "LL", "AP"]


def test_cron_mails_what_failed_and_keeps_quiet_otherwise(tmp_path: Path) -> None:
    logs = tmp_path / "logs"

    def night(script: str, **more: str) -> tuple[int, str, str]:
        done = bash("cron.sh", logs, "bash", "-c", script, **more)
        return done.returncode, done.stdout, done.stderr

    assert night("echo a; echo report: r") == (0, "report: r\n", "")
    assert night("echo everything is up to date >&2; echo report: r") == (0, "", "")
    assert night("echo half; exit 143") == (143, "", "")
    code, out, errors = night("echo row 3 is bad; exit 3")
    assert (code, out) == (3, "")
    assert errors.startswith("error: exit 3 (bad input")
    assert errors.endswith("row 3 is bad\n")
    assert night("exit 3", QUIET_ON="3") == (3, "", "")
    assert night("exit 137")[2].startswith("error: exit 137")
    with (logs / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert night("echo never") == (75, "", "")
    history = (logs / "history.log").read_text().splitlines()
    assert [line.split()[3] for line in history] == ["0:", "0:", "143:", "3:", "3:", "137:", "75:"]
    assert bash("cron.sh", logs).returncode == 2
