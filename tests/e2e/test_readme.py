"""Every command of the README and of the pages in ``docs/`` is run, on a small set of radiographs.

What a reader would wait for (kimg, steps) is made short by a ``--config`` that the test adds, and
by the replacements of `PAGES`. Each page has a folder of its own, which holds what the README's
pipeline has left, or nothing but the inputs.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cxrtool import cli
from cxrtool.core.config.values import resolve
from tests.conftest import REPOSITORY
from tests.e2e import preloaded
from tests.e2e.chain import run
from tests.e2e.page_commands import Block, blocks, calls, shortened
from tests.e2e.page_commands import run as run_script

README = "README.md"
SMALL = """
[prepare]
split_by = "0.6,0.15,0.25"
workers = 1
[extract-reports]
workers = 1
[train-gan]
preset = "tiny"
batch = 8
kimg = 0.1
threads = 1
[finetune-clip]
model = "tiny"
steps = 8
batch = 16
threads = 1
[edit]
threads = 1
[synthesize]
threads = 1
[train-cls]
arch = "small_cnn"
steps = 6
batch = 16
threads = 1
[evaluate.classifiers]
bootstrap = 100
threads = 1
[evaluate.clip]
bootstrap = 100
threads = 1
[evaluate.images]
splits = 2
subsets = 5
threads = 1
[evaluate.privacy]
threads = 1
"""


@dataclass(frozen=True)
class Mark:
    """Why a block is not run with the others.

    Attributes:
        how: "never": bash reads it, and runs nothing; "all": it is run by tests/run.sh --all;
            "tool": it is run where the GNU program of the mark's name is installed.
        why: The reason.
    """

    how: str
    why: str


MARKS = {
    "install": Mark("never", "installs into an environment, or starts the quick start itself"),
    "cluster": Mark("never", "needs Slurm"),
    "gpus": Mark("never", "needs several GPUs"),
    "data": Mark("never", "needs a data set that is not at hand; test_data_sets has the forms"),
    "alone": Mark("never", "test_synthetic_alone runs it, with a generator of these classes"),
    "studies": Mark("never", "the small DICOM files are of other studies than the reports"),
    "parallel": Mark("tool", "needs GNU parallel"),
    "minutes": Mark("all", "takes minutes even when it is small"),
}


@dataclass(frozen=True)
class Page:
    """What the commands of a page need.

    Attributes:
        needs: Inputs beside those of the README, names of `MAKERS`.
        bare: It begins without what the README's pipeline leaves.
        instead: Words of its commands -> shorter ones.
    """

    needs: tuple[str, ...] = ()
    bare: bool = False
    instead: dict[str, str] = field(default_factory=dict)


#: Pages that --all alone runs: their commands take a minute. Options are checked of all pages.
SLOW = [
    f"docs/how-to/{name}.md"
    for name in (
        "datasets", "edit", "evaluate", "export", "external", "finetune-clip", "gpus", "sharing",
        "slurm", "train-gan",
    )
]  # fmt: skip
#: The label table of a generator of few patients is too small.
SOME = 'Cardiomegaly=16,Edema=24" --label-table "vectors.csv'
#: Without --config, whose split a synthetic set does not take.
AS_IT_STANDS = {"cxr prepare made/": 'cxr "prepare" made/'}
SEEDS = {"0 1 2 3 4": "0 1"}
PAGES = {
    README: Page(bare=True, instead={"--size 64": "--size 16"}),
    "docs/tutorial.md": Page(
        bare=True,
        instead={
            "--n 1000 --size 32": "--n 150 --size 16 --seed 3",
            "--kimg 20": "--kimg 0.1",
            "--epochs 4": "--steps 8",
            "--steps 150": "--steps 6",
            "--target-frac 0.1 ": "--target-frac 0.2 ",  # enough images for a distance
            **SEEDS,
        },
    ),
    "docs/explanation/phantoms.md": Page(bare=True, instead={"--n 40": "--n 10"}),
    "docs/how-to/datasets.md": Page(
        ("before_synth", "made"), instead={"--size 128": "--size 16", **AS_IT_STANDS}
    ),
    "docs/how-to/demo.md": Page(
        bare=True,
        instead={
            "cxr demo": "cxr demo --smoke",
            "cd cxr-demo": "cd cxr-demo-smoke",
            "--smoke --smoke": "--smoke",
        },
    ),
    "docs/how-to/dicom.md": Page(("dicom",), instead={"--size 64": "--size 16"}),
    "docs/how-to/edit.md": Page(instead={"--n 16": "--n 4"}),
    "docs/how-to/evaluate.md": Page(),
    "docs/how-to/export.md": Page(bare=True),
    "docs/how-to/external.md": Page(("hospitals",)),
    "docs/how-to/extract-reports.md": Page(),
    "docs/how-to/finetune-clip.md": Page(instead={"-o clip\n": "-o clip-rules\n"}),
    "docs/how-to/generator-only.md": Page(
        ("shared", "film"), instead={"Cardiomegaly=40,Edema=20": SOME}
    ),
    "docs/how-to/gpus.md": Page(),
    "docs/how-to/install.md": Page(bare=True),
    "docs/how-to/million-reports.md": Page(),
    "docs/how-to/pipes.md": Page(),
    "docs/how-to/predict.md": Page(("film", "table", "seeds")),
    "docs/how-to/reruns.md": Page(),
    "docs/how-to/search.md": Page(
        instead={
            "--cores 2": "--config 'prepare=--format phantom --n 100 --size 16'"
            " 'classifier=--arch small_cnn --steps 6' --cores 2",
            **SEEDS,
        }
    ),
    "docs/how-to/sharing.md": Page(
        ("before_synth",),
        instead={
            "--balance 500": "--balance 4",
            "prepare source": "prepare radiographs/labels.csv",
            "hospital.key -o data": "hospital.key -o data-with-key",
        },
    ),
    "docs/how-to/slurm.md": Page(("examples",), instead=SEEDS),
    "docs/how-to/studies.md": Page(("examples",)),
    "docs/how-to/synthesize.md": Page(),
    "docs/how-to/train-cls.md": Page(),
    "docs/how-to/train-gan.md": Page(instead={"--kimg 200": "--kimg 0.12"}),
    "docs/how-to/verdict.md": Page(instead=SEEDS),
}
#: Pages whose commands another test runs, on inputs of its own.
ELSEWHERE = {
    "docs/how-to/clip_weights.md": "test_clip_weights_page.py",
    "docs/how-to/reports.md": "test_report_docs.py",
}


def text_of(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


# --- what the pages assume ------------------------------------------------------------------------


def dicom(folder: Path) -> None:
    """DICOM files, a secret that is not there yet, and a table of labels by SOPInstanceUID."""
    import pydicom

    assert (
        run("export", folder / "data", "--to", "dicom", "-q", "-o", folder / "out").returncode == 0
    )
    files = sorted((folder / "out").rglob("*.dcm"))
    (folder / "dicom").mkdir()
    rows = []
    for number, file in enumerate(files[:40]):
        element = pydicom.dcmread(file, stop_before_pixels=True)
        rows.append({"SOPInstanceUID": element.SOPInstanceUID, "Edema": number % 2})
        file.rename(folder / "dicom" / f"{number}.dcm")
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)


def shared(folder: Path) -> None:
    """A generator as another hospital hands it over."""
    labels = pd.read_csv(folder / "gan" / "label_table.csv").columns[:-1]
    vectors = [[int(label in ("Edema", name)) for label in labels] for name in ("Cardiomegaly", "")]
    pd.DataFrame(vectors, columns=labels).to_csv(folder / "vectors.csv", index=False)
    out = folder / "gan-to-share"
    assert run("share", folder / "gan", "--licence", "CC0", "-q", "-o", out).returncode == 0


def film(folder: Path) -> None:
    """An image without a table."""
    image = next((folder / "radiographs" / "images").rglob("*.png"))
    shutil.copy(image, folder / "film.png")


def table(folder: Path) -> None:
    """A table of paths."""
    names = pd.read_csv(folder / "radiographs" / "labels.csv", dtype=str)["path"]
    names.head(5).to_frame().to_csv(folder / "table.csv", index=False)


def seeds(folder: Path) -> None:
    """Three classifiers under the names of the page."""
    for name in ("cls", "cls-1", "cls-2", "cls-3"):
        shutil.copytree(folder / "cls-none", folder / name)


def examples(folder: Path) -> None:
    """The scripts of the repository."""
    (folder / "examples").symlink_to(REPOSITORY / "examples")


def before_synth(folder: Path) -> None:
    """No generator, and nothing that comes after it."""
    for name in ("gan", "synth", "cls-gan", "report"):
        shutil.rmtree(folder / name)


def hospitals(folder: Path) -> None:
    """Two data sets of other people."""
    for seed, name in enumerate(("data-south", "data-north"), 4):
        words = f"prepare --format phantom --n 60 --size 16 --seed {seed} --workers 1 -q -o"
        assert run(*words.split(), folder / name).returncode == 0


def made(folder: Path) -> None:
    """Images of another generator, for a table of labels and for the slots of the page's plan."""
    others = "prepare --format phantom --n 60 --size 16 --seed 9 --workers 1 -q -o"
    assert run(*others.split(), folder / "others").returncode == 0
    shutil.copytree(folder / "others" / "images", folder / "made" / "images")
    labels = pd.read_csv(folder / "others" / "manifest.csv", dtype=str, keep_default_na=False)
    columns = ["image", "Edema", "Fracture", "Pneumothorax"]
    labels[columns].replace("", "0").to_csv(folder / "made" / "labels.csv", index=False)
    names = list(labels["image"])
    words = ("--plan-only", "--target-frac", "0.15", "-q", "-o")
    assert run("synthesize", folder / "data", *words, folder / "slots").returncode == 0
    slots = pd.read_csv(folder / "slots" / "slots.csv", dtype=str)["slot"]
    pairs = {"image": [names[i % len(names)] for i in range(len(slots))], "slot": slots}
    pd.DataFrame(pairs).to_csv(folder / "made" / "table.csv", index=False)


MAKERS: dict[str, Callable[[Path], None]] = {
    maker.__name__: maker
    for maker in (dicom, shared, film, table, seeds, examples, before_synth, hospitals, made)
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the README assumes: radiographs/labels.csv, reports.csv, expert.csv."""
    folder = tmp_path_factory.mktemp("inputs")
    raw = tmp_path_factory.mktemp("phantoms") / "raw"
    words = "prepare --format phantom --n 150 --size 16 --seed 3 --workers 2 -q -o"
    assert run(*words.split(), raw).returncode == 0
    images = pd.read_csv(raw / "manifest.csv", dtype=str, keep_default_na=False)
    shutil.copytree(raw / "images", folder / "radiographs" / "images")
    columns = ["image", "patient_id", "study_id", "view", "report"]
    images[columns].rename(columns={"image": "path"}).to_csv(
        folder / "radiographs" / "labels.csv", index=False
    )
    studies = images.drop_duplicates("study_id")
    studies[["study_id", "report"]].to_csv(folder / "reports.csv", index=False)
    studies[["study_id", "Cardiomegaly", "Edema"]].to_csv(folder / "expert.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def path() -> Iterator[str]:
    """The PATH, with a ``cxr`` that has imported torch already."""
    with preloaded.command() as folder:
        yield f"{folder}:{Path(sys.executable).parent}:/usr/bin:/bin"


def run_blocks(page: str, folder: Path, path: str, todo: list[Block]) -> None:
    config = folder.parent / "small.toml"
    config.write_text(SMALL)
    for block in todo:
        script = shortened(block.script, config, PAGES[page].instead)
        done = run_script(script, folder, path)
        assert done.returncode == 0, f"{page}, line {block.line}:\n{script}\n{done.stderr}"


@pytest.fixture(scope="module")
def pipeline(inputs: Path, path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the commands of the README have been run."""
    folder = tmp_path_factory.mktemp("readme") / "work"
    shutil.copytree(inputs, folder)
    run_blocks(README, folder, path, [b for b in blocks(text_of(README)) if not b.mark])
    return folder


def is_run(block: Block, path: str) -> bool:
    """Whether the default test run runs a block."""
    if not block.mark or MARKS[block.mark].how != "tool":
        return not block.mark
    program = shutil.which(block.mark, path=path)
    if program is None:
        return False
    done = subprocess.run([program, "--version"], capture_output=True, text=True)
    return done.stdout.startswith("GNU ")


def run_page(page: str, start: Path, folder: Path, path: str, todo: list[Block]) -> None:
    shutil.copytree(start, folder)
    for need in PAGES[page].needs:
        MAKERS[need](folder)
    run_blocks(page, folder, path, todo)


# --- the pages ------------------------------------------------------------------------------------


def test_every_page_with_commands_is_run() -> None:
    with_commands = {
        str(page.relative_to(REPOSITORY))
        for page in [REPOSITORY / README, *(REPOSITORY / "docs").rglob("*.md")]
        if blocks(page.read_text(encoding="utf-8"))
    }
    assert with_commands == PAGES.keys() | ELSEWHERE.keys()
    for page, test in ELSEWHERE.items():
        assert Path(page).name in (Path(__file__).parent / test).read_text(encoding="utf-8")
    marks = {block.mark for page in with_commands for block in blocks(text_of(page))} - {""}
    assert marks <= MARKS.keys()


def test_the_pipeline_of_the_readme(pipeline: Path) -> None:
    assert (pipeline / "report" / "report.html").exists()


def pages_to_run() -> Iterator[Any]:
    for page in PAGES:
        if page != README:
            yield pytest.param(page, marks=pytest.mark.slow if page in SLOW else ())


@pytest.mark.parametrize("page", list(pages_to_run()))
def test_the_commands_of_a_page(
    page: str, inputs: Path, pipeline: Path, tmp_path: Path, path: str
) -> None:
    start = inputs if PAGES[page].bare else pipeline
    todo = [block for block in blocks(text_of(page)) if is_run(block, path)]
    run_page(page, start, tmp_path / "work", path, todo)


@pytest.mark.parametrize("page", PAGES)
def test_bash_reads_what_is_not_run(page: str) -> None:
    for block in blocks(text_of(page)):
        done = subprocess.run(["bash", "-n"], input=block.script, capture_output=True, text=True)
        assert done.returncode == 0, (page, block.line, done.stderr)


@pytest.mark.parametrize("page", PAGES)
def test_options_are_those_of_the_commands(
    page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of every call, those that are not run among them; nothing is read or written."""

    def resolved(stage: Any, flags: dict[str, Any], common: Any) -> None:
        past = {"data": "data"} if "extend" in flags else {}
        resolve(stage.Config, past, flags)

    monkeypatch.setattr(cli, "perform", resolved)
    for block in blocks(text_of(page)):
        for words in calls(block.script):
            if words[0] not in ("demo", "status"):  # no stages
                assert cli.main(words) == 0, (page, block.line, words, capsys.readouterr().err)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_long_commands_of_a_page(
    page: str, inputs: Path, pipeline: Path, tmp_path: Path, path: str
) -> None:
    every = blocks(text_of(page))
    if not any(block.mark and MARKS[block.mark].how == "all" for block in every):
        return
    todo = [b for b in every if is_run(b, path) or (b.mark and MARKS[b.mark].how == "all")]
    run_page(page, inputs if PAGES[page].bare else pipeline, tmp_path / "work", path, todo)


def test_real_and_synthetic_images_have_one_size() -> None:
    from cxrtool.generators.choices import choose_size

    lines = [line for block in blocks(text_of(README)) for line in block.script.splitlines()]
    (prepare,) = (line for line in lines if line.startswith("cxr prepare "))
    size = int(prepare.partition("--size ")[2].split()[0])
    assert not any("--size" in line for line in lines if line != prepare)
    assert {choose_size(None, size, "data", device) for device in ("cpu", "cuda")} == {size}


def test_the_reference_names_every_command() -> None:
    table = text_of("docs/reference/index.md")
    for words in cli.COMMANDS:
        assert f"| [`cxr {' '.join(words)}`](commands/{'-'.join(words)}.md) " in table


def test_the_readme_fits_a_screen_and_a_half() -> None:
    words = re.sub(r"```.*?```|\(.*?\)", "", text_of(README), flags=re.DOTALL).split()
    assert len(words) < 500
    assert len(text_of(README).splitlines()) < 80
