"""The report page of `evaluate classifiers`: the answer, scores, differences, labels, curves.

In: an `Evaluation`. Out: a `Page` whose first sentence is the answer. Decisions, calibration,
subgroups, maps and provenance are in `classifier_sections`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cxrtool.pages import classifier_sections as more
from cxrtool.pages import figures, page
from cxrtool.stats.classifier_results import Evaluation, prevalence, primary
from cxrtool.stats.comparison import COMPARED, MEAN, Difference, group_score
from cxrtool.stats.curves import pr_points, roc_points
from cxrtool.stats.intervals import METRICS
from cxrtool.stats.verdicts import POWER
from cxrtool.stats.wording import number, p_value, with_interval

FEW_POSITIVES = 10


def answer(e: Evaluation) -> str:
    """The result in one sentence: the primary differences, else the first, else the first arm."""
    means = [d for d in e.differences if d.row == MEAN and d.metric == "auroc"]
    shown = primary(e) or means[:1]
    pixels = f"Training and test rows were {e.compared}." if e.compared else ""
    texts = (_finding(e, shown), more.about(e, shown), e.unfair, pixels)
    return " ".join(text for text in texts if text)


def _finding(e: Evaluation, shown: Sequence[Difference]) -> str:
    if len(shown) > 1:
        return more.several_regimens(e, shown)
    if shown:
        return shown[0].sentence()
    group = e.groups[0]
    return (
        f"Arm {group.name}: mean AUROC {more.cell(e.scored, group, MEAN, 'auroc')} over "
        f"{_count(int(e.scored.defined.sum()), 'label')}, {_count(len(e.truth), 'test image')}, "
        f"{_count(len(group.runs), 'run')}."
    )


def build(e: Evaluation) -> page.Page:
    """The whole page."""
    sections = [_key_numbers(e), _scores(e)]
    if e.differences:
        sections += _differences(e)
    sections += more.near_copies(e)
    sections += [_labels(e), *more.decisions(e), _curves(e), *more.calibration(e)]
    sections += [*more.subgroups(e), *more.maps(e), *more.learning(e), *more.images(e)]
    sections.append(more.provenance(e))
    return page.Page(f"Classifier evaluation on {e.source}", answer(e), sections)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def _key_numbers(e: Evaluation) -> page.Section:
    who = "patients" if e.patients_known else "groups of identical images"
    numbers = [
        (f"{len(e.truth):,}", "test images"),
        (f"{len(np.unique(e.codes)):,}", who),
        (f"{int(e.scored.defined.sum())}", "labels scored"),
        (f"{len(e.runs)}", "runs"),
    ]
    sentences = list(e.cautions)
    if not e.patients_known:
        sentences.append(
            "The source names no patients: each group of identical images counts as one, so the"
            " intervals are too narrow where a person has several images, and it is not shown that"
            " training and test patients differ."
        )
    return page.Section("", [page.Numbers(numbers), *page.cautions(sentences)])


def _places(e: Evaluation) -> dict[str, tuple[str, str]]:
    """By name of a group: what its row of a forest says beside the label, and its colour's name.

    Groups of several regimens stand in a row a regimen, so that an arm has one colour in all.
    """
    if len({group.regimen_name for group in e.groups}) < 2:
        return {group.name: ("", group.name) for group in e.groups}
    return {
        group.name: (f"\n{group.regimen_name}", group.name.replace(f" ({group.regimen_name})", ""))
        for group in e.groups
    }


def _bars(e: Evaluation, metric: int) -> list[figures.Bar]:
    names, places = e.scored.rows, _places(e)
    order = list(range(len(names) - 1))
    if len(order) > 1:
        order.insert(0, len(order))  # their mean
    arms = list(dict.fromkeys(arm for _, arm in places.values()))
    bars = []
    for row in order:
        if math.isnan(e.scored.points[0, row, metric]):
            continue
        for group in e.groups:
            regimen, arm = places[group.name]
            scores = group_score(e.scored, group, row, metric)
            bars.append(figures.Bar(names[row] + regimen, arms.index(arm), arm, *scores))
    return bars


def _scores(e: Evaluation) -> page.Section:
    rows = []
    for group in e.groups:
        cells = [group.name, str(len(group.runs))]
        for metric, name in enumerate(METRICS[:2]):
            own = e.scored.points[list(group.runs.values()), -1, metric]
            cells.append(more.cell(e.scored, group, MEAN, name))
            cells.append(number(float(own.std(ddof=1)), 4) if len(own) > 1 else "–")
        cells += [more.cell(e.scored, group, MEAN, m) for m in more.class_metrics(e.scored)]
        rows.append(cells)
    columns = ["arm", "runs", "mean AUROC", "sd of seeds", "mean average precision", "sd of seeds"]
    columns += [COMPARED[name] for name in more.class_metrics(e.scored)]
    shares = prevalence(e)[e.scored.defined]
    base = number(float(shares.mean())) if len(shares) else "–"
    caption = (
        f"Mean over the labels that hold both classes. Chance is 0.5 for AUROC and {base} (the"
        " mean prevalence) for average precision."
    )
    blocks: list[page.Block] = [page.Table(columns, rows, caption), more.intervals(e)]
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
    places = _places(e)
    pairs = {(d.a, d.b): f"{places[d.a][1]} minus {places[d.b][1]}" for d in e.differences}
    colors = list(dict.fromkeys(pairs.values()))
    bars = []
    for d in sorted(e.differences, key=lambda d: (d.row != MEAN, e.scored.rows.index(d.row))):
        if d.metric == "auroc" and not math.isnan(d.value):
            pair, row = pairs[d.a, d.b], d.row + places[d.a][0]
            bars.append(figures.Bar(row, colors.index(pair), pair, d.value, d.low, d.high))
    if bars:
        figure = figures.forest_figure(
            bars, "forest-difference", xlabel="difference in AUROC", reference=0
        )
        caption = (
            "Paired differences with 95 % intervals, corrected as in the tables; right of the"
            " dashed line the first arm is better."
        )
        blocks.append(page.Svg(figure, caption))
    sections = [page.Section("Differences between arms", blocks)]
    by_label = [d for d in e.differences if d.row != MEAN]
    if len(e.scored.labels) > 1:
        table = _difference_table(by_label)
        sections.append(page.Section("Differences by label", [table], folded=True))
    return sections


def _difference_table(shown: Sequence[Difference]) -> page.Table:
    delong = not all(math.isnan(d.delong_p) for d in shown)  # of labels alone
    scopes = any(d.about_text() for d in shown)
    rows = [
        {
            "comparison": f"{d.a} − {d.b}" + (" (primary)" if d.primary else ""),
            "score": COMPARED[d.metric].replace("average precision", "AP"),
            "label": d.row,
            **({"about": d.about_text() or "–"} if scopes else {}),
            "pairs": str(d.pairs),
            "difference": with_interval(d.value, d.low, d.high, signed=True),
            "p": p_value(d.p),
            "corrected for": str(d.comparisons) if d.comparisons > 1 else "–",
            **({"DeLong p": p_value(d.delong_p)} if delong else {}),
            "would find": number(d.detectable),
            "verdict": d.verdict.replace(" for a verdict", ""),
        }
        for d in shown
    ]
    caption = (
        "p by the seed-paired t test with the test set's variance; it and the 95 % interval are"
        " corrected for so many comparisons (Holm)."
    )
    if delong:
        caption += (
            " DeLong: clustered by patient, for these networks, not corrected; it knows nothing of"
            " other seeds and makes no verdict."
        )
    caption += (
        f" Would find: the smallest true difference that would be found with {100 * POWER:g} %"
        " power, corrected alike."
    )
    return page.Table.of(rows, caption, text_columns=3 + scopes, text_last=True)


def _labels(e: Evaluation) -> page.Section:
    shares = prevalence(e)
    rows, few = [], []
    for k, label in enumerate(e.scored.labels):
        positive = e.mask[:, k] & (e.truth[:, k] > 0)
        people = len(np.unique(e.codes[positive]))
        if e.scored.defined[k] and people < FEW_POSITIVES:
            few.append(label)
        rows += [
            {
                "label": label,
                "arm": group.name,
                "positive / images": f"{int(positive.sum()):,} / {int(e.mask[:, k].sum()):,}",
                "prevalence": number(float(shares[k])),
                "AUROC": more.cell(e.scored, group, label, "auroc"),
                "average precision": more.cell(e.scored, group, label, "average_precision"),
            }
            for group in e.groups
        ]
    caption = "Prevalence is the average precision of chance. Undefined: a class is missing."
    blocks = [page.Table.of(rows, caption, text_columns=2), more.intervals(e)]
    if few:
        text = f"Fewer than {FEW_POSITIVES} positive patients: {', '.join(few)}. Intervals of so"
        blocks.append(page.Text(f"{text} few are rough.", tone="note"))
    return page.Section("Labels", blocks)


def _curves(e: Evaluation) -> page.Section:
    if not e.scored.defined.any():
        return page.Section("Curves", [page.Text("No label holds both classes.")])

    def panel(k: int, points: Callable[..., Any], level: float | None = None) -> figures.Panel:
        rows = e.mask[:, k]
        truth = e.truth[rows, k]
        lines = [
            figures.Line(i, group.name, *points(truth, e.scores[run, rows, k]))
            for i, group in enumerate(e.groups)
            for run in group.runs.values()
        ]
        return figures.Panel(e.scored.labels[k], lines, level)

    labels, shares = np.flatnonzero(e.scored.defined).tolist(), prevalence(e)
    roc = figures.curve_figure(
        [panel(k, roc_points) for k in labels],
        *("roc", "1 − specificity", "sensitivity"),
        diagonal=True,
    )
    pr = figures.curve_figure(
        [panel(k, pr_points, float(shares[k])) for k in labels], "pr", "recall", "precision"
    )
    return page.Section(
        "Curves",
        [
            page.Svg(roc, "Receiver operating characteristic; dashed: chance."),
            page.Svg(pr, "Precision over recall; dashed: prevalence."),
        ],
    )
