"""Label metrics against numbers worked out by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from cxrtool.core.errors import InputError
from cxrtool.stats.labels import Joined, disagreements, join, overall, score


def frame(**columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(columns, dtype=object)


def joined(ours: list[str], theirs: list[str]) -> Joined:
    ids = [str(i) for i in range(len(ours))]
    return join(
        frame(study_id=ids, Edema=ours),
        frame(uid=ids, Edema=theirs),
        ["Edema"],
        predicted_key="study_id",
        key="uid",
        predicted_file="p.csv",
        reference_file="r.csv",
    )


OURS = ["1", "1", "0", "-1", "", "1", "-1", ""]
THEIRS = ["1", "0", "1", "1", "1", "", "", ""]


@pytest.mark.parametrize(
    ("uncertain_as", "blank", "counts"),
    [
        ("0", "skip", (5, 1, 1, 3, 0)),
        ("1", "skip", (5, 2, 1, 2, 0)),
        ("0", "zero", (8, 1, 2, 3, 2)),
        ("1", "zero", (8, 2, 3, 2, 1)),
    ],
)
def test_counts(uncertain_as: str, blank: str, counts: tuple[int, ...]) -> None:
    (s,) = score(joined(OURS, THEIRS), uncertain_as=uncertain_as, blank=blank)
    assert (s.n, s.tp, s.fp, s.fn, s.tn) == counts
    assert s.f1 == pytest.approx(2 * s.tp / (2 * s.tp + s.fp + s.fn))
    assert s.precision == pytest.approx(s.tp / (s.tp + s.fp))
    assert s.recall == pytest.approx(s.tp / (s.tp + s.fn))


def test_blanks_of_the_prediction_can_be_negative_where_those_of_the_reference_are_left_out() -> (
    None
):
    both = joined(["", "", "0", "1"], ["0", "", "0", "1"])
    (skip,) = score(both, uncertain_as="0", blank="skip", of="negative")
    (zero,) = score(both, uncertain_as="0", blank="zero-pred", of="negative")
    assert (skip.n, skip.tp, skip.fn) == (3, 1, 1)
    assert (zero.n, zero.tp, zero.fn) == (3, 2, 0)


def test_a_question_mark_is_not_scored_on_either_side() -> None:
    both = joined(["1", "?", "1", " ? ", ""], ["1", "1", "?", "?", "0"])
    for blank in ("skip", "zero", "zero-pred"):
        (s,) = score(both, uncertain_as="0", blank=blank)
        assert (s.n, s.tp, s.fp, s.fn, s.tn) == (2, 1, 0, 0, 1)
    assert both.unscored() == {"Edema": 3}
    assert disagreements(both, uncertain_as="0", blank="skip").empty
    with pytest.raises(InputError, match=r"'\?\?' is not 1, 0, -1"):
        joined(["??"], ["1"])


def test_uncertain_reference_follows_the_same_reading() -> None:
    (zeros,) = score(joined(["1"], ["-1"]), uncertain_as="0", blank="skip")
    (ones,) = score(joined(["1"], ["-1"]), uncertain_as="1", blank="skip")
    assert (zeros.fp, zeros.tp) == (1, 0)
    assert (ones.fp, ones.tp) == (0, 1)


def test_macro_leaves_out_what_is_undefined() -> None:
    ids = ["a", "b"]
    found = join(
        frame(study_id=ids, A=["1", "0"], B=["0", ""], C=["1", "1"]),
        frame(study_id=ids, A=["1", "0"], B=["0", "0"], C=["1", "0"]),
        ["A", "B", "C"],
        predicted_key="study_id",
        key="study_id",
        predicted_file="p",
        reference_file="r",
    )
    scores = score(found, uncertain_as="0", blank="skip")
    assert math.isnan(scores[1].f1)
    assert math.isnan(scores[1].precision)
    total = overall(scores)
    assert total["undefined"] == ["B"]
    assert total["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)
    assert total["micro_f1"] == pytest.approx(4 / 5)


def test_a_missed_class_pulls_the_macro_down() -> None:
    scores = score(joined(["0", "0"], ["1", "0"]), uncertain_as="0", blank="skip")
    assert overall(scores)["macro_f1"] == 0.0


def test_disagreements_name_side_and_evidence() -> None:
    found = disagreements(
        joined(OURS, THEIRS), uncertain_as="0", blank="skip", evidence={("1", "Edema"): "why"}
    )
    assert found["key"].tolist() == ["1", "2", "3", "4"]
    assert found["kind"].tolist() == ["false positive"] + ["false negative"] * 3
    assert found["evidence"].tolist() == ["why", "", "", ""]


def test_floats_of_chexpert_tables_are_read() -> None:
    (s,) = score(joined(["1.0", "-1.0"], ["1", "0.0"]), uncertain_as="0", blank="skip")
    assert (s.tp, s.tn) == (1, 1)


def attempt(ours: pd.DataFrame, theirs: pd.DataFrame, **keys: str) -> Joined:
    names = {"predicted_key": "study_id", "key": "study_id", **keys}
    return join(ours, theirs, ["A"], predicted_file="p.csv", reference_file="r.csv", **names)


def test_keys_are_text_and_rows_follow_the_reference() -> None:
    found = attempt(
        frame(study_id=["007", "NA", "x"], A=["1", "0", "1"]),
        frame(study_id=["y", "NA", "007", "7"], A=["1", "0", "1", "1"]),
    )
    assert found.keys == ["NA", "007"]
    assert found.only_reference == ["y", "7"]
    assert found.only_predicted == 1


def test_images_of_one_study_count_once() -> None:
    two = frame(study_id=["a", "a"], A=["1", "1"])
    assert attempt(two, frame(study_id=["a"], A=["1"])).keys == ["a"]
    assert attempt(frame(study_id=["a"], A=["1"]), two).keys == ["a"]
    with pytest.raises(InputError, match="twice with different labels") as caught:
        attempt(frame(study_id=["a", "a"], A=["1", "0"]), frame(study_id=["a"], A=["1"]))
    assert caught.value.row == 3


@pytest.mark.parametrize(
    ("theirs", "row", "column", "message"),
    [
        (frame(study_id=["a", "a"], A=["1", "0"]), 3, "study_id", "occurs twice"),
        (frame(study_id=["a", "b"], A=["1", "oui"]), 3, "A", "'oui' is not 1, 0, -1 or blank"),
        (frame(other=["a"], A=["1"]), 1, "study_id", "missing"),
        (frame(study_id=["z"], A=["1"]), None, None, "no key"),
    ],
)
def test_bad_references(
    theirs: pd.DataFrame, row: int | None, column: str | None, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        attempt(frame(study_id=["a"], A=["1"]), theirs)
    assert (caught.value.row, caught.value.column) == (row, column)
