"""The page of classifiers: its intervals are those of the CLIP page, and it says so."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

from cxrtool.pages import classifier_tables, classifiers, render
from cxrtool.pages.classifier_words import rare_classes
from cxrtool.stats.calibration import label_errors
from cxrtool.stats.classifier_results import Evaluation, Subgroup
from cxrtool.stats.comparison import compare, group_score, score_runs
from cxrtool.stats.groups import group_runs
from cxrtool.stats.intervals import percentile_interval
from cxrtool.stats.wording import intervals_cover, with_interval

N, LABELS = 300, ("A", "B & <C>")


def evaluation(
    seeds: int,
    *,
    patients_known: bool = True,
    arms: Sequence[tuple[str, float]] = (("gan", 2.0), ("duplicate", 1.0)),
    regimens: Sequence[float] = (1.0,),
) -> Evaluation:
    """Arms that read so well; by default gan reads better, and its runs differ much by seed.

    An arm may name its synthetic set: "gan/one".
    """
    rng = np.random.default_rng(0)
    truth = (rng.random((N, 2)) < 0.3).astype(float)
    mask, codes = np.ones((N, 2), bool), np.arange(N) // 2
    scores, recipes = [], []
    for (arm, shift), fraction in product(arms, regimens):
        for seed in range(seeds):
            logits = (shift + 0.5 * rng.normal()) * truth + rng.normal(size=(N, 2)) - 1
            scores.append(1 / (1 + np.exp(-logits)))
            name, _, synth = arm.partition("/")
            recipe = {"arm": name, "seed": seed, "arch": "small_cnn", "fraction": fraction}
            recipes.append({**recipe, **({"synth": synth} if synth else {})})
    stacked = np.stack(scores)
    scored = score_runs(LABELS, truth, mask, stacked, codes, resamples=200, seed=0)
    groups = group_runs(recipes)
    ece = label_errors(truth, mask, stacked, scored.defined)
    half = codes % 2 == 0
    inside = np.unique(codes[half], return_inverse=True)[1]
    part = score_runs(
        LABELS, truth[half], mask[half], stacked[:, half], inside, resamples=200, seed=0
    )
    counts = mask[half].sum(axis=0), truth[half].sum(axis=0)
    subgroup = Subgroup("sex F", int(half.sum()), 75, part, compare(part, groups), *counts, ece)
    return Evaluation(
        source="toys",
        scored=scored,
        groups=groups,
        differences=compare(scored, groups),
        truth=truth,
        mask=mask,
        scores=stacked,
        codes=codes,
        ece=ece,
        patients_known=patients_known,
        resamples=200,
        runs=[{"architecture": "small_cnn"}] * len(scores),
        subgroups=[subgroup, Subgroup("sex M", 8, 4, None, [])],
        cautions=["a caution"],
    )


def test_several_seeds_are_in_the_interval_and_one_is_not() -> None:
    several, one = evaluation(5), evaluation(1)
    for row, metric in ((0, 0), (2, 0), (2, 3)):
        own = one.scored.samples[0, row, metric]
        assert group_score(one.scored, one.groups[0], row, metric)[1:] == percentile_interval(own)
        value, low, high = group_score(several.scored, several.groups[0], row, metric)
        low_patients, high_patients = percentile_interval(
            several.scored.samples[:5, row, metric].mean(axis=0)
        )
        assert 0 <= low < low_patients < value < high_patients < high <= 1


def test_the_page_and_the_tables_show_that_interval_and_say_what_it_covers() -> None:
    e = evaluation(5)
    page = classifiers.build(e)
    text, html = render.markdown(page), render.html(page)
    shown = with_interval(*group_score(e.scored, e.groups[0], 2, 0))
    assert shown in html
    assert shown in classifier_tables.shown(e)[1][0]
    assert text.count(intervals_cover(200)) == 1  # once, under the first table of scores
    assert text.count("Intervals: as under Scores.") == 3  # labels, decisions, subgroups
    assert classifiers.answer(e).startswith(f"{page.answer} {page.detail}")
    assert "evidence for" in page.detail
    assert "B &amp; &lt;C&gt;" in html
    assert "too few patients" in html
    assert "a caution" in text
    part, record = e.subgroups[0].scored, classifier_tables.subgroups(e).records[0]
    assert part is not None
    numbers = group_score(part, e.groups[0], 0, 0)
    assert (record["auroc"], record["auroc_low"], record["auroc_high"]) == numbers
    unknown = render.markdown(classifiers.build(evaluation(1, patients_known=False)))
    assert intervals_cover(200, "groups of identical images") in unknown
    assert "names no patients" in unknown


ALIKE = (("gan", 1.0), ("duplicate", 1.0))
EXTENT = "({} runs, 300 test images, 150 patients)."


@pytest.mark.parametrize(
    ("seeds", "arms", "sentence"),
    [
        (5, (("gan", 9.0), ("duplicate", 1.0)), "Evidence that the synthetic images help beyond"),
        (5, (("gan", 1.0), ("duplicate", 9.0)), "Evidence that the synthetic images do worse than"),
        (5, ALIKE, "No evidence that the synthetic images help beyond showing the real ones again"),
        (2, ALIKE, "No verdict on whether the synthetic images help beyond"),
        (
            5,
            (("gan", 9.0), ("none", 1.0)),
            "Evidence that adding synthetic images does better than",
        ),
        (5, (("standard", 1.0), ("none", 1.0)), "No evidence that ordinary augmentation does bet"),
        (5, (("x", 9.0), ("none", 1.0)), "Evidence that x reads better than none"),
    ],
)
def test_the_first_sentence_is_in_plain_words(
    seeds: int, arms: Sequence[tuple[str, float]], sentence: str
) -> None:
    e = evaluation(seeds, arms=arms)
    first = classifiers.build(e).answer
    assert first.startswith(sentence)
    assert first.endswith(EXTENT.format(2 * seeds))
    assert not any(word in first for word in ("AUROC", "p =", "["))


def test_one_arm_alone_and_several_regimens_have_a_first_sentence_too() -> None:
    alone = classifiers.build(evaluation(1, arms=(("none", 1.0),))).answer
    assert "one arm alone, so nothing is compared (1 run, " in alone
    for seeds in (2, 5):
        e = evaluation(seeds, regimens=(0.1, 1.0))
        assert classifiers.build(e).answer.count("the synthetic images help beyond") in (1, 2)


def test_of_several_sets_the_first_sentence_names_each() -> None:
    """The primary one is not passed for all of them."""
    arms = [("duplicate/one", 1.0), ("gan/one", 9.0), ("gan/two", -3.0), ("gan/three", 1.0)]
    page = classifiers.build(evaluation(5, arms=arms))
    first, *others = page.answer.removesuffix(" " + EXTENT.format(20)).split("; ")
    assert first.startswith("Evidence that the synthetic images help beyond")
    assert first.endswith("again: gan (synthetic set one)")
    assert sorted(others) == [
        "evidence that they do worse: gan (synthetic set two)",
        "no evidence that they help: gan (synthetic set three)",
    ]
    line = next(x for x in render.markdown(page).splitlines() if x.startswith("- **gan (syn"))
    assert line.count("gan (synthetic set ") == 3
    assert line.endswith("**: real images and synthetic ones (5 runs each)")


def test_a_line_says_what_each_arm_is() -> None:
    page = render.markdown(classifiers.build(evaluation(5)))
    assert "- **gan**: real images and synthetic ones (5 runs)" in page
    assert "- **duplicate**: real images, and once more those whose labels" in page


@pytest.mark.parametrize(
    ("treatment", "words"),
    [
        ({}, []),
        ({"augment": "safe", "sampling": "shuffled", "focal_gamma": None}, []),
        ({"sampling": "balanced"}, ["rows of rare labels drawn more often"]),
        ({"focal_gamma": 2.0}, ["hard images first"]),
        ({"logit_adjust": 1.0}, ["logit adjustment"]),
    ],
)
def test_what_was_done_for_rare_classes_is_said(
    treatment: dict[str, Any], words: list[str]
) -> None:
    found = rare_classes(treatment)
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


def test_one_run_is_labelled_these_patients_only() -> None:
    one, several = (render.html(classifiers.build(evaluation(n))) for n in (1, 5))
    assert "gan (one run: these patients only)" in one
    assert "these patients only)" not in several
    columns, rows = classifier_tables.shown(evaluation(1))
    assert (columns[-1], {row[-1] for row in rows}) == ("interval covers", {"these patients only"})
    assert "interval covers" not in classifier_tables.shown(evaluation(5))[0]


def test_what_all_runs_share_stands_once() -> None:
    assert render.html(classifiers.build(evaluation(5))).count("small_cnn") == 1
