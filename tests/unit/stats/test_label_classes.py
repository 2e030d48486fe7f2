"""Every class and reading against scikit-learn, and intervals against resampling by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import precision_recall_fscore_support

from cxrtool.stats.intervals import percentile_interval, resample_weights
from cxrtool.stats.label_classes import MACRO, MICRO, VIEWS, View, groups, intervals, table
from cxrtool.stats.labels import METRICS, Joined, join, score

NAMES = ("A", "B", "C")


def random_tables(n: int = 400, seed: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    theirs = rng.choice(["1", "0", "-1", ""], size=(n, 3), p=[0.3, 0.4, 0.1, 0.2]).astype(object)
    other = rng.choice(["1", "0", "-1", ""], size=(n, 3)).astype(object)
    ours = np.where(rng.random((n, 3)) < 0.7, theirs, other)
    ids = [f"r{i}" for i in range(n)]
    patients = [f"p{i // 3}" for i in range(n)]
    return (
        pd.DataFrame(ours, columns=NAMES).assign(study_id=ids, patient_id=patients),
        pd.DataFrame(theirs, columns=NAMES).assign(uid=ids),
    )


def joined(ours: pd.DataFrame, theirs: pd.DataFrame) -> Joined:
    return join(
        ours,
        theirs,
        NAMES,
        predicted_key="study_id",
        key="uid",
        predicted_file="p.csv",
        reference_file="r.csv",
    )


def as_sklearn(cells: pd.Series, view: View, blank: str) -> np.ndarray:
    """The class of a view as 0 and 1, by replacing cells as the documentation says."""
    cells = cells.replace({"": "0"}) if blank == "zero" else cells
    if view.of == "uncertain":
        return np.asarray(cells == "-1", int)
    read = cells.replace({"-1": view.uncertain_as})
    return np.asarray(read == {"positive": "1", "negative": "0"}[view.of], int)


@pytest.mark.parametrize("blank", ["skip", "zero"])
@pytest.mark.parametrize("view", VIEWS)
def test_scores_are_those_of_scikit_learn(view: View, blank: str) -> None:
    ours, theirs = random_tables()
    both = joined(ours, theirs)
    found = score(both, uncertain_as=view.uncertain_as, blank=blank, of=view.of)
    truth, called, kept = [], [], []
    for k, name in enumerate(NAMES):
        known = theirs[name] != "" if blank == "skip" else theirs[name] == theirs[name]
        y = as_sklearn(theirs[name][known], view, blank)
        p = as_sklearn(ours[name][known], view, blank)
        want = precision_recall_fscore_support(y, p, average="binary")[:3]
        assert [getattr(found[k], m) for m in METRICS] == pytest.approx(list(want))
        assert (found[k].n, found[k].support) == (int(known.sum()), int(y.sum()))
        truth.append(y)
        called.append(p)
        kept.append(want)
    rows = table(both, blank=blank, intervals={v: {} for v in VIEWS})
    mine = rows[(rows["class"] == view.of) & (rows["uncertain_as"] == view.uncertain_as)]
    mine = mine.set_index("observation")
    micro = precision_recall_fscore_support(
        np.concatenate(truth), np.concatenate(called), average="binary"
    )[:3]
    assert mine.loc[MICRO, list(METRICS)].tolist() == pytest.approx(list(micro))
    macro = np.mean(kept, axis=0)
    assert mine.loc[MACRO, list(METRICS)].tolist() == pytest.approx(list(macro))
    assert mine.loc[MACRO, "support"] == sum(y.sum() for y in truth)


def test_intervals_are_those_of_resampled_patients() -> None:
    ours, theirs = random_tables(90)
    both = joined(ours, theirs)
    codes, what = groups(both, ours, theirs, predicted_key="study_id", key="uid")
    assert (what, int(codes.max()) + 1) == ("patients", 30)
    found = intervals(both, blank="skip", codes=codes, resamples=120, seed=7)
    (weights,) = resample_weights(np.arange(30), 120, np.random.default_rng(7))
    view = View("positive", "1")
    known = (theirs["B"] != "").to_numpy()
    y, p = (as_sklearn(t["B"], view, "skip") for t in (theirs, ours))
    drawn = [
        precision_recall_fscore_support(
            y[known], p[known], average="binary", sample_weight=w[codes][known]
        )[:3]
        for w in weights
    ]
    for k, metric in enumerate(METRICS):
        want = percentile_interval(np.array(drawn)[:, k])
        assert found[view]["B", metric] == pytest.approx(want)
    low, high = found[view][MACRO, "f1"]
    assert low < np.mean([s.f1 for s in score(both, uncertain_as="1", blank="skip")]) < high
    again = intervals(both, blank="skip", codes=codes, resamples=120, seed=7)
    assert again == found
    assert intervals(both, blank="skip", codes=codes, resamples=120, seed=8) != found


def test_patients_widen_what_reports_would_hide() -> None:
    ours, theirs = random_tables(60)
    many_ours = pd.concat([ours.assign(study_id=ours["study_id"] + f"-{i}") for i in range(9)])
    many_theirs = pd.concat([theirs.assign(uid=theirs["uid"] + f"-{i}") for i in range(9)])
    many_ours["patient_id"] = [key.split("-")[0] for key in many_ours["study_id"]]
    both = joined(many_ours.reset_index(drop=True), many_theirs.reset_index(drop=True))
    codes, what = groups(both, many_ours, many_theirs, predicted_key="study_id", key="uid")
    assert (what, int(codes.max())) == ("patients", 59)
    view = View("positive", "0")

    def width(codes: np.ndarray) -> float:
        found = intervals(both, blank="skip", codes=codes, resamples=300, seed=0)
        low, high = found[view][MICRO, "f1"]
        return high - low

    assert width(codes) > 2 * width(np.arange(len(both.keys)))


def test_groups_come_from_either_table_or_are_the_reports() -> None:
    ours, theirs = random_tables(6)
    both = joined(ours, theirs)
    keys = {"predicted_key": "study_id", "key": "uid"}
    blank = ours.assign(patient_id="")
    codes, what = groups(both, blank, theirs.assign(patient_id=list("aabbcc")), **keys)
    assert (codes.tolist(), what) == ([0, 0, 1, 1, 2, 2], "patients")
    codes, what = groups(both, blank, theirs, **keys)
    assert (codes.tolist(), what) == (list(range(6)), "reports")
    some = ours.assign(patient_id=["x", "", "x", "", "", "y"])
    assert groups(both, some, theirs, **keys)[0].tolist() == [0, 1, 0, 2, 3, 4]


def test_what_is_not_there_has_no_score_and_no_interval() -> None:
    ours = pd.DataFrame({"study_id": ["a", "b"], "A": ["1", "0"]}, dtype=object)
    theirs = pd.DataFrame({"study_id": ["a", "b"], "A": ["1", "0"]}, dtype=object)
    both = join(
        ours,
        theirs,
        ["A"],
        predicted_key="study_id",
        key="study_id",
        predicted_file="p",
        reference_file="r",
    )
    found = intervals(both, blank="skip", codes=np.arange(2), resamples=100, seed=0)
    rows = table(both, blank="skip", intervals=found)
    unsure = rows[rows["class"] == "uncertain"]
    assert unsure["f1"].isna().all()
    assert unsure["f1_low"].isna().all()
    assert all(math.isnan(low) for low, _ in found[View("uncertain", "")].values())
    assert intervals(both, blank="skip", codes=np.arange(2), resamples=0, seed=0) == {
        view: {} for view in VIEWS
    }
