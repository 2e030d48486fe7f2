"""`cxr evaluate classifiers --external`: other hospitals beside the internal rows."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cxrtool import cli
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import CxrError, GateError, InputError, UsageError
from cxrtool.core.runs.execution import Outcome, execute
from cxrtool.data import cache
from cxrtool.data.manifest import load_dataset
from tests.e2e import cls_sets

evaluate = cli.stages()["evaluate-classifiers"]
train_cls = cli.stages()["train-cls"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A real set, two arms trained on it, and a set of another hospital."""
    root = tmp_path_factory.mktemp("external")
    data = cls_sets.real(root / "data")
    for arm in ("none", "standard"):
        options = {"arch": "small_cnn", "steps": 20, "batch": 16, "eval_every": 10, "threads": 1}
        config = resolve(train_cls.Config, {**options, "data": data, "arm": arm})
        execute(train_cls, config, root / arm)
    south = cls_sets.real(root / "south", n=120, seed=5, namespace="south")
    return {"data": data, "none": root / "none", "standard": root / "standard", "south": south}


def external(
    sets: dict[str, Path], out: Path, *others: str, arms: tuple[str, ...] = ("none",), **more: Any
) -> Outcome:
    values = {
        "runs": tuple(sets[arm] for arm in arms),
        "data": (sets["data"],),
        "external": others,
        "bootstrap": 100,
        "threads": 1,
    }
    return execute(evaluate, resolve(evaluate.Config, {**values, **more}), out)


def changed(
    source: Path,
    folder: Path,
    change: Callable[[pd.DataFrame, np.ndarray], tuple[pd.DataFrame, np.ndarray]] | None = None,
    **info: Any,
) -> Path:
    """The rows of a set with another table, other images or another `dataset.json`."""
    data = load_dataset(source)
    table, images = data.table.drop(columns="image"), np.array(cache.pixels(data))
    if change is not None:
        table, images = change(table, images)
    values = {name: getattr(data.info, name) for name in ("labels", "namespace", "fit")} | info
    return cls_sets.write(folder, table.reset_index(drop=True), images, **values)


def sides(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "external.csv").set_index(["external", "data", "group", "label"])


def test_a_copy_of_the_internal_rows_gives_their_figures(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    def judged(table: pd.DataFrame, images: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        rows = (table["split"] == "test").to_numpy()
        return table[rows].assign(patient_key=""), images[rows]

    copy = changed(sets["data"], tmp_path / "copy", judged, namespace="elsewhere")
    external(sets, tmp_path / "out", f"copy={copy}")
    table = sides(tmp_path / "out").select_dtypes("number")
    points = [c for c in table if not c.endswith(("_low", "_high")) and "minus_external" not in c]
    here, there = (table.xs(side, level="data")[points] for side in ("internal", "external"))
    pd.testing.assert_frame_equal(here, there)
    gap = table.xs("external", level="data")["auroc_internal_minus_external"]
    assert (gap == 0).all()
    metrics = pd.read_csv(tmp_path / "out" / "metrics.csv").set_index("label")
    for label in ("A", "B"):
        assert here.loc[("copy", "none", label), "auroc"] == metrics.loc[label, "auroc"]
        assert here.loc[("copy", "none", label), "ece"] == metrics.loc[label, "ece"]
    assert "not independent" in (tmp_path / "out" / "report.md").read_text()
    mine = pd.read_csv(tmp_path / "out" / "predictions.csv")
    other = pd.read_csv(tmp_path / "out" / "external_predictions.csv")
    pd.testing.assert_frame_equal(mine[["A", "B"]], other[["A", "B"]])


def test_all_rows_are_scored_and_arms_are_compared_there(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    out, south = tmp_path / "out", sets["south"]
    outcome = external(sets, out, f"south={south}", arms=("none", "standard"))
    first = json.loads((out / "metrics.json").read_text())
    assert "south (120 images, 60 patients)" in first["answer"]
    summary = outcome.result["summary"]
    assert summary["answer"] == first["answer"]
    own = summary["external"]["south"]
    assert (own["images"], own["patients"], own["labels"]) == (120, 60, ["A", "B"])
    assert set(own["mean_auroc"]) == {"none", "standard"}
    assert any("pixels only" in caution for caution in own["cautions"])
    differences = pd.read_csv(out / "external_differences.csv")
    assert (differences["external"] == "south").all()
    assert set(differences["a"] + differences["b"]) == {"standardnone"}
    assert set(sides(out).index.get_level_values("group")) == {"none", "standard"}
    labels = pd.read_csv(out / "external_labels.csv").set_index("label")
    assert labels["use"].to_dict() == {"A": "in the mean", "B": "in the mean", "C": "not compared"}
    assert labels.loc["C", "why"] == "no run predicts it"
    again = external(sets, out, f"south={south}", arms=("none", "standard"))
    assert again.state == "up-to-date"
    part = external(sets, tmp_path / "part", f"south={south}", external_split="test")
    assert "south (24 images" in part.result["summary"]["answer"]
    with pytest.raises(CxrError, match="belongs to another run"):
        external(sets, out, f"north={south}", arms=("none", "standard"))


def test_nothing_changes_without_an_external_set(sets: dict[str, Path], tmp_path: Path) -> None:
    plain = external(sets, tmp_path / "plain").result["outputs"]
    beside = external(sets, tmp_path / "beside", f"south={sets['south']}").result["outputs"]
    assert not any(name.startswith("external") for name in plain)
    for name in ("metrics.csv", "comparison.csv", "predictions.csv"):
        assert plain[name] == beside[name]


@pytest.mark.parametrize("name", ["south", "Spital Süd & <Co>", "contest"])
def test_external_rows_are_never_called_test(
    sets: dict[str, Path], tmp_path: Path, name: str
) -> None:
    external(sets, tmp_path / "out", f"{name}={sets['south']}", arms=("none", "standard"))
    text = (tmp_path / "out" / "report.md").read_text().replace("\\", "")
    parts = re.split(r"^## ", text, flags=re.MULTILINE)
    own = [part for part in parts[1:] if part.startswith("External:")]
    assert len(own) == 2
    assert all("AUROC" in part or "compared" in part for part in own)
    sentences = [s for part in parts for s in re.split(r"(?<=[.;])\s", part) if name in s]
    assert len(sentences) > 10
    for part in (*own, *sentences):
        if part.startswith("Patient keys of"):  # the namespace of these data is "test"
            continue
        assert not re.search(r"\btest", part, re.IGNORECASE), part
    html = (tmp_path / "out" / "report.html").read_text()
    for figure in re.findall(r"<figure>.*?</figure>", html, re.DOTALL):
        if "internal" in figure:
            assert "test" not in re.sub(r"<[^>]*>", "", figure.replace("contest", ""))
    assert "<Co>" not in html


USAGE = [
    ({"external": ("south",)}, "write NAME=DATA"),
    ({"external": ("=south",)}, "write NAME=DATA"),
    ({"external": ("south=",)}, "write NAME=DATA"),
    ({"external": ("test=x",)}, "what rows of --data are called"),
    ({"external": ("Internal=x",)}, "what rows of --data are called"),
    ({"external": ("a=x", "A=y")}, "two data sets are called A"),
    ({"external": ("a=x",), "data": (Path("d"), Path("e"))}, "several networks"),
    ({"external_split": "test"}, "applies only with --external"),
]


@pytest.mark.parametrize(("options", "what"), USAGE)
def test_what_is_typed_wrongly_is_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        resolve(evaluate.Config, {"runs": (Path("r"),), "data": (Path("d"),), **options})


def as_unread(table: pd.DataFrame, images: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    return table.rename(columns={"A": "X", "B": "Y", "C": "Z"}), images


def as_made(table: pd.DataFrame, images: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    return table.assign(source="synthetic"), images


def smaller(table: pd.DataFrame, images: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    return table, images[:, :16, :16]


def lateral(table: pd.DataFrame, images: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    return table.assign(view="LATERAL"), images


XYZ = ("X", "Y", "Z")
REFUSED: list[tuple[Any, dict[str, Any], type[CxrError], str]] = [
    (None, {"fit": "pad"}, InputError, "prepared otherwise .* fit pad against crop"),
    (None, {"kernel": "other"}, InputError, "kernel other against"),
    (smaller, {}, InputError, "size 16 against 24"),
    (as_unread, {"labels": XYZ}, InputError, "no label is common .*external set"),
    (None, {"labels": (), "covered": ()}, InputError, "no labels"),
    (None, {"covered": (False,) * 3}, InputError, "no label is common"),
    (as_made, {}, GateError, "120 of 120 south images are synthetic or edited"),
    (lateral, {}, InputError, "no row is left by --view frontal"),
]


@pytest.mark.parametrize(("change", "info", "error", "what"), REFUSED)
def test_what_cannot_be_scored_is_refused(
    sets: dict[str, Path],
    tmp_path: Path,
    change: Any,
    info: dict[str, Any],
    error: type[CxrError],
    what: str,
) -> None:
    other = changed(sets["south"], tmp_path / "other", change, **info)
    with pytest.raises(error, match=what) as refusal:
        external(sets, tmp_path / "out", f"south={other}")
    assert refusal.value.hint
    assert not (tmp_path / "out" / "run.json").exists() or error is GateError


def test_the_refusal_names_a_command_that_mends(sets: dict[str, Path], tmp_path: Path) -> None:
    """A set of `cxr prepare` at another fit is prepared again by the hint, word for word."""
    prepare = cli.stages()["prepare"]
    data = load_dataset(sets["south"])
    table = data.table.drop(columns=["source", "pixel_key", "patient_key", "report"])
    source = tmp_path / "source"
    shutil.copytree(sets["south"] / "images", source / "images")
    table.to_csv(source / "table.csv", index=False)
    options = {"source": source / "table.csv", "format": "table", "namespace": "s", "fit": "pad"}
    options |= {"size": 20, "split_by": "none"}
    execute(prepare, resolve(prepare.Config, options), tmp_path / "padded")
    with pytest.raises(InputError, match="size 20 against 24, fit pad against crop") as refusal:
        external(sets, tmp_path / "out", f"south={tmp_path / 'padded'}")
    command = refusal.value.hint or ""
    assert command.startswith("cxr prepare --config ")
    assert cli.main([*command.split()[1:], "-q"]) == 0
    made = Path(command.split()[-1])
    assert (load_dataset(made).info.size, load_dataset(made).info.fit) == (24, "crop")
    external(sets, tmp_path / "out", f"south={made}")
    assert sides(tmp_path / "out").loc[("south", "external", "none", "A"), "auroc"] > 0


def test_larger_images_are_reduced_and_it_is_said(sets: dict[str, Path], tmp_path: Path) -> None:
    def doubled(table: pd.DataFrame, images: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        return table, images.repeat(2, axis=1).repeat(2, axis=2)

    large = changed(sets["south"], tmp_path / "large", doubled)
    external(sets, tmp_path / "large-out", f"south={large}")
    external(sets, tmp_path / "out", f"south={sets['south']}")
    assert "reduced from 48 to 24 px" in (tmp_path / "large-out" / "report.md").read_text()
    scores = [
        pd.read_csv(tmp_path / out / "external_predictions.csv")[["A", "B"]].to_numpy()
        for out in ("out", "large-out")
    ]
    assert np.abs(scores[0] - scores[1]).mean() < 0.1


# --- leaks ----------------------------------------------------------------------------------------


def with_ids_of_training(
    table: pd.DataFrame, images: np.ndarray
) -> tuple[pd.DataFrame, np.ndarray]:
    return table.assign(patient_id=[f"p0-{k // 2:04d}" for k in range(len(table))]), images


@pytest.mark.parametrize(
    ("namespace", "leak"), [("south", False), ("table", False), ("test", True)]
)
def test_equal_ids_are_one_patient_in_one_namespace_alone(
    sets: dict[str, Path], tmp_path: Path, namespace: str, leak: bool
) -> None:
    other = changed(
        sets["south"],
        tmp_path / "other",
        lambda table, images: with_ids_of_training(table.assign(patient_key=""), images),
        namespace=namespace,
    )
    if leak:
        with pytest.raises(GateError, match=r"leak: .* south images were seen .* by patient"):
            external(sets, tmp_path / "out", f"south={other}")
        return
    external(sets, tmp_path / "out", f"south={other}")
    assert "compared by pixels only" in (tmp_path / "out" / "report.md").read_text()


def test_an_image_of_training_is_found_and_a_near_one_listed(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    data = load_dataset(sets["data"])
    train = np.flatnonzero(data.column("split") == "train")[:3]
    seen = np.array(cache.pixels(data, train))

    def put(new: np.ndarray) -> Callable[..., tuple[pd.DataFrame, np.ndarray]]:
        def change(table: pd.DataFrame, images: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
            return table.assign(pixel_key=""), np.concatenate([new, images[len(new) :]])

        return change

    same = changed(sets["south"], tmp_path / "same", put(seen))
    with pytest.raises(GateError, match=r"leak: .* south images were seen .* by identical pixels"):
        external(sets, tmp_path / "out", f"south={same}")
    near, out = changed(sets["south"], tmp_path / "near", put(seen[:, :, ::-1])), tmp_path / "two"
    external(sets, out, f"south={near}")
    assert "south images are near copies" in (out / "report.md").read_text()
    pairs = pd.read_csv(out / "external_near_copies.csv")
    assert pairs["row"].tolist() == [2, 3, 4]
    assert pairs["mirrored"].all()
    assert (pairs["external"] == "south").all()
    assert not (out / "near_copies.csv").exists()


# --- labels ---------------------------------------------------------------------------------------


def test_names_are_joined_by_spelling_and_by_a_map(sets: dict[str, Path], tmp_path: Path) -> None:
    other = changed(sets["south"], tmp_path / "other", as_unread, labels=XYZ)
    names = tmp_path / "names.toml"
    names.write_text('[labels]\n"X" = "A"\n"Y" = "B"\n')
    external(sets, tmp_path / "out", f"south={other}", map_labels=str(names))
    external(sets, tmp_path / "plain", f"south={sets['south']}")
    own, plain = (sides(tmp_path / name)["auroc"] for name in ("out", "plain"))
    pd.testing.assert_series_equal(own, plain)
    uses = pd.read_csv(tmp_path / "out" / "external_labels.csv").set_index("label")
    assert uses.loc["Z", "why"] == "no run predicts it"
    names.write_text('[labels]\n"Q" = "A"\n')
    with pytest.raises(InputError, match="names no label"):
        external(sets, tmp_path / "none", f"south={other}", map_labels=str(names))


def test_rows_and_labels_without_an_answer_are_counted_and_print_no_number(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    def partly(table: pd.DataFrame, images: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        table = table.assign(B="0", **{"No Finding": "0"})
        table.loc[:19, ["A", "B", "C", "No Finding"]] = ""
        return table, images

    def empty(table: pd.DataFrame, images: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        return table.assign(A="", B="", C="", **{"No Finding": ""}), images

    four = {"labels": ("A", "B", "C", "No Finding"), "covered": (True,) * 4}
    part = changed(sets["south"], tmp_path / "part", partly, **four)
    none = changed(sets["south"], tmp_path / "none", empty, **four)
    external(sets, tmp_path / "out", f"part={part}", f"none={none}")
    text = (tmp_path / "out" / "report.md").read_text()
    assert "20 of 120 images of part have no label at all: they are left out" in text
    assert "120 of 120 images of none have no label at all" in text
    assert "B (no positive among 100 images of part)" in text
    table = sides(tmp_path / "out")
    assert set(table.index.get_level_values("external")) == {"part"}
    assert set(table.index.get_level_values("label")) == {"A", "mean over labels"}
    assert "At none (0 images, 0 patients) nothing can be compared" in text
    # Without a label for no finding a blank row may be a negative: it is, by the runs' policy.
    three = changed(
        sets["south"], tmp_path / "three",
        lambda table, images: (partly(table, images)[0].drop(columns="No Finding"), images),
    )  # fmt: skip
    external(sets, tmp_path / "three-out", f"part={three}")
    text = (tmp_path / "three-out" / "report.md").read_text()
    assert "they count as negatives of every label" in text
    assert "fill cells in different ways: 17 % are blank at part and 0 %" in text


def test_the_label_policy_of_the_runs_reads_external_cells(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    """They were trained with ones and zeros: -1 is 1, a blank is 0, and it is said."""

    def doubtful(table: pd.DataFrame, images: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
        return table.assign(A=table["A"].replace({"1": "-1", "0": ""})), images

    other = changed(sets["south"], tmp_path / "other", doubtful)
    external(sets, tmp_path / "out", f"south={other}")
    external(sets, tmp_path / "plain", f"south={sets['south']}")
    own, plain = (sides(tmp_path / name) for name in ("out", "plain"))
    pd.testing.assert_frame_equal(own, plain)
    text = (tmp_path / "out" / "report.md").read_text()
    assert re.search(r"are blank at south and 0 % internally.*--blank zeros", text)
    assert re.search(r"are uncertain .-1. at south and 0 % internally.*--uncertain ones", text)


def test_the_names_and_folders_enter_the_record(sets: dict[str, Path], tmp_path: Path) -> None:
    external(sets, tmp_path / "out", f"south={sets['south']}")
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["config"]["external"] == [f"south={sets['south']}"]
    assert record["identity"]["options"]["external"] == ["south"]
    roles = [entry["role"] for entry in record["inputs"]]
    assert roles.count("external") == 1
