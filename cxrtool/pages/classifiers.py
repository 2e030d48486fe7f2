"""The report page of `evaluate classifiers`: the answer, scores, differences, labels, curves.

In: an `Evaluation`. Out: a `Page` whose first sentence is the answer. Decisions, calibration,
subgroups, maps and provenance are in `classifier_sections`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cxrtool.pages import classifier_sections as more
from cxrtool.pages import external_sections, figures, other_patients, page
from cxrtool.pages.classifier_words import arms, headline
from cxrtool.stats.classifier_results import Evaluation, leading, prevalence, with_counts
from cxrtool.stats.comparison import COMPARED, MEAN, Difference, group_score
from cxrtool.stats.curves import pr_points, roc_points
from cxrtool.stats.intervals import METRICS
from cxrtool.stats.verdicts import FEW_PATIENTS, POWER
from cxrtool.stats.wording import counted, number, p_value, with_interval

#: What is said of the interval of one run.
ONE_RUN = "one run: these patients only"
#: Columns of differences that stand in the caption where all rows have the same.
ONCE = ("comparison", "label", "about", "pairs", "corrected for")


def answer(e: Evaluation) -> str:
    """The result in plain words, then in numbers."""
    return f"{_first(e)} {detail(e)}"


def _first(e: Evaluation) -> str:
    """The result in plain words, of internal rows and then of other hospitals."""
    return " ".join(filter(None, (headline(e, _shown(e)), external_sections.headline(e))))


def _shown(e: Evaluation) -> list[Difference]:
    """What the page is about: the primary differences, else the first; nothing for one arm."""
    return leading(e.differences)


def detail(e: Evaluation) -> str:
    """The result in numbers, and what limits it."""
    shown = _shown(e)
    pixels = f"Training and test rows were {e.compared}." if e.compared else ""
    elsewhere = external_sections.detail(e)
    lent = other_patients.detail(e.other_patients) if e.other_patients else ""
    texts = (lent or _finding(e, shown), more.about(e, shown), e.unfair, pixels, elsewhere)
    return " ".join(text for text in texts if text)


def _finding(e: Evaluation, shown: Sequence[Difference]) -> str:
    if len(shown) > 1:
        return more.several_regimens(e, shown)
    if shown:
        return shown[0].sentence()
    group = e.groups[0]
    return (
        f"Arm {group.name}: mean AUROC {more.cell(e.scored, group, MEAN, 'auroc')} over "
        f"{counted(int(e.scored.averaged.sum()), 'label')}, {counted(len(e.truth), 'test image')}, "
        f"{counted(len(group.runs), 'run')}."
    )


def build(e: Evaluation) -> page.Page:
    """The whole page."""
    sections = [_key_numbers(e), _scores(e)]
    sections += other_patients.sections(e.other_patients)
    if e.differences:
        sections += _differences(e)
    sections += external_sections.sections(e)
    sections += more.near_copies(e)
    sections += [_labels(e), *more.studies(e), *more.decisions(e), _curves(e), *more.calibration(e)]
    sections += [*more.subgroups(e), *more.maps(e), *more.learning(e), *more.images(e)]
    sections.append(more.provenance(e))
    title = f"Classifier evaluation on {e.source}"
    return page.Page(title, _first(e), sections, detail=detail(e))


def _key_numbers(e: Evaluation) -> page.Section:
    who = "patients" if e.patients_known else "groups of identical images"
    numbers = [
        (f"{len(e.truth):,}", "test images"),
        (f"{len(np.unique(e.codes)):,}", who),
        (f"{int(e.scored.averaged.sum())}", "labels in the mean"),
        (f"{len(e.runs)}", "runs"),
    ]
    sentences = list(e.cautions)
    if not e.patients_known:
        sentences.append(
            "The source names no patients: each group of identical images counts as one, so the"
            " intervals are too narrow where a person has several images, and it is not shown that"
            " training and test patients differ."
        )
    blocks = [page.Numbers(numbers), page.Terms(arms(e)), *page.cautions(sentences)]
    return page.Section("", blocks)


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


def _main_rows(e: Evaluation) -> list[int]:
    """Rows of a forest: the mean where there is one of several, and the labels that it is over."""
    labels = np.flatnonzero(e.scored.averaged).tolist()
    return [len(e.scored.labels), *labels] if len(labels) > 1 else labels


def _bars(e: Evaluation, metric: int, order: Sequence[int]) -> list[figures.Bar]:
    names, places = e.scored.rows, _places(e)
    order_of = list(dict.fromkeys(arm for _, arm in places.values()))
    single = {arm for g in e.groups if len(g.runs) == 1 for arm in [places[g.name][1]]}
    bars = []
    for row in order:
        if math.isnan(e.scored.points[0, row, metric]):
            continue
        for group in e.groups:
            regimen, arm = places[group.name]
            scores = group_score(e.scored, group, row, metric)
            hollow = len(group.runs) == 1
            name = f"{arm} ({ONE_RUN})" if arm in single and hollow else arm
            bars.append(
                figures.Bar(names[row] + regimen, order_of.index(arm), name, *scores, hollow)
            )
    return bars


def _read_aloud(bars: Sequence[figures.Bar], what: str) -> str:
    """The first row of a forest in words, and how many there are."""
    first = [bar for bar in bars if bar.row == bars[0].row]
    values = ", ".join(f"{b.name} {with_interval(b.value, b.low, b.high)}" for b in first)
    rows = len({bar.row for bar in bars})
    row = bars[0].row.replace("\n", ", ")
    return f"{what} of {row}: {values}. {counted(rows, 'row')} in all; the tables have the numbers."


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
    labels = counted(int(e.scored.averaged.sum()), "label")
    caption = (
        f"Mean over {labels}. AUROC: how often a patient with the finding is ranked above one"
        f" without it; 0.5 is chance, 1 is perfect. Average precision: chance is {base} (the mean"
        " prevalence)."
    )
    blocks: list[page.Block] = [page.Table(columns, rows, caption), more.intervals(e)]
    if e.scored.defined.any():
        blocks.append(_forest(e, _main_rows(e), "forest-auroc", "AUROC by label"))
    return page.Section("Scores", blocks)


def _forest(e: Evaluation, rows: Sequence[int], name: str, title: str) -> page.Svg:
    bars = _bars(e, 0, rows)
    figure = figures.forest_figure(bars, name, xlabel="AUROC", reference=0.5)
    caption = "With 95 % interval; dashed: chance."
    if any(bar.hollow for bar in bars):
        caption += f" Hollow: one run, so that the interval covers {ONE_RUN.split(': ')[1]}."
    return page.Svg(figure, title, _read_aloud(bars, "AUROC"), caption)


def _differences(e: Evaluation) -> list[page.Section]:
    means = [d for d in e.differences if d.row == MEAN]
    blocks: list[page.Block] = [
        page.Bullets([d.sentence() for d in means if d.metric == "auroc"]),
        _how_differences_are_judged(means),
        _difference_table(means),
    ]
    places = _places(e)
    pairs = {(d.a, d.b): f"{places[d.a][1]} minus {places[d.b][1]}" for d in e.differences}
    colors = list(dict.fromkeys(pairs.values()))
    main = [e.scored.rows[row] for row in _main_rows(e)]
    bars = []
    for d in sorted(e.differences, key=lambda d: (d.row != MEAN, e.scored.rows.index(d.row))):
        if d.metric == "auroc" and not math.isnan(d.value) and d.row in main:
            pair, row = pairs[d.a, d.b], d.row + places[d.a][0]
            name = f"{pair} ({ONE_RUN})" if d.pairs == 1 else pair
            ends = d.value, d.low, d.high, d.pairs == 1
            bars.append(figures.Bar(row, colors.index(pair), name, *ends))
    if bars:
        figure = figures.forest_figure(
            bars, "forest-difference", xlabel="difference in AUROC", reference=0
        )
        caption = (
            "Paired by seed, with 95 % intervals, corrected as in the tables; right of the dashed"
            " line the first arm is better."
        )
        alt = _read_aloud(bars, "Difference in AUROC")
        blocks.append(page.Svg(figure, "Differences in AUROC by label", alt, caption))
    sections = [page.Section("Differences between arms", blocks)]
    by_label = [d for d in e.differences if d.row != MEAN]
    if len(e.scored.labels) > 1:
        pairs_of = dict.fromkeys((d.a, d.b) for d in by_label)
        tables = [
            _difference_table([d for d in by_label if (d.a, d.b) == pair]) for pair in pairs_of
        ]
        how = _how_differences_are_judged(by_label)
        sections.append(page.Section("Differences by label", [how, *tables], folded=True))
    return sections


def _difference_table(shown: Sequence[Difference]) -> page.Table:
    """Of several differences; what is the same of all of them stands in the caption."""
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
    shared = {
        key: value
        for key, value in rows[0].items()
        if key in ONCE and len(rows) > 1 and all(row[key] == value for row in rows)
    }
    rows = [{key: cell for key, cell in row.items() if key not in shared} for row in rows]
    if "pairs" in shared:
        shared["pairs"] = counted(shown[0].pairs, "pair")
    before = {"about": "about ", "corrected for": "corrected for "}
    said = [f"{before.get(key, '')}{value}" for key, value in shared.items() if value != "–"]
    caption = f"{', '.join(said)}." if said else ""
    words = sum(key in rows[0] for key in ("comparison", "score", "label", "about"))
    return page.Table.of(rows, caption, text_columns=words, text_last=True)


def _how_differences_are_judged(shown: Sequence[Difference]) -> page.Text:
    text = "p by the seed-paired t test with the test set's variance"
    if any(d.comparisons > 1 for d in shown):
        text += "; it and the 95 % interval are corrected (Holm) for as many comparisons as is said"
    text += (
        ". Would find: the smallest true difference that would be found with"
        f" {100 * POWER:g} % power, corrected alike."
    )
    if not all(math.isnan(d.delong_p) for d in shown):
        text += (
            " DeLong: clustered by patient, for these networks, not corrected; it knows nothing of"
            " other seeds and makes no verdict."
        )
    return page.Text(text)


def _labels(e: Evaluation) -> page.Section:
    shares = prevalence(e)
    rows = []
    for k, label in enumerate(e.scored.labels):
        positive = e.mask[:, k] & (e.truth[:, k] > 0)
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
    blocks = [page.Table.of(rows, caption, text_columns=2), more.AS_ABOVE]
    few: Sequence[int] = e.scored.rare or [
        k for k in np.flatnonzero(e.scored.defined).tolist() if e.scored.patients[k] < FEW_PATIENTS
    ]
    if few:
        names = with_counts(e.scored.labels, few, e.truth, e.mask, e.codes)
        text = f"Fewer than {FEW_PATIENTS} patients: {names}. Intervals of so few are rough"
        text += "; the mean leaves these labels out." if e.scored.rare else "."
        blocks.append(page.Text(text, tone="note"))
    if e.scored.rare:
        title = f"AUROC of labels with fewer than {FEW_PATIENTS} patients"
        blocks.append(_forest(e, e.scored.rare, "forest-rare", title))
    return page.Section("Labels", blocks)


def _curves(e: Evaluation) -> page.Section:
    if not e.scored.defined.any():
        return page.Section("Curves", [page.Text("No label holds both classes.")])

    def panels(points: Callable[..., Any], metric: int, level: bool) -> list[page.Svg]:
        shares, name = prevalence(e), ("roc", "pr")[metric]
        labels = np.flatnonzero(e.scored.defined).tolist()
        drawn = []
        for k in labels:
            rows = e.mask[:, k]
            truth = e.truth[rows, k]
            lines = [
                figures.Line(i, group.name, *points(truth, e.scores[run, rows, k]))
                for i, group in enumerate(e.groups)
                for run in group.runs.values()
            ]
            drawn.append(figures.Panel(lines, float(shares[k]) if level else None))
        axes = ("recall", "precision") if level else ("1 − specificity", "sensitivity")
        svgs = figures.curve_panels(drawn, name, *axes, diagonal=not level)
        return [
            page.Svg(svg, e.scored.labels[k], _in_words(e, k, metric))
            for k, svg in zip(labels, svgs)
        ]

    legend = [(i, group.name) for i, group in enumerate(e.groups)]
    each = "One line a run; dashed: "
    return page.Section(
        "Curves",
        [
            page.Panels(
                panels(roc_points, 0, level=False),
                "Receiver operating characteristic.",
                legend,
                f"{each}chance.",
            ),
            page.Panels(
                panels(pr_points, 1, level=True),
                "Precision over recall.",
                legend,
                f"{each}prevalence.",
            ),
        ],
        folded=True,
    )


def _in_words(e: Evaluation, row: int, metric: int) -> str:
    """Mean score of each arm."""
    what = COMPARED[METRICS[metric]]
    points = e.scored.points[:, row, metric]
    means = [
        f"{group.name} {number(float(points[list(group.runs.values())].mean()))}"
        for group in e.groups
    ]
    return f"Mean {what}: {', '.join(means)}."
