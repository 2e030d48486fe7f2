"""The page of classifiers: its intervals are those of the CLIP page, and it says so."""

from __future__ import annotations

import numpy as np

from cxrtool.pages import classifier_tables, classifiers, render
from cxrtool.stats.classifier_results import Evaluation, Subgroup, label_errors
from cxrtool.stats.comparison import compare, group_score, score_runs
from cxrtool.stats.groups import group_runs
from cxrtool.stats.intervals import percentile_interval
from cxrtool.stats.wording import intervals_cover, with_interval

N, LABELS = 300, ("A", "B & <C>")


def evaluation(seeds: int, *, patients_known: bool = True) -> Evaluation:
    """Two arms; gan reads better, and its runs differ much by seed."""
    rng = np.random.default_rng(0)
    truth = (rng.random((N, 2)) < 0.3).astype(float)
    mask, codes = np.ones((N, 2), bool), np.arange(N) // 2
    scores, recipes = [], []
    for arm, shift in (("gan", 2.0), ("duplicate", 1.0)):
        for seed in range(seeds):
            logits = (shift + 0.5 * rng.normal()) * truth + rng.normal(size=(N, 2)) - 1
            scores.append(1 / (1 + np.exp(-logits)))
            recipes.append({"arm": arm, "seed": seed, "arch": "small_cnn"})
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
    assert text.count(intervals_cover(200)) == 4  # scores, labels, decisions, subgroups
    assert "evidence for" in classifiers.answer(e)
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
