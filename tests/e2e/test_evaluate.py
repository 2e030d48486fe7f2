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

from cxrtool import cli
from cxrtool.commands.evaluate.classifiers import page
from cxrtool.core import runs
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import GateError, InputError, UsageError
from cxrtool.core.runs.execution import Outcome, execute
from cxrtool.data.keys import Seen
from cxrtool.data.manifest import load_dataset
from tests.e2e import cls_sets

evaluate_classifiers = cli.stages()["evaluate-classifiers"]
evaluate_images = cli.stages()["evaluate-images"]
train_cls = cli.stages()["train-cls"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A real set, a synthetic one, and two runs of different arms."""
    root = tmp_path_factory.mktemp("sets")
    data = cls_sets.real(root / "data")
    synth = cls_sets.synth(root / "synth", data)
    for arm, inputs in (("none", ()), ("gan", (synth,))):
        options = {"arch": "small_cnn", "steps": 20, "batch": 16, "eval_every": 10, "threads": 1}
        config = resolve(train_cls.Config, {**options, "data": data, "synth": inputs, "arm": arm})
        execute(train_cls, config, root / arm)
    return {"data": data, "synth": synth, "none": root / "none", "gan": root / "gan"}


def classifiers(
    sets: dict[str, Path], out: Path, *names: str, data: Path | None = None, **options: Any
) -> Outcome:
    chosen = tuple(sets[name] for name in names)
    values = {"runs": chosen, "data": (data or sets["data"],), "bootstrap": 200, "threads": 1}
    config = resolve(evaluate_classifiers.Config, {**values, **options})
    return execute(evaluate_classifiers, config, out)


def images(sets: dict[str, Path], out: Path, **options: Any) -> Outcome:
    values = {"synth": sets["synth"], "real": sets["data"], "subsets": 10, "threads": 1}
    config = resolve(evaluate_images.Config, {**values, **options})
    return execute(evaluate_images, config, out)


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
    assert "/tmp" not in re.sub(r'base64,[^"]*', "", html)  # of pixels any letters may come
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
    perfect = metrics["ece_perfect"]
    assert perfect.between(0.01, 0.5).all()
    assert metrics.loc[(1, "A"), "ece_isotonic"] >= 0
    assert summary["answer"].startswith("No verdict on whether adding synthetic images does better")
    assert not (tmp_path / "out" / "studies.csv").exists()
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
    classifiers(sets, tmp_path / "named", "none", include_ids=True)
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
    execute(train_cls, resolve(train_cls.Config, values), tmp_path / "half")
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
    told = "compared by pixels only: patient ids of different namespaces"
    assert told in outcome.result["summary"]["answer"]
    assert any(told in text for text in outcome.result["summary"]["cautions"])
    html = (tmp_path / "out" / "report.html").read_text()
    assert f"none of them has seen these images, {told}" in html
    assert "has seen these patients" not in html
    same = classifiers(sets, tmp_path / "same", "none", "gan")
    assert "by pixels only" not in same.result["summary"]["answer"]
    assert "has seen these patients or images" in (tmp_path / "same" / "report.html").read_text()


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


def test_studies_are_scored_beside_images(sets: dict[str, Path], tmp_path: Path) -> None:
    data = load_dataset(cls_sets.real(tmp_path / "data", seed=8))
    table = data.table.drop(columns="image").assign(study_id="s1")  # of each patient
    labels = table[["A", "B"]].astype(int).to_numpy()
    cls_sets.write(tmp_path / "studies", table, cls_sets.draw(labels, np.random.default_rng(0)))
    classifiers(sets, tmp_path / "out", "none", data=tmp_path / "studies")
    scores = pd.read_csv(tmp_path / "out" / "studies.csv").set_index(["scored", "label"])["auroc"]
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    rows = predictions["row"].to_numpy() - 2
    frame = predictions.assign(patient=table["patient_id"].to_numpy()[rows], truth=labels[rows, 0])
    studies = frame.groupby("patient")
    truth = studies["truth"].max()
    for way, views in (("largest", studies["A"].max()), ("mean", studies["A"].mean())):
        assert scores[f"study, {way}", "A"] == pytest.approx(roc_auc_score(truth, views), abs=1e-5)
    assert scores["image", "A"] == pytest.approx(
        roc_auc_score(frame["truth"], frame["A"]), abs=1e-5
    )
    html = (tmp_path / "out" / "report.html").read_text()
    assert "16 studies, 16 of them with several images" in html
    assert "ECE, isotonic" not in html  # the run's validation rows are not those of this set


def test_wrong_usage(sets: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run is given"):
        classifiers(sets, tmp_path / "a")
    with pytest.raises(UsageError, match="given twice"):
        classifiers(sets, tmp_path / "b", "none", "none")
    (tmp_path / "link").symlink_to(sets["none"])
    with pytest.raises(UsageError, match="given twice"):
        classifiers({**sets, "link": tmp_path / "link"}, tmp_path / "b", "none", "link")
    with pytest.raises(InputError):
        classifiers(sets, tmp_path / "c", "data")


def test_images_are_measured_in_both_spaces(sets: dict[str, Path], tmp_path: Path) -> None:
    outcome = images(sets, tmp_path / "out", features=sets["none"])
    summary = outcome.result["summary"]
    spaces = [s["space"] for s in summary["spaces"]]
    assert spaces[0].startswith("small_cnn classifier")
    assert "random VGG16" in spaces[1]
    assert {c["label"] for c in summary["conditional"]} == {"A", "B"}
    assert summary["conditional"][0]["real"] > 0.8  # the teacher reads what was drawn
    assert 0 <= summary["probe_auroc"]["synthetic"] <= 1
    for space in summary["spaces"]:
        assert space["n"] == 16
        assert space["frechet"] > 0
        assert space["frechet_real"] > 0
    metrics = pd.read_csv(tmp_path / "out" / "metrics.csv")
    assert set(metrics["kernel"]) == {load_dataset(sets["data"]).info.kernel}
    assert {"n_synthetic", "n_real", "extractor"} <= set(metrics.columns)
    assert metrics["training_share"].isna().all()  # the reference has too few of each label
    html = (tmp_path / "out" / "report.html").read_text()
    assert checked(html).figures >= 4
    assert "not FIDs" in html
    assert "Variety of single labels" in html
    assert "31 (64.58%)" in html
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


def test_nearness_is_to_what_the_generator_was_trained_on(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    data = load_dataset(sets["data"])
    train = np.flatnonzero(data.column("split") == "train")
    table = load_dataset(sets["synth"]).table.drop(columns="image")
    drawn = cls_sets.draw(table[["A", "B"]].to_numpy().astype(int), np.random.default_rng(3))
    for name, seen in (("half", Seen.of(data, train[:48])), ("strange", Seen())):
        folder = cls_sets.write(tmp_path / name, table, drawn, synthetic=True)
        seen.save(runs.Run.for_test(folder))
        outcome = images({**sets, "synth": folder}, tmp_path / f"out-{name}")
        summary = outcome.result["summary"]
        told = any("nothing here says whether" in text for text in summary["cautions"])
        page = (tmp_path / f"out-{name}" / "report.md").read_text()
        if name == "half":
            assert not told
            assert "48" in page
            assert summary["nearness"]
        else:
            assert told
            assert summary["nearness"] == []
            assert "Nearness to training images" not in page


def test_image_evaluation_guards_its_reference(sets: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(GateError, match="seen by the generator"):
        images(sets, tmp_path / "a", split="train")
    with pytest.raises(GateError, match="seen by the extractor"):
        images(sets, tmp_path / "b", split="val", features=sets["none"])
    with pytest.raises(InputError, match="real rows where"):
        images({**sets, "synth": sets["data"]}, tmp_path / "c")
    table = load_dataset(sets["data"]).table.drop(columns="image")
    first = int(np.flatnonzero(table["split"] == "test")[0])
    table.loc[first, "source"] = "synthetic"
    forged = cls_sets.write(
        tmp_path / "forged", table, cls_sets.draw(np.zeros((160, 2)), np.random.default_rng(0))
    )
    with pytest.raises(GateError, match=f"row {first + 2}, column 'source'"):
        images({**sets, "data": forged}, tmp_path / "e")
    other = cls_sets.synth(tmp_path / "kernel", sets["data"], kernel="nearest")
    with pytest.raises(InputError, match="kernel nearest cannot be compared"):
        images({**sets, "synth": other}, tmp_path / "d")


@pytest.mark.slow
def test_image_options_have_effect(sets: dict[str, Path], tmp_path: Path) -> None:
    base = images(sets, tmp_path / "base").result["outputs"]["metrics.csv"]
    for k, change in enumerate(({"seed": 1}, {"splits": 3}, {"subsets": 5})):
        assert images(sets, tmp_path / str(k), **change).result["outputs"]["metrics.csv"] != base


def test_the_second_space_is_the_clip_tower_where_one_is_given(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    finetune_clip = cli.stages()["finetune-clip"]

    table = load_dataset(sets["data"]).table.drop(columns="image")
    table["report"] = "blob " + table["A"] + ", dark " + table["B"]
    pixels = cls_sets.draw(table[["A", "B"]].to_numpy().astype(int), np.random.default_rng(1))
    told = cls_sets.write(tmp_path / "told", table, pixels)
    values = {"data": told, "text": "report", "model": "tiny", "epochs": 1, "threads": 1}
    execute(finetune_clip, resolve(finetune_clip.Config, values), tmp_path / "clip")
    summary = images(sets, tmp_path / "a", clip=tmp_path / "clip").result["summary"]
    assert [s["space"].split()[0] for s in summary["spaces"]] == ["CLIP", "untrained"]
    assert summary["conditional"] == []
    without = images(sets, tmp_path / "b").result["summary"]
    assert [s["space"].split()[0] for s in without["spaces"]] == ["random", "untrained"]
    with pytest.raises(GateError, match="seen by the CLIP"):
        images(sets, tmp_path / "c", clip=tmp_path / "clip", split="val")


@pytest.mark.slow
def test_membership_is_read_from_the_discriminator(tmp_path: Path) -> None:
    from cxrtool.synthesis.generators import GeneratorCard

    train_gan = cli.stages()["train-gan"]

    data = cls_sets.real(tmp_path / "data", size=32)
    made = cls_sets.synth(tmp_path / "synth", data)
    table = load_dataset(made).table.drop(columns="image")
    pixels = np.random.default_rng(0).integers(0, 256, (len(table), 32, 32), dtype=np.uint8)
    values = {"data": data, "preset": "tiny", "kimg": 0.03, "batch": 8, "threads": 1}
    execute(train_gan, resolve(train_gan.Config, values), tmp_path / "gan")
    strange = cls_sets.write(tmp_path / "strange", table, pixels, synthetic=True)
    table["generator"] = GeneratorCard.open(tmp_path / "gan").fingerprint
    synth = cls_sets.write(tmp_path / "synth32", table, pixels, synthetic=True)
    for folder in (strange, synth):
        Seen.load(made).save(runs.Run.for_test(folder))
    with pytest.raises(InputError, match="was made by ffffffffffff"):
        images({"data": data, "synth": strange}, tmp_path / "other", gan=tmp_path / "gan")
    both = {"data": data, "synth": synth}
    summary = images(both, tmp_path / "out", gan=tmp_path / "gan").result["summary"]
    assert 0.2 < summary["membership_auroc"] < 0.8  # 30 images: it remembers none
    assert "Membership" in (tmp_path / "out" / "report.html").read_text()
    assert images(both, tmp_path / "none").result["summary"]["membership_auroc"] is None


def test_a_shard_is_not_measured_as_a_whole(sets: dict[str, Path], tmp_path: Path) -> None:
    made = cls_sets.synth(tmp_path / "synth", sets["data"])
    (made / "plan.json").write_text(json.dumps({"n_synthetic": 41}))
    with pytest.raises(InputError, match="holds 40 of the 41 images"):
        images({**sets, "synth": made}, tmp_path / "out")


# --- experiments of several seeds, folds, subgroups ---


def train(data: Path, synth: Path, arm: str, seed: int, out: Path) -> Path:
    options = {"arch": "small_cnn", "steps": 4, "batch": 8, "eval_every": 4, "threads": 1}
    values = {"data": data, "synth": (synth,), "arm": arm, "seed": seed}
    execute(train_cls, resolve(train_cls.Config, {**options, **values}), out)
    return out


@pytest.fixture(scope="module")
def experiment(sets: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two arms of five seeds."""
    root = tmp_path_factory.mktemp("experiment")
    return [
        train(sets["data"], sets["synth"], arm, seed, root / f"{arm}-{seed}")
        for arm in ("duplicate", "gan")
        for seed in range(5)
    ]


def judge(chosen: list[Path], out: Path, *data: Path, **options: Any) -> Outcome:
    values = {"runs": tuple(chosen), "data": data, "bootstrap": 100, "threads": 1, **options}
    return execute(evaluate_classifiers, resolve(evaluate_classifiers.Config, values), out)


def test_five_seeds_have_a_verdict_and_everything_is_on_the_page(
    sets: dict[str, Path], experiment: list[Path], tmp_path: Path
) -> None:
    images(sets, tmp_path / "images", features=sets["none"])
    outcome = judge(
        experiment, tmp_path / "out", sets["data"],
        by="sex,age", synth=sets["synth"], image_report=(tmp_path / "images",), max_ece=0.0001,
        require_evidence=True,
    )  # fmt: skip
    summary = outcome.result["summary"]
    first, numbers = summary["answer"].split("). ", 1)
    assert re.fullmatch(
        r"(No e|E)vidence that the synthetic images .* \(10 runs, 32 test .*", first
    )
    assert re.match(r"gan minus duplicate, mean AUROC: .*, p .*: (no )?evidence", numbers)
    assert sum("above --max-ece 0.0001" in gate for gate in outcome.gates) == 10
    html = (tmp_path / "out" / "report.html").read_text()
    checked(html)
    for word in (
        "Class activation maps", "Learning curves", "Calibration", "Subgroups", "sex F",
        "Fidelity and privacy", "DeLong p", "sensitivity at 90 %", "ffffffffffff",
    ):  # fmt: skip
        assert word in html, word
    markdown = (tmp_path / "out" / "report.md").read_text()
    assert f"**{first}).**" in markdown
    assert numbers.split(":")[0] in markdown
    about = "All seeds share this synthetic set: the verdict says nothing of others, nor of the"
    for place in (summary["answer"], html, markdown):
        assert about in place
    assert "evidence (about this synthetic set)" in summary["answer"]
    blind = "or more would be found with 80 % power"
    assert (blind in summary["answer"]) == ("no evidence" in summary["answer"])
    assert "interval and p corrected for 3 comparisons" not in summary["answer"], "one primary"
    assert "Blobs \\<test\\>" in markdown
    assert "<secret>" not in markdown
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())
    one = next(d for d in record["differences"] if d["row"] == "A" and d["metric"] == "auroc")
    assert one["delong_low"] < one["value"] < one["delong_high"]
    assert one["detectable"] > (one["high"] - one["low"]) / 2
    assert (one["about"], one["over"]) == ("this synthetic set", "")
    assert {row["subgroup"] for row in record["subgroups"]} >= {"sex M"}
    table = pd.read_csv(tmp_path / "out" / "subgroups.csv")
    rows = table[(table["subgroup"] == "sex M") & (table["group"] == "gan")].set_index("label")
    data = load_dataset(sets["data"])
    test = np.flatnonzero((data.column("split") == "test") & (data.column("sex") == "M"))
    assert rows.loc["A", "positives"] == (data.column("A", test) == "1").sum()
    assert rows.loc["A", "prevalence"] == pytest.approx((data.column("A", test) == "1").mean())
    assert 0 <= rows.loc["A", "ece"] <= 1
    assert {"sensitivity", "brier", "brier_low"} <= set(table.columns)
    between = pd.read_csv(tmp_path / "out" / "subgroup_differences.csv")
    assert "sex M" in set(between["subgroup"])
    assert len(record["subgroup_differences"]) == len(between)
    metrics = pd.read_csv(tmp_path / "out" / "metrics.csv")
    assert {"sensitivity", "brier", "ece"} <= set(metrics.columns)


def test_a_generator_a_seed_lets_the_verdict_speak_of_the_method(
    sets: dict[str, Path], experiment: list[Path], tmp_path: Path
) -> None:
    """Beside a set for some seeds and another for others, and controls of other sets."""
    control, gan = experiment[:5], experiment[5:]
    own: dict[str, list[Path]] = {"duplicate": [], "gan": []}
    for seed in range(5):
        made = cls_sets.synth(tmp_path / f"s{seed}", sets["data"], seed=seed, generator=f"g{seed}")
        for arm, folders in own.items():
            folders.append(train(sets["data"], made, arm, seed, tmp_path / f"{arm}-{seed}"))

    def summary_of(chosen: list[Path], name: str) -> Any:
        return judge(chosen, tmp_path / name, sets["data"]).result["summary"]

    found = summary_of([*own["duplicate"], *own["gan"]], "own")
    for place in (found["answer"], (tmp_path / "own" / "report.md").read_text()):
        assert "gan minus duplicate" in place
        assert "(about the method, 5 generators)" in place
        assert "set of its own: the verdict is about the method (5 generators)." in place
    assert {name.split(",")[0] for name in found["mean_auroc"]} == {"gan", "duplicate"}
    mixed = [*own["gan"][:2], *gan[2:], *own["duplicate"][:2], *control[2:]]
    found = summary_of(mixed, "mixed")
    assert "(about these synthetic sets, 3 over 5 seeds)" in found["answer"]
    assert "5 seeds have 3 synthetic sets between them" in found["answer"]
    found = summary_of([*own["gan"], *control], "other")
    assert any("have other synthetic sets in the seeds" in text for text in found["cautions"])


def test_another_synthetic_set_than_that_of_the_runs_is_refused(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    other = cls_sets.synth(tmp_path / "other", sets["data"], seed=8)
    with pytest.raises(InputError, match="the runs were trained on"):
        judge([sets["gan"]], tmp_path / "a", sets["data"], synth=other)
    images({**sets, "synth": other}, tmp_path / "images")
    with pytest.raises(InputError, match="the runs were trained on"):
        judge([sets["gan"]], tmp_path / "b", sets["data"], image_report=(tmp_path / "images",))
    (other / "plan.json").write_text(json.dumps({"n_synthetic": 41}))
    with pytest.raises(InputError, match="holds 40 of the 41"):
        judge([sets["none"]], tmp_path / "c", sets["data"], synth=other)


def test_synthetic_sets_go_by_the_names_that_they_are_given(
    sets: dict[str, Path], experiment: list[Path], tmp_path: Path
) -> None:
    other = cls_sets.synth(tmp_path / "other", sets["data"], seed=8)
    options = {"arch": "small_cnn", "steps": 4, "batch": 8, "eval_every": 4, "threads": 1}
    both = [experiment[5], tmp_path / "gan"]
    values = {"data": sets["data"], "synth": (other,), "arm": "gan", "seed": 0}
    execute(train_cls, resolve(train_cls.Config, {**options, **values}), both[1])
    digest = load_dataset(other).info.digest
    plain = judge(both, tmp_path / "a", sets["data"]).result["summary"]["mean_auroc"]
    assert any(f"gan (synthetic set {digest[:8]})" in name for name in plain)
    names = (f"{sets['synth']}=as asked", f"{digest[:12]}=rules+")
    named = judge(both, tmp_path / "b", sets["data"], set_name=names).result["summary"]
    assert [name.split(",")[0] for name in named["mean_auroc"]] == [
        "gan (as asked)",
        "gan (rules+)",
    ]
    assert list(named["mean_auroc"].values()) == list(plain.values())
    html = (tmp_path / "b" / "report.html").read_text()
    assert "gan (rules+)" in html
    with pytest.raises(InputError, match="no run was trained on the synthetic set abcdef01"):
        judge(both, tmp_path / "c", sets["data"], set_name=("abcdef0123=x",))
    with pytest.raises(InputError, match="two synthetic sets of seed 0 are called x"):
        judge(both, tmp_path / "c", sets["data"], set_name=(f"{other}=x", f"{sets['synth']}=x"))
    with pytest.raises(InputError, match="is called x and y"):
        judge(both, tmp_path / "c", sets["data"], set_name=(f"{other}=x", f"{other}=y"))
    with pytest.raises(InputError):
        judge(both, tmp_path / "c", sets["data"], set_name=(f"{tmp_path}/no=x",))
    with pytest.raises(UsageError, match="write SYNTH=NAME"):
        judge(both, tmp_path / "c", sets["data"], set_name=(f"{other}=",))


def test_folds_are_pooled_and_must_not_share_patients(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    table = load_dataset(sets["data"]).table.drop(columns="image")
    pixels = cls_sets.draw(table[["A", "B"]].to_numpy().astype(int), np.random.default_rng(1))
    number = table["patient_id"].str[-4:].astype(int) % 5
    folds, chosen = [], []
    for k in range(2):
        parts = {k: "test", (k + 2) % 5: "val"}
        table["split"] = number.map(lambda n, parts=parts: parts.get(n, "train"))
        folds.append(cls_sets.write(tmp_path / f"fold{k}", table, pixels))
        for seed in range(2):
            options = {"arch": "small_cnn", "steps": 3, "batch": 8, "threads": 1, "seed": seed}
            config = resolve(train_cls.Config, {**options, "data": folds[k]})
            chosen.append(tmp_path / f"cls-{k}-{seed}")
            execute(train_cls, config, chosen[-1])
    summary = judge(chosen, tmp_path / "out", *folds).result["summary"]
    assert summary["images"] == 64
    assert list(summary["mean_auroc"]) == ["none, seed 0", "none, seed 1"]
    predictions = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert predictions.groupby(["run", "fold"]).size().tolist() == [32] * 4
    with pytest.raises(InputError, match="has runs in 1 of 2 folds"):
        judge(chosen[:3], tmp_path / "b", *folds)
    with pytest.raises(InputError, match="trained on none of the folds"):
        judge([*chosen, sets["none"]], tmp_path / "c", *folds)
    table["split"] = number.map({0: "test", 2: "val"}).fillna("train")
    twin = cls_sets.write(tmp_path / "twin", table.assign(report="other"), pixels)
    config = resolve(train_cls.Config, {**options, "data": twin})
    execute(train_cls, config, tmp_path / "cls-twin")
    with pytest.raises(GateError, match="the test rows of the fold"):
        judge([*chosen, tmp_path / "cls-twin"], tmp_path / "d", *folds, twin)


def test_a_generator_with_more_patients_is_in_the_headline_or_refused(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    options = {"arch": "small_cnn", "steps": 2, "batch": 8, "threads": 1, "fraction": 0.5}
    values = {**options, "data": sets["data"], "synth": (sets["synth"],)}
    execute(train_cls, resolve(train_cls.Config, values), tmp_path / "half")
    summary = judge([tmp_path / "half"], tmp_path / "out", sets["data"]).result["summary"]
    assert "Not a fair comparison: the generator behind arm gan saw up to 24" in summary["answer"]
    with pytest.raises(GateError, match="trained on 24 patients") as caught:
        judge([tmp_path / "half"], tmp_path / "b", sets["data"], strict_regimen=True)
    assert caught.value.exit_code == 5
    fair = judge([sets["gan"]], tmp_path / "c", sets["data"], strict_regimen=True)
    assert "Not a fair" not in fair.result["summary"]["answer"]


def test_a_start_with_more_patients_is_in_the_headline_or_refused(
    sets: dict[str, Path], tmp_path: Path
) -> None:
    options = {"arch": "small_cnn", "steps": 2, "batch": 8, "threads": 1, "fraction": 0.5}
    values = {**options, "data": sets["data"], "init_from": sets["none"]}
    execute(train_cls, resolve(train_cls.Config, values), tmp_path / "half")
    summary = judge([tmp_path / "half"], tmp_path / "out", sets["data"]).result["summary"]
    assert "Not a fair comparison: the start of arm none saw up to 24" in summary["answer"]
    with pytest.raises(GateError, match=r"the start of .* was trained on 24 patients"):
        judge([tmp_path / "half"], tmp_path / "b", sets["data"], strict_regimen=True)


def test_labels_of_an_external_set_are_mapped(sets: dict[str, Path], tmp_path: Path) -> None:
    other = cls_sets.real(tmp_path / "other", seed=5, namespace="elsewhere")
    table = load_dataset(other).table.drop(columns="image").rename(columns={"A": "Alpha"})
    pixels = cls_sets.draw(table[["Alpha", "B"]].to_numpy().astype(int), np.random.default_rng(2))
    info: dict[str, Any] = {"labels": ("Alpha", "B", "C"), "namespace": "elsewhere"}
    other = cls_sets.write(tmp_path / "renamed", table, pixels, **info)
    names = tmp_path / "map.toml"
    names.write_text('[labels]\n"Alpha" = "A"\n')
    plain = judge([sets["none"]], tmp_path / "a", other, split="all").result["summary"]
    mapped = judge(
        [sets["none"]], tmp_path / "b", other, split="all", map_labels=str(names)
    ).result["summary"]
    assert (plain["labels"], mapped["labels"]) == (["B"], ["A", "B"])
    names.write_text('[labels]\n"Nothing" = "A"\n')
    with pytest.raises(InputError, match="names no label of the data set"):
        judge([sets["none"]], tmp_path / "c", other, split="all", map_labels=str(names))
    names.write_text('[labels]\n"Alpha" = "B"\n')
    with pytest.raises(InputError, match="several labels the name B"):
        judge([sets["none"]], tmp_path / "d", other, split="all", map_labels=str(names))


def test_a_run_edited_by_hand_is_refused(sets: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(sets["none"], copy)
    file = copy / "predictions.csv"
    file.write_text(file.read_text().replace("0.", "0.9", 1))
    with pytest.raises(InputError, match=r"predictions\.csv.* since the run"):
        judge([copy], tmp_path / "out", sets["data"])


def test_nan_constant_and_one_patient(sets: dict[str, Path], tmp_path: Path) -> None:
    from unittest import mock

    import torch

    from cxrtool.classifiers.architectures import ClassifierNet

    def broken(value: float) -> Any:
        return mock.patch.object(
            ClassifierNet, "logits", lambda self, x: torch.full((len(x), 2), value)
        )

    with broken(float("nan")), pytest.raises(InputError, match="predicts NaN or infinity for 32"):
        judge([sets["none"]], tmp_path / "a", sets["data"])
    with mock.patch.object(page, "activation_panels", return_value=[]), broken(0.0):
        summary = judge([sets["none"]], tmp_path / "b", sets["data"]).result["summary"]
    assert summary["mean_auroc"]["none, seed 0"] == 0.5
    assert "The same prediction for every image in A, B by run 1." in summary["cautions"]

    table = load_dataset(cls_sets.real(tmp_path / "all", n=20, seed=9)).table
    table = table.drop(columns="image").assign(patient_id="alone", split="test")
    pixels = cls_sets.draw(table[["A", "B"]].to_numpy().astype(int), np.random.default_rng(2))
    alone = cls_sets.write(tmp_path / "alone", table, pixels, namespace="elsewhere")
    both = judge([sets["none"], sets["gan"]], tmp_path / "c", alone).result["summary"]
    assert "one patient" in both["cautions"][1]
    assert "(no interval)" in both["answer"]
