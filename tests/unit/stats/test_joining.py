"""Runs are compared only where they were asked the same question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cxrtool.core.errors import InputError
from cxrtool.data.manifest import Dataset, DatasetInfo
from cxrtool.stats import joining
from cxrtool.stats.scope import Origin


def dataset(labels: tuple[str, ...], covered: tuple[bool, ...] | None = None) -> Dataset:
    info = DatasetInfo(
        labels=labels,
        covered=covered or (True,) * len(labels),
        size=64,
        fit="crop",
        kernel="k",
        namespace="n",
        patients=True,
        source="s",
    )
    return Dataset(Path("data"), info, pd.DataFrame())


def described(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "policy": {"uncertain": "ones", "blank": "zeros"},
        "selection": {"view": "frontal"},
        "preprocessing": {"native_size": 64, "fit": "crop", "kernel": "k"},
    }
    return {**base, **changes}


def test_labels_join_by_name_across_spellings() -> None:
    data = dataset(("Edema", "Effusion", "Hernia"))
    labels, left_out = joining.common_labels(
        ["r1", "r2"], [("Pleural Effusion", "Edema"), ("Edema", "Effusion", "Mass")], data
    )
    assert labels == ("Edema", "Effusion")
    assert left_out == ["Mass is left out: the data set does not have it."]
    assert joining.positions(("Pleural Effusion", "Edema"), labels) == [1, 0]


def test_labels_that_one_run_lacks_are_named() -> None:
    labels, left_out = joining.common_labels(
        ["r1", "r2"], [("A", "B"), ("A",)], dataset(("A", "B"))
    )
    assert labels == ("A",)
    assert left_out == ["B is left out: not predicted by r2."]


def test_labels_left_out_for_one_reason_are_one_sentence() -> None:
    runs = [("A", "B", "C", "X", "Y"), ("A", "X", "Y")]
    _, left_out = joining.common_labels(["r1", "r2"], runs, dataset(("A", "B", "C")))
    assert left_out == [
        "B, C are left out: not predicted by r2.",
        "X, Y are left out: the data set does not have them.",
    ]


def test_disjoint_labels_are_refused_with_all_names() -> None:
    with pytest.raises(InputError, match="no label is common") as caught:
        joining.common_labels(["r1"], [("A",)], dataset(("B",)))
    assert "r1: A" in str(caught.value.hint)


def test_policies_and_views_must_agree() -> None:
    other = described(policy={"uncertain": "zeros", "blank": "zeros"})
    with pytest.raises(InputError, match=r"r1 and r2 .* --uncertain ones against zeros"):
        joining.common_policy(["r1", "r2"], [described(), other])
    lateral = described(selection={"view": "lateral"})
    with pytest.raises(InputError, match="--view frontal and r2 with --view lateral"):
        joining.common_view(["r1", "r2"], [described(), lateral])
    assert joining.common_view(["r1"], [lateral]) == "lateral"


@pytest.mark.parametrize(("key", "word"), [("native_size", "size"), ("fit", "fit")])
def test_pixels_must_be_made_alike(key: str, word: str) -> None:
    made = {**described()["preprocessing"], key: "other"}
    with pytest.raises(InputError, match=f"with {word} other"):
        joining.refuse_other_pixels("r1", described(preprocessing=made), dataset(("A",)))
    joining.refuse_other_pixels("r1", described(), dataset(("A",)))


def trained(arm: str, data: str, synth: str = "", seed: int = 0, **more: Any) -> dict[str, Any]:
    recipe = {"arm": arm, "seed": seed, "data": data, "fraction": 1.0, **more}
    return {"recipe": recipe, "sources": [{"digest": synth}] if synth else []}


def folds_of(*runs: tuple[int, ...]) -> list[joining.Fold]:
    return [joining.Fold(dataset(("A",)), np.arange(3), own) for own in runs]


def test_each_fold_has_a_set_of_its_own_and_they_are_one_arm() -> None:
    described = [
        trained(arm, fold, f"{fold}-{fraction}", seed, fraction=fraction)
        for fold in ("one", "two")
        for fraction in (0.5, 1.0)
        for arm in ("duplicate", "gan")
        for seed in (0, 1)
    ]
    pooled = joining.pooled_recipes(folds_of(tuple(range(8)), tuple(range(8, 16))), described, {})
    assert [members for _, members in pooled] == [[k, k + 8] for k in range(8)]
    assert {recipe["synth"] for recipe, _ in pooled} == {"1"}


def test_two_sets_in_each_fold_are_two_arms() -> None:
    described = [
        trained("gan", "one", "a"), trained("duplicate", "one", "b"), trained("gan", "one", "b"),
        trained("gan", "two", "c"), trained("gan", "two", "d"), trained("duplicate", "two", "d"),
    ]  # fmt: skip
    pooled = joining.pooled_recipes(folds_of((0, 1, 2), (3, 4, 5)), described, {})
    assert [(r["arm"], r["synth"], m) for r, m in pooled] == [
        ("gan", "1", [0, 3]), ("duplicate", "2", [1, 5]), ("gan", "2", [2, 4]),
    ]  # fmt: skip


@pytest.mark.parametrize("backwards", [False, True])
def test_a_set_a_seed_in_each_fold_is_one_arm(backwards: bool) -> None:
    """In whatever order the runs of a fold are given."""
    described = [
        trained(arm, fold, f"{fold}-{seed}", seed)
        for fold in ("one", "two")
        for arm in ("duplicate", "gan")
        for seed in ((1, 0) if backwards and fold == "two" else (0, 1))
    ]
    pooled = joining.pooled_recipes(folds_of((0, 1, 2, 3), (4, 5, 6, 7)), described, {})
    assert {recipe["synth"] for recipe, _ in pooled} == {"1"}
    assert len(pooled) == 4
    for recipe, members in pooled:
        origin = joining.origin_of([described[k] for k in members], {})
        assert origin.sets == (f"one-{recipe['seed']}"[:8], f"two-{recipe['seed']}"[:8])


def test_one_name_is_for_one_set_a_seed() -> None:
    described = [trained("gan", "one", s, seed) for seed, s in enumerate("abc")]
    names = dict.fromkeys("abc", "flow")
    joining.refuse_names(names, folds_of((0, 1, 2)), described)
    pooled = joining.pooled_recipes(folds_of((0, 1, 2)), described, names)
    assert {recipe["synth"] for recipe, _ in pooled} == {"flow"}
    found = [joining.origin_of([description], names) for description in described]
    assert [(origin.sets, origin.name) for origin in found] == [((s,), "flow") for s in "abc"]


def test_generators_are_told_where_every_set_names_its_own() -> None:
    run = trained("gan", "one", "a")
    run["sources"] = [
        {"digest": "a", "generators": ["g", "h"]},
        {"digest": "b", "generators": ["g"]},
    ]
    assert joining.origin_of([run, run], {}).generators == ("g", "h")
    run["sources"].append({"digest": "c", "generators": []})
    assert joining.origin_of([run], {}).generators == ()
    assert joining.origin_of([trained("none", "one")], {}) == Origin()


def test_named_sets_go_by_their_names() -> None:
    described = [
        trained("gan", "one", "a"), trained("gan", "one", "b"),
        trained("gan", "two", "c"), trained("gan", "two", "d"), trained("none", "two"),
    ]  # fmt: skip
    one = joining.pooled_recipes(folds_of((0, 1)), described[:2], {"b": "large"})
    assert [r["synth"] for r, _ in one] == ["a", "large"]
    names = {"a": "small", "b": "large", "c": "large", "d": "small"}
    two = joining.pooled_recipes(folds_of((0, 1), (2, 3)), described, names)
    assert [(r["synth"], m) for r, m in two] == [("small", [0, 3]), ("large", [1, 2])]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"x": "small"}, "no run was trained on the synthetic set x"),
        (
            {"a": "small", "b": "small", "c": "x", "d": "y"},
            "two synthetic sets of seed 0 are called small",
        ),
        ({"a": "small", "b": "large", "c": "small"}, "the synthetic set d has no name"),
    ],
)
def test_names_that_would_mislead(names: dict[str, str], said: str) -> None:
    described = [trained("gan", fold, s) for fold, s in zip("1122", "abcd", strict=True)]
    with pytest.raises(InputError, match=said):
        joining.refuse_names(names, folds_of((0, 1), (2, 3)), described)
    joining.refuse_names({"a": "small"}, folds_of((0, 1, 2, 3)), described)
    halves = [trained("gan", "one", s, fraction=f) for s, f in (("a", 0.5), ("b", 1.0))]
    joining.refuse_names({"a": "small", "b": "small"}, folds_of((0, 1)), halves)


def test_what_a_run_was_made_from_tells_it_from_others() -> None:
    described = [trained("gan", "one", "a"), trained("gan", "one", "b", seed=1)]
    described[1]["start_digest"] = "1234"
    pooled = joining.pooled_recipes(folds_of((0, 1)), described, {})
    assert [(r["synth"], r["start"]) for r, _ in pooled] == [("a", ""), ("b", "1234")]
