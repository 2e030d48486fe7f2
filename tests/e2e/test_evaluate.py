"""`cxr evaluate classifiers` and `cxr evaluate images` on small sets."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cxrtool import runs
from cxrtool.config import resolve
from cxrtool.data.keys import Seen
from cxrtool.data.manifest import load_dataset
from cxrtool.errors import GateError, InputError, UsageError
from cxrtool.stages import evaluate_classifiers, evaluate_images, train_cls
from tests.e2e import cls_sets


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A real set, a synthetic one, and two runs of different arms."""
    root = tmp_path_factory.mktemp("sets")
    data = cls_sets.real(root / "data")
    synth = cls_sets.synth(root / "synth", data)
    for arm, inputs in (("none", ()), ("gan", (synth,))):
        options = {"arch": "small_cnn", "steps": 20, "batch": 16, "eval_every": 10, "threads": 1}
        config = resolve(train_cls.Config, {**options, "data": data, "synth": inputs, "arm": arm})
        runs.execute(train_cls, config, root / arm)
    return {"data": data, "synth": synth, "none": root / "none", "gan": root / "gan"}


def classifiers(
    sets: dict[str, Path], out: Path, *names: str, data: Path | None = None, **options: Any
) -> runs.Outcome:
    chosen = tuple(sets[name] for name in names)
    values = {"runs": chosen, "data": (data or sets["data"],), "bootstrap": 200, "threads": 1}
    config = resolve(evaluate_classifiers.Config, {**values, **options})
    return runs.execute(evaluate_classifiers, config, out)


def images(sets: dict[str, Path], out: Path, **options: Any) -> runs.Outcome:
    values = {"synth": sets["synth"], "real": sets["data"], "subsets": 10, "threads": 1}
    config = resolve(evaluate_images.Config, {**values, **options})
    return runs.execute(evaluate_images, config, out)


class Checker(HTMLParser):
    """Balanced tags, and nothing that a browser would fetch."""

    VOID = frozenset({"meta", "img", "br", "hr", "input", "link", "path", "use", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.figures = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and value:
                assert value.startswith(("data:", "#")), value
        self.figures += tag in ("svg", "img")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def checked(html: str) -> Checker:
    """Parse a page and check that it stands by itself and names nobody."""
    checker = Checker()
    checker.feed(html)
    assert checker.open == []
    assert "<script" not in html
    assert "<secret>" not in html
    assert "Blobs <test>" not in html
    assert "Blobs &lt;test&gt;" in html
    assert not re.search(r"p0-\d{4}", html)
    assert "/tmp" not in html
    return checker


def test_scores_are_those_of_the_stored_networks(sets: dict[str, Path], tmp_path: Path) -> None:
    outcome = classifiers(sets, tmp_path / "out", "none", "gan")
    summary = outcome.result["summary"]
    assert summary["labels"] == ["A", "B"]
    assert summary["images"] == 32
    assert "too few runs for a verdict" in summary["answer"]
    metrics = pd.read_csv(tmp_path / "out" / "metrics.csv").set_index(["run", "label"])
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    data = load_dataset(sets["data"])
    for run in (1, 2):
        mine = predictions[predictions["run"] == run]
        rows = mine["row"].to_numpy() - 2
        assert (data.column("split", rows) == "test").all()
        for label in ("A", "B"):
            truth = data.column(label, rows) == "1"
            got = metrics.loc[(run, label)]
            assert got["auroc"] == pytest.approx(roc_auc_score(truth, mine[label]), abs=2e-3)
            assert got["average_precision"] == pytest.approx(
                average_precision_score(truth, mine[label]), abs=2e-3
            )
            assert got["auroc_low"] <= got["auroc"] <= got["auroc_high"]
            assert got["prevalence"] == pytest.approx(truth.mean(), abs=1e-5)
        mean = metrics.loc[(run, "mean over labels"), "auroc"]
        assert mean == pytest.approx(metrics.loc[run].loc[["A", "B"], "auroc"].mean(), abs=1e-5)
    assert list(metrics["arm"].unique()) == ["none", "gan"]
    differences = json.loads((tmp_path / "out" / "metrics.json").read_text())["differences"]
    first = differences[0]
    assert (first["a"], first["b"], first["metric"]) == ("gan", "none", "auroc")
    means = [metrics.loc[(r, "mean over labels"), "auroc"] for r in (1, 2)]
    assert first["value"] == pytest.approx(means[1] - means[0], abs=1e-5)


def test_the_page_stands_by_itself_and_names_nobody(sets: dict[str, Path], tmp_path: Path) -> None:
    classifiers(sets, tmp_path / "out", "none", "gan")
    html = (tmp_path / "out" / "report.html").read_text()
    assert checked(html).figures >= 4
    assert "gan minus none, mean AUROC" in html
    columns = pd.read_csv(tmp_path / "out" / "predictions.csv").columns
    assert list(columns) == ["run", "row", "A", "B"]
    classifiers(sets, tmp_path / "named", "none", include_text=True)
    named = pd.read_csv(tmp_path / "named" / "predictions.csv")
    assert named["patient_id"].str.startswith("p0-").all()
    checked((tmp_path / "named" / "report.html").read_text())


def test_equal_inputs_give_equal_bytes(sets: dict[str, Path], tmp_path: Path) -> None:
    results = [classifiers(sets, tmp_path / k, "none", "gan").result["outputs"] for k in "ab"]
    assert results[0] == results[1]
    assert {"metrics.csv", "comparison.csv", "predictions.csv", "report.html"} <= set(results[0])
    other = classifiers(sets, tmp_path / "c", "none", "gan", seed=1).result["outputs"]
    assert other["predictions.csv"] == results[0]["predictions.csv"]
    assert other["metrics.csv"] != results[0]["metrics.csv"]


def test_a_required_score_is_a_gate(sets: dict[str, Path], tmp_path: Path) -> None:
    good = classifiers(sets, tmp_path / "good", "none", min_auroc=0.3)
    assert good.gates == []
    bad = classifiers(sets, tmp_path / "bad", "none", "gan", min_auroc=0.9999)
    assert len(bad.gates) >= 1
    assert "below --min-auroc 0.9999" in bad.gates[0]
    assert (tmp_path / "bad" / "report.html").exists()


def test_rows_that_a_run_has_seen_are_refused(sets: dict[str, Path], tmp_path: Path) -> None:
    for split in ("train", "val", "all"):
        with pytest.raises(GateError, match="were seen by the run") as caught:
            classifiers(sets, tmp_path / split, "none", split=split)
        assert caught.value.exit_code == 5
    with pytest.raises(GateError, match="synthetic or edited"):
        classifiers(sets, tmp_path / "synth", "none", data=sets["synth"], split="all")


def test_a_generator_with_more_patients_than_its_classifier_is_said_on_the_page(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    options = {"arch": "small_cnn", "steps": 2, "batch": 8, "threads": 1, "fraction": 0.5}
    values = {**options, "data": sets["data"], "synth": (sets["synth"],)}
    values["classes"] = "A"
    runs.execute(train_cls, resolve(train_cls.Config, values), tmp_path / "half")
    outcome = classifiers({**sets, "half": tmp_path / "half"}, tmp_path / "out", "half")
    assert (
        "24 patients or images that its classifier was not"
        in outcome.result["summary"]["cautions"][0]
    )
    both = {**sets, "half": tmp_path / "half"}
    cautions = classifiers(both, tmp_path / "both", "none", "half").result["summary"]["cautions"]
    assert cautions[1] == "B is left out: not predicted by run 2 (gan)."
    html = (tmp_path / "both" / "report.html").read_text()
    checked(html)
    assert cautions[1] in html
    full = classifiers(sets, tmp_path / "full", "gan").result["summary"]
    assert not any("generator" in text for text in full["cautions"])


def test_an_external_set_joins_by_name(sets: dict[str, Path], tmp_path: Path) -> None:
    other = cls_sets.real(tmp_path / "other", seed=5, namespace="elsewhere")
    outcome = classifiers(sets, tmp_path / "out", "none", data=other, split="all")
    assert outcome.result["summary"]["images"] == 160
    assert outcome.result["summary"]["mean_auroc"]["none, seed 0"] > 0.7


def test_other_pixels_or_labels_are_refused(sets: dict[str, Path], tmp_path: Path) -> None:
    bigger = cls_sets.real(tmp_path / "bigger", seed=6, size=32)
    with pytest.raises(InputError, match="images with size 24, these have 32"):
        classifiers(sets, tmp_path / "a", "none", data=bigger)
    uncovered = cls_sets.real(tmp_path / "uncovered", seed=6, covered=(False, False, True))
    with pytest.raises(InputError, match="no label is common"):
        classifiers(sets, tmp_path / "b", "none", data=uncovered)
    half = cls_sets.real(tmp_path / "half", seed=6, covered=(True, False, True))
    outcome = classifiers(sets, tmp_path / "c", "none", data=half)
    assert outcome.result["summary"]["labels"] == ["A"]
    assert "B is left out" in outcome.result["summary"]["cautions"][0]


def test_a_label_without_positives_is_undefined_and_named(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    data = cls_sets.real(tmp_path / "data", seed=8)
    table = load_dataset(data).table.drop(columns="image")
    table["B"] = "0"
    pixels = cls_sets.draw(np.zeros((len(table), 2), int), np.random.default_rng(0))
    cls_sets.write(tmp_path / "flat", table, pixels)
    outcome = classifiers(sets, tmp_path / "out", "none", data=tmp_path / "flat")
    summary = outcome.result["summary"]
    assert summary["undefined"] == ["B"]
    assert "B has no positive" in summary["cautions"][0]
    metrics = pd.read_csv(tmp_path / "out" / "metrics.csv").set_index("label")
    assert np.isnan(metrics.loc["B", "auroc"])
    assert metrics.loc["mean over labels", "auroc"] == metrics.loc["A", "auroc"]
    html = (tmp_path / "out" / "report.html").read_text()
    assert "B has no positive in these rows" in html


def test_wrong_usage(sets: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run is given"):
        classifiers(sets, tmp_path / "a")
    with pytest.raises(UsageError, match="given twice"):
        classifiers(sets, tmp_path / "b", "none", "none")
    with pytest.raises(InputError):
        classifiers(sets, tmp_path / "c", "data")


def test_images_are_measured_in_both_spaces(sets: dict[str, Path], tmp_path: Path) -> None:
    outcome = images(sets, tmp_path / "out", features=sets["none"])
    summary = outcome.result["summary"]
    spaces = [s["space"] for s in summary["spaces"]]
    assert spaces[0].startswith("small_cnn classifier")
    assert "random" in spaces[1]
    for space in summary["spaces"]:
        assert space["n"] == 16
        assert space["frechet"] > 0
        assert space["frechet_real"] > 0
    metrics = pd.read_csv(tmp_path / "out" / "metrics.csv")
    assert set(metrics["kernel"]) == {load_dataset(sets["data"]).info.kernel}
    assert {"n_synthetic", "n_real", "extractor"} <= set(metrics.columns)
    html = (tmp_path / "out" / "report.html").read_text()
    assert checked(html).figures >= 4
    assert "not FIDs" in html
    again = images(sets, tmp_path / "again", features=sets["none"])
    assert again.result["outputs"] == outcome.result["outputs"]


def test_worse_images_are_farther_and_copies_are_found(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    data = load_dataset(sets["data"])
    train = np.flatnonzero(data.column("split") == "train")[:40]
    seen = Seen.of(data, np.flatnonzero(data.column("split") == "train"))
    from cxrtool.data.cache import pixels

    originals = np.asarray(pixels(data, train))
    table = load_dataset(sets["synth"]).table.drop(columns="image")
    kinds = {
        "copies": originals,
        "noise": np.random.default_rng(0).integers(0, 256, originals.shape).astype(np.uint8),
    }
    found = {}
    for name, array in kinds.items():
        folder = cls_sets.write(tmp_path / name, table, array, synthetic=True)
        seen.save(runs.Run.for_test(folder))
        found[name] = images({**sets, "synth": folder}, tmp_path / f"out-{name}").result["summary"]
    good = images(sets, tmp_path / "out").result["summary"]
    distance = {k: v["spaces"][0]["ratio"] for k, v in {**found, "good": good}.items()}
    assert distance["noise"] > 10 * distance["good"]
    assert found["copies"]["nearness"][0]["copies"] == 40
    assert found["copies"]["nearness"][0]["ratio"] < 0.01
    assert good["nearness"][0]["copies"] <= 4
    assert 0.7 < good["nearness"][0]["ratio"] < 1.3


def test_image_evaluation_guards_its_reference(sets: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(GateError, match="seen by the generator"):
        images(sets, tmp_path / "a", split="train")
    with pytest.raises(GateError, match="seen by the extractor"):
        images(sets, tmp_path / "b", split="val", features=sets["none"])
    with pytest.raises(InputError, match="real rows where"):
        images({**sets, "synth": sets["data"]}, tmp_path / "c")
    other = cls_sets.synth(tmp_path / "kernel", sets["data"], kernel="nearest")
    with pytest.raises(InputError, match="kernel nearest cannot be compared"):
        images({**sets, "synth": other}, tmp_path / "d")


def test_image_options_have_effect(sets: dict[str, Path], tmp_path: Path) -> None:
    base = images(sets, tmp_path / "base").result["outputs"]["metrics.csv"]
    for k, change in enumerate(({"seed": 1}, {"splits": 3}, {"subsets": 5})):
        assert images(sets, tmp_path / str(k), **change).result["outputs"]["metrics.csv"] != base
