"""`cxr synthesize --gan GAN` without DATA: labels from the generator's table, or from a file."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cxrtool import cli
from cxrtool.classifiers.arms import source_rows
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.fingerprints import require_complete
from cxrtool.core.runs.execution import Outcome, execute
from cxrtool.data.manifest import load_dataset
from tests.unit.generators.conftest import ellipse_set

QUICK = {"size": 16, "batch": 8, "kimg": 0.016, "checkpoint": "last", "preset": "tiny"}


def start(name: str, out: Path, **options: Any) -> Outcome:
    stage = cli.stages()[name]
    threads = {} if name == "share" else {"threads": 1}
    return execute(stage, resolve(stage.Config, {**threads, **options}), out)


def synthesize(gan: Path, out: Path, **options: Any) -> Outcome:
    block = {} if options.get("plan_only") else {"block": 4}
    return start("synthesize", out, gan=gan, **block, **options)


def vectors_of(path: Path, names: tuple[str, ...]) -> Counter[tuple[str, ...]]:
    """Label vector -> count: rows of a table, or its column of counts."""
    with open(path, encoding="utf-8", newline="") as stream:
        return Counter(
            {
                key: sum(int(r.get("count", 1)) for r in rows)
                for key, rows in _grouped(csv.DictReader(stream), names).items()
            }
        )


def _grouped(rows: Any, names: tuple[str, ...]) -> dict[tuple[str, ...], list[dict[str, str]]]:
    groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


@pytest.fixture(scope="module", params=["flow", "stylegan2"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a generator, and nothing else."""
    folder = tmp_path_factory.mktemp("made")
    data = ellipse_set(folder / "data", 80)
    start("train-gan", folder / "gan", data=data, arch=request.param, **QUICK)
    start("share", folder / "copy", run=folder / "gan")
    shutil.rmtree(data)
    shutil.rmtree(folder / "gan")
    return folder / "copy"


@pytest.fixture(scope="module")
def gan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator with its data beside it."""
    folder = tmp_path_factory.mktemp("house")
    data = ellipse_set(folder / "data", 80)
    start("train-gan", folder / "gan", data=data, arch="flow", **QUICK)
    return folder / "gan"


def test_a_folder_alone_makes_images_with_whole_vectors(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = synthesize(made, tmp_path / "synth", counts="Large=6,Left=3").result
    talk = capsys.readouterr().err
    assert "nn_distance stays blank" in talk
    assert "of unknown history" in talk.lower()
    synth = load_dataset(tmp_path / "synth")
    assert synth.labels == ("Large", "Left")
    assert result["summary"]["targets"]["Large"]["drawn"] == 6
    assert (synth.table["Large"].iloc[:6] == "1").all()
    assert (synth.table["Left"].iloc[6:] == "1").all()
    table = vectors_of(made / "label_table.csv", synth.labels)
    assert set(vectors_of(tmp_path / "synth" / "manifest.csv", synth.labels)) <= set(table)
    notes = synth.info.notes
    assert notes["labels_from"] == "the generator's label table"
    assert len(notes["label_table"]) == 64
    assert "data" not in notes
    for column in ("source_row", "nn_distance", "patient_id"):
        assert set(synth.column(column)) == {""}
    assert all(int(seed) >= 0 for seed in synth.column("seed"))
    assert (tmp_path / "synth" / "samples" / "large.png").is_file()
    with pytest.raises(InputError, match="no real rows"):
        source_rows(synth, synth, synth.table.index.to_numpy())


def test_shards_and_replay_give_the_same_images(made: Path, tmp_path: Path) -> None:
    whole = synthesize(made, tmp_path / "whole", balance=5).folder
    for i in (1, 2):
        synthesize(made, tmp_path / f"part{i}", balance=5, shard=f"{i}/2")
    start("merge", tmp_path / "merged", shards=(tmp_path / "part1", tmp_path / "part2"))
    one, other = (require_complete(f)["outputs"] for f in (whole, tmp_path / "merged"))
    assert one == other
    sheets = [
        sorted(p.name for p in (f / "samples").iterdir()) for f in (whole, tmp_path / "merged")
    ]
    assert sheets[0] == sheets[1]
    again = start("replay", tmp_path / "again", synth=whole, gan=made).result["summary"]
    assert (again["compared"], again["identical"]) == (10, 10)


def test_vectors_are_drawn_in_proportion_and_a_table_takes_the_place(
    gan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("Left,Large,count\n1,1,30\n0,1,10\n1,0,0\n")
    plan = synthesize(gan, tmp_path / "plan", counts="Large=400", label_table=table, plan_only=True)
    assert plan.result["summary"]["settings"]["labels_from"].startswith("a table")
    rows = Counter(r["source_row"] for r in _rows(tmp_path / "plan" / "slots.csv"))
    assert set(rows) == {"0", "1"}
    assert 0.65 < rows["0"] / 400 < 0.85
    assert "labels as in 40" in capsys.readouterr().err
    few = tmp_path / "few.csv"
    few.write_text("Left\n1\n")
    assert synthesize(gan, tmp_path / "few", balance=2, label_table=few).result["counts"] == {
        "images": 2
    }
    assert "no column of Large" in capsys.readouterr().err


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(
    ("options", "what", "hint"),
    [
        ({"target_frac": "0.5"}, "--target-frac applies only with DATA", "leave out"),
        ({"counts": "Large=2", "view": "all"}, "--view selects rows of DATA", "give the real"),
        ({"counts": "Large=2", "split": "test"}, "--split selects rows of DATA", "give the real"),
        ({"counts": "Large=2", "fraction": 0.5}, "--fraction selects rows", "give the real"),
        ({"counts": "Large=2", "leave_out": "1/2"}, "--leave-out selects rows", "give the real"),
        ({"counts": "Large=2", "uncertain": "ones"}, "--uncertain applies only with DATA", "leave"),
        ({"counts": "Large=2", "filter": ("memorized",)}, "--filter memorized compares", "need"),
        ({"counts": "Large=2", "filter": ("duplicate",)}, "--filter duplicate compares", "need"),
        ({"counts": "Large=2", "teacher": (Path("x"),)}, "--teacher applies only with DATA", "le"),
    ],
)
def test_what_needs_data_is_refused_by_name(
    gan: Path, tmp_path: Path, options: dict[str, Any], what: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(what)) as caught:
        synthesize(gan, tmp_path / "out", **options)
    assert hint in str(caught.value.hint)


def test_a_table_beside_data_and_neither_of_both_are_refused(gan: Path, tmp_path: Path) -> None:
    data, table = gan.parent / "data", tmp_path / "t.csv"
    with pytest.raises(UsageError, match="--label-table applies only without DATA"):
        synthesize(gan, tmp_path / "out", data=data, counts="Large=2", label_table=table)
    with pytest.raises(UsageError, match="missing DATA") as caught:
        start("synthesize", tmp_path / "out", counts="Large=2", plan_only=True)
    assert "--gan" in str(caught.value.hint)


def test_a_class_that_no_vector_has_is_refused_with_the_ways_out(gan: Path, tmp_path: Path) -> None:
    poor = Path(shutil.copytree(gan, tmp_path / "poor"))
    (poor / "label_table.csv").write_text("Large,Left,count\n0,1,9\n")
    result = require_complete(poor)
    del result["outputs"]["label_table.csv"]
    (poor / "result.json").write_text(json.dumps(result))
    with pytest.raises(InputError, match="no positive row among the 9") as caught:
        synthesize(poor, tmp_path / "out", counts="Large=2")
    assert "--label-table FILE" in str(caught.value.hint)
    (poor / "label_table.csv").unlink()
    with pytest.raises(InputError, match="no label table") as caught:
        synthesize(poor, tmp_path / "out", counts="Large=2")
    assert "give DATA" in str(caught.value.hint)


def test_the_discriminator_filters_without_data(made: Path, tmp_path: Path) -> None:
    if json.loads((made / "model.json").read_text())["arch"] == "flow":
        with pytest.raises(InputError, match="needs a discriminator"):
            synthesize(made, tmp_path / "out", counts="Large=2", filter=("discriminator",))
        return
    out = synthesize(made, tmp_path / "out", counts="Large=2", filter=("discriminator",))
    assert "Large" in out.result["summary"]["filters"]
