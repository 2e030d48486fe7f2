"""The report page of `evaluate classifiers`.

In: scores and differences from `comparison`, the predictions they come from, and what is known of
each run. Out: a `Page` whose first sentence is the answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cxrtool.evaluation import figures, page
from cxrtool.evaluation.comparison import MEAN, MIN_SEEDS, Difference, Group, Scored
from cxrtool.evaluation.curves import pr_points, roc_points
from cxrtool.evaluation.intervals import percentile_interval
from cxrtool.evaluation.wording import number, with_interval

FEW_POSITIVES = 10
_METRIC_NAMES = {"auroc": "AUROC", "average_precision": "AP"}


@dataclass(frozen=True)
class Evaluation:
    """Everything the page is made of.

    Attributes:
        source: Title of the data set.
        scored: Scores of R runs.
        groups: Runs that differ by seed alone.
        differences: From `comparison.compare`; empty for one group.
        truth: [N, L] in {0, 1}.
        mask: [N, L] bool.
        scores: [R, N, L] probabilities.
        codes: [N] patient of each image.
        patients_known: Whether the source names patients.
        resamples: How many patient resamples the intervals come from.
        runs: One mapping of shown facts a run ("architecture": "densenet121", ...).
        cautions: Sentences that a reader must see (labels left out, failed gates).
        footer: Small print.
    """

    source: str
    scored: Scored
    groups: Sequence[Group]
    differences: Sequence[Difference]
    truth: np.ndarray
    mask: np.ndarray
    scores: np.ndarray
    codes: np.ndarray
    patients_known: bool
    resamples: int
    runs: Sequence[dict[str, Any]]
    cautions: Sequence[str] = field(default_factory=list)
    footer: str = ""


def why_undefined(truth: np.ndarray, mask: np.ndarray) -> str | None:
    """What a label lacks for a score, or None: "no positive", "no negative", "no known cell"."""
    known = truth[mask] > 0
    if not len(known):
        return "no known cell"
    if not known.any():
        return "no positive"
    return None if not known.all() else "no negative"


def run_name(groups: Sequence[Group], run: int) -> str:
    """Group and seed of one run, as tables show it."""
    group = next(g for g in groups if run in g.runs.values())
    seed = next(s for s, index in group.runs.items() if index == run)
    return f"{group.name}, seed {seed}"


def group_scores(scored: Scored, group: Group, row: int, metric: int) -> tuple[float, float, float]:
    """Mean score of a group's runs with the patient interval of that mean."""
    runs = list(group.runs.values())
    value = float(scored.points[runs, row, metric].mean())
    if math.isnan(value):
        return math.nan, math.nan, math.nan
    return (value, *percentile_interval(scored.samples[runs, row, metric].mean(axis=0)))


def answer(e: Evaluation) -> str:
    """The result in one sentence."""
    shown = [d for d in e.differences if d.row == MEAN and d.metric == "auroc"]
    if shown:
        return shown[0].sentence()
    value, low, high = group_scores(e.scored, e.groups[0], len(e.scored.labels), 0)
    runs = len(e.groups[0].runs)
    return (
        f"Arm {e.groups[0].name}: mean AUROC {with_interval(value, low, high)} over "
        f"{_count(int(e.scored.defined.sum()), 'label')}, {_count(len(e.truth), 'test image')}, "
        f"{_count(runs, 'run')}."
    )


def build(e: Evaluation) -> page.Page:
    """The whole page."""
    sections = [_key_numbers(e), _scores(e)]
    if e.differences:
        sections += _differences(e)
    sections += [_labels(e), _curves(e), _methods(e)]
    return page.Page(
        title=f"Classifier evaluation on {e.source}",
        answer=answer(e),
        sections=sections,
        footer=e.footer,
    )


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def _key_numbers(e: Evaluation) -> page.Section:
    patients = len(np.unique(e.codes))
    who = "patients" if e.patients_known else "groups of identical images"
    blocks: list[page.Block] = [
        page.Numbers(
            [
                (f"{len(e.truth):,}", "test images"),
                (f"{patients:,}", who),
                (f"{int(e.scored.defined.sum())}", "labels scored"),
                (f"{len(e.runs)}", "runs"),
            ]
        )
    ]
    said = list(e.cautions)
    if not e.patients_known:
        said.append(
            "The source names no patients: each group of identical images counts as one, so the"
            " intervals are too narrow where a person has several images, and it is not shown that"
            " training and test patients differ."
        )
    blocks += page.cautions(said)
    return page.Section("", blocks)


def _bars(e: Evaluation, metric: int) -> list[figures.Bar]:
    names = e.scored.rows
    order = [len(names) - 1, *range(len(names) - 1)] if len(names) > 2 else range(len(names) - 1)
    return [
        figures.Bar(names[row], i, group.name, *group_scores(e.scored, group, row, metric))
        for row in order
        for i, group in enumerate(e.groups)
        if not math.isnan(e.scored.points[0, row, metric])
    ]


def _scores(e: Evaluation) -> page.Section:
    mean = len(e.scored.labels)
    rows = []
    for group in e.groups:
        cells = [group.name, str(len(group.runs))]
        for metric in (0, 1):
            cells.append(with_interval(*group_scores(e.scored, group, mean, metric)))
            own = e.scored.points[list(group.runs.values()), mean, metric]
            cells.append(number(float(own.std(ddof=1)), 4) if len(own) > 1 else "–")
        rows.append(cells)
    columns = ["arm", "runs", "mean AUROC", "sd of seeds", "mean average precision", "sd of seeds"]
    prevalence = _prevalence(e)[e.scored.defined]
    base = number(float(prevalence.mean())) if len(prevalence) else "–"
    blocks: list[page.Block] = [
        page.Table(
            columns,
            rows,
            "Mean over the labels that hold both classes, with 95 % patient-bootstrap intervals of"
            f" these networks. Chance is 0.5 for AUROC and {base} (the mean prevalence) for average"
            " precision.",
        )
    ]
    if e.scored.defined.any():
        figure = figures.forest_figure(_bars(e, 0), "forest-auroc", xlabel="AUROC", reference=0.5)
        blocks.append(page.Svg(figure, "AUROC with 95 % interval; dashed: chance."))
    return page.Section("Scores", blocks)


def _differences(e: Evaluation) -> list[page.Section]:
    means = [d for d in e.differences if d.row == MEAN]
    blocks: list[page.Block] = [
        page.Bullets([d.sentence() for d in means if d.metric == "auroc"]),
        _difference_table(means),
    ]
    pairs = list(dict.fromkeys((d.a, d.b) for d in e.differences))
    bars = [
        figures.Bar(d.row, pairs.index((d.a, d.b)), f"{d.a} minus {d.b}", d.value, d.low, d.high)
        for d in sorted(e.differences, key=lambda d: d.row != MEAN)
        if d.metric == "auroc" and not math.isnan(d.value)
    ]
    if bars:
        blocks.append(
            page.Svg(
                figures.forest_figure(
                    bars, "forest-difference", xlabel="difference in AUROC", reference=0
                ),
                "Paired differences with 95 % intervals; right of the dashed line the first arm is"
                " better.",
            )
        )
    sections = [page.Section("Differences between arms", blocks)]
    by_label = [d for d in e.differences if d.row != MEAN]
    if len(e.scored.labels) > 1:
        table = _difference_table(by_label)
        sections.append(page.Section("Differences by label", [table], folded=True))
    return sections


def _difference_table(shown: Sequence[Difference]) -> page.Table:
    rows = [
        [
            f"{d.a} − {d.b}" + (" (primary)" if d.primary else ""),
            _METRIC_NAMES[d.metric],
            d.row,
            str(d.pairs),
            with_interval(d.value, d.low, d.high, signed=True),
            number(d.p),
            d.verdict.replace(" for a verdict", ""),
        ]
        for d in shown
    ]
    columns = ["comparison", "score", "label", "pairs", "difference", "p", "verdict"]
    return page.Table(columns, rows, text_columns=3, text_last=True)


def _prevalence(e: Evaluation) -> np.ndarray:
    counted = e.mask.sum(axis=0)
    positive = (e.truth * e.mask).sum(axis=0)
    return np.divide(positive, counted, out=np.full(len(counted), np.nan), where=counted > 0)


def _labels(e: Evaluation) -> page.Section:
    prevalence = _prevalence(e)
    rows, few = [], []
    for k, label in enumerate(e.scored.labels):
        positive = e.mask[:, k] & (e.truth[:, k] > 0)
        people = len(np.unique(e.codes[positive]))
        if e.scored.defined[k] and people < FEW_POSITIVES:
            few.append(label)
        rows += [
            [
                label,
                group.name,
                f"{int(positive.sum()):,} / {int(e.mask[:, k].sum()):,}",
                number(float(prevalence[k])),
                with_interval(*group_scores(e.scored, group, k, 0)),
                with_interval(*group_scores(e.scored, group, k, 1)),
            ]
            for group in e.groups
        ]
    columns = ["label", "arm", "positive / images", "prevalence", "AUROC", "average precision"]
    blocks: list[page.Block] = [
        page.Table(
            columns,
            rows,
            "Prevalence is the average precision of chance. Undefined: a class is missing.",
            text_columns=2,
        )
    ]
    if few:
        blocks.append(
            page.Text(
                f"Fewer than {FEW_POSITIVES} positive patients: {', '.join(few)}. Intervals of so"
                " few are rough.",
                tone="note",
            )
        )
    return page.Section("Labels", blocks)


def _curves(e: Evaluation) -> page.Section:
    roc, pr = [], []
    prevalence = _prevalence(e)
    for k in np.flatnonzero(e.scored.defined):
        rows = e.mask[:, k]
        truth = e.truth[rows, k]
        roc_lines, pr_lines = [], []
        for i, group in enumerate(e.groups):
            for run in group.runs.values():
                mine = e.scores[run, rows, k]
                roc_lines.append(figures.Line(i, group.name, *roc_points(truth, mine)))
                pr_lines.append(figures.Line(i, group.name, *pr_points(truth, mine)))
        roc.append(figures.Panel(e.scored.labels[k], tuple(roc_lines)))
        pr.append(figures.Panel(e.scored.labels[k], tuple(pr_lines), level=float(prevalence[k])))
    if not roc:
        return page.Section("Curves", [page.Text("No label holds both classes.")])
    return page.Section(
        "Curves",
        [
            page.Svg(
                figures.curve_figure(
                    roc, "roc", xlabel="1 − specificity", ylabel="sensitivity", diagonal=True
                ),
                "Receiver operating characteristic; dashed: chance.",
            ),
            page.Svg(
                figures.curve_figure(pr, "pr", xlabel="recall", ylabel="precision", diagonal=False),
                "Precision over recall; dashed: prevalence.",
            ),
        ],
    )


def _methods(e: Evaluation) -> page.Section:
    columns = list(dict.fromkeys(key for run in e.runs for key in run))
    rows = [
        [run_name(e.groups, i), *(str(run.get(key, "–")) for key in columns)]
        for i, run in enumerate(e.runs)
    ]
    return page.Section(
        "Methods and provenance",
        [
            page.Bullets(
                [
                    f"Intervals: {e.resamples:,} resamples of whole patients, percentile method;"
                    " the same resamples for every run, so that differences are paired.",
                    f"Verdicts: seed-paired t over at least {MIN_SEEDS} seeds an arm, with the"
                    " patient-bootstrap variance added; Holm's correction within each family of"
                    " comparisons; gan minus duplicate is the one primary comparison.",
                    "AUROC and average precision of a label need both classes; undefined values are"
                    " left out of the mean and named.",
                    "Each network predicted the images with its own stored preprocessing, label"
                    " policy and row selection; none of them has seen these patients or images.",
                ]
            ),
            page.Table(["run", *columns], rows, text_columns=len(columns) + 1),
        ],
        folded=True,
    )
