"""What the page of `evaluate classifiers` says of other hospitals.

In: an `Evaluation` with external sets. Out: a sentence for each, numbers behind it, and sections:
both sides side by side, labels, calibration, decisions, which labels are compared and why.
"""

import math
from collections.abc import Sequence

import numpy as np

from cxrtool.pages import figures, near, page
from cxrtool.pages.classifier_words import judged
from cxrtool.pages.external_tables import LINE_COLUMNS, NEAR, site_numbers
from cxrtool.stats.calibration import reliability
from cxrtool.stats.classifier_results import Evaluation
from cxrtool.stats.comparison import MEAN, Difference, group_score
from cxrtool.stats.curves import SPECIFICITY
from cxrtool.stats.external import IN_MEAN, INTERNAL, External, Gap, LabelUse, Site
from cxrtool.stats.groups import Group
from cxrtool.stats.verdicts import FEW_PATIENTS
from cxrtool.stats.wording import counted, number, p_value, with_interval

_SAME = "the same"


def headline(e: Evaluation) -> str:
    """What is found in other hospitals, without numbers where arms are compared; "" for none.

    Hospitals of which the same is to be said share a sentence.
    """
    places: dict[str, list[str]] = {}
    for x in e.external:
        places.setdefault(_claim(e, x), []).append(f"at {x.name} ({_extent(x)})")
    sentences = []
    for claim, own in places.items():
        where = f"{', '.join(own[:-1])} and {own[-1]}" if len(own) > 1 else own[0]
        said = f"the same {where}" if claim == _SAME else f"{where} {claim}"
        sentences.append(f"{said[0].upper()}{said[1:]}.")
    return " ".join(sentences)


def detail(e: Evaluation) -> str:
    """The numbers behind the sentences, and that nothing is corrected for several hospitals."""
    parts = []
    for x in e.external:
        parts += [f"At {x.name}: {d.sentence()}" for d in _main(x.differences)]
        parts += [_numbers_of(x, group) for group in _drawn(e, x)]
    if len(e.external) > 1 and any(x.differences for x in e.external):
        parts.append("Intervals and p are not corrected for the number of hospitals.")
    return " ".join(parts)


def _main(differences: Sequence[Difference]) -> list[Difference]:
    """The primary differences of the mean AUROC, else the first; nothing for one arm."""
    means = [d for d in differences if d.row == MEAN and d.metric == "auroc"]
    return [d for d in means if d.primary] or means[:1]


def _extent(x: External) -> str:
    who = (
        counted(x.patients, "patient")
        if x.patients_known
        else f"{counted(x.patients, 'group')} of identical images"
    )
    return f"{counted(x.images, 'image')}, {who}"


def _claim(e: Evaluation, x: External) -> str:
    """What is found there, to stand behind the name of the hospital."""
    if x.external is None:
        return "nothing can be compared: no label has both classes on both sides"
    if shown := _main(x.differences):
        claim = judged(e.groups, x.differences, shown)
        if claim == judged(e.groups, e.differences, _main(e.differences)):
            return _SAME
        return claim[0].lower() + claim[1:]
    gap = _mean_gap(x, e.groups[0])
    labels = counted(int(x.external.scored.averaged.sum()), "label")
    value = number(group_score(x.external.scored, e.groups[0], len(x.compared), 0)[0])
    return f"mean AUROC over {labels} of both sides is {value}, {_fall(gap)} than internally"


def _fall(gap: Gap) -> str:
    """What a gap says in words, to stand before "than"."""
    if math.isnan(gap.low):
        return "with no interval for whether it is lower"
    if gap.low > 0:
        return "lower"
    return "higher" if gap.high < 0 else "not clearly lower or higher"


def _mean_gap(x: External, group: Group) -> Gap:
    return next(gap for gap in x.gaps if (gap.name, gap.row) == (group.name, MEAN))


def _drawn(e: Evaluation, x: External) -> list[Group]:
    """The arms that a figure or a sentence is about: those of the comparison shown, else one."""
    if x.external is None:
        return []
    shown = _main(x.differences)
    names = [shown[0].b] if shown else [e.groups[0].name]
    return [group for group in e.groups if group.name in names]


def _numbers_of(x: External, group: Group) -> str:
    """Mean AUROC on both sides in a sentence."""
    assert x.internal is not None
    assert x.external is not None
    last = len(x.compared)
    here, there = (
        with_interval(*group_score(site.scored, group, last, 0))
        for site in (x.internal, x.external)
    )
    gap = _mean_gap(x, group)
    labels = counted(int(x.external.scored.averaged.sum()), "label")
    return (
        f"Arm {group.name}, mean AUROC over {labels}: {here} internal, {there} at {x.name};"
        f" internal minus {x.name} {with_interval(gap.value, gap.low, gap.high, signed=True)}."
    )


def _sentence(e: Evaluation, x: External) -> str:
    """The first sentence of a section: the claim in full."""
    claim = _claim(e, x)
    if claim == _SAME:
        return judged(e.groups, x.differences, _main(x.differences)) + ", as internally."
    return claim[0].upper() + claim[1:] + "."


# --- sections -------------------------------------------------------------------------------------


def sections(e: Evaluation) -> list[page.Section]:
    """All about external sets; nothing where there is none."""
    out = []
    for x in e.external:
        out.append(page.Section(f"External: {x.name}", _blocks(e, x)))
        out.append(page.Section(f"External: {x.name}, labels and curves", _more(e, x), folded=True))
    return out


def _blocks(e: Evaluation, x: External) -> list[page.Block]:
    numbers = [(f"{x.images:,}", f"images of {x.name}")]
    if x.patients:
        who = "patients" if x.patients_known else "groups of identical images"
        numbers.append((f"{x.patients:,}", who))
    mean = sum(use.use == IN_MEAN for use in x.uses)
    numbers += [(f"{len(x.compared)}", "labels compared"), (f"{mean}", "labels in the mean")]
    blocks: list[page.Block] = [
        page.Text(_sentence(e, x)),
        page.Numbers(numbers),
        *page.cautions(x.notes),
    ]
    if x.internal is None or x.external is None:
        return blocks
    if x.differences:
        blocks += _arms(e, x)
    blocks += [_means(e, x, x.internal, x.external), *_forest(e, x)]
    blocks += [_labels(e, x, x.internal, x.external)]
    blocks += [*_calibration(e, x), *_decisions(e, x)]
    return blocks


def _arms(e: Evaluation, x: External) -> list[page.Block]:
    """Whether the arms differ there, beside what they differ by on internal rows."""
    here = {(d.a, d.b, d.metric): d for d in x.here}
    between = {gap.name: gap for gap in x.arm_gaps}
    rows = []
    for d in x.differences:
        if d.row != MEAN or d.metric != "auroc":
            continue
        own, gap = here[d.a, d.b, d.metric], between.get(f"{d.a} minus {d.b}")
        ends = (math.nan,) * 3 if gap is None else (gap.value, gap.low, gap.high)
        rows.append(
            {
                "comparison": f"{d.a} − {d.b}" + (" (primary)" if d.primary else ""),
                "internal": with_interval(own.value, own.low, own.high, signed=True),
                x.name: with_interval(d.value, d.low, d.high, signed=True),
                "p": p_value(d.p),
                "would find": number(d.detectable),
                f"internal minus {x.name}": with_interval(*ends, signed=True),
                "verdict": d.verdict.replace(" for a verdict", ""),
            }
        )
    caption = (
        f"Differences between arms in mean AUROC over the labels of both sides, paired by seed. p,"
        f" would find and verdict: at {x.name}, corrected as internally; the last"
        " difference is not corrected."
    )
    return [page.Table.of(rows, caption, text_last=True)]


def _means(e: Evaluation, x: External, here: Site, there: Site) -> page.Table:
    last, rows = len(x.compared), []
    for group in e.groups:
        gap = _mean_gap(x, group)
        rows.append(
            {
                "arm": group.name,
                "runs": str(len(group.runs)),
                "internal": with_interval(*group_score(here.scored, group, last, 0)),
                x.name: with_interval(*group_score(there.scored, group, last, 0)),
                f"internal minus {x.name}": with_interval(
                    gap.value, gap.low, gap.high, signed=True
                ),
            }
        )
    labels = counted(int(there.scored.averaged.sum()), "label")
    caption = (
        f"Mean AUROC over {labels} that both sides have. The patients of both sides are resampled"
        " independently of each other; differences are not corrected for their number."
    )
    return page.Table.of(rows, caption)


def _forest(e: Evaluation, x: External) -> list[page.Block]:
    """AUROC by label on both sides, of one arm."""
    group = _drawn(e, x)[0]
    names = {INTERNAL: x.internal, x.name: x.external}
    averaged = x.external.scored.averaged if x.external else np.zeros(0, bool)
    rows = np.flatnonzero(averaged).tolist()
    rows = [len(averaged), *rows] if len(rows) > 1 else rows
    bars = [
        figures.Bar(site.scored.rows[row], k, name, *group_score(site.scored, group, row, 0), False)
        for row in rows
        for k, (name, site) in enumerate(names.items())
        if site is not None
    ]
    if not bars:
        return []
    figure = figures.forest_figure(bars, f"external-{_key(e, x)}", xlabel="AUROC", reference=0.5)
    first = [f"{b.name} {with_interval(b.value, b.low, b.high)}" for b in bars[: len(names)]]
    caption = f"Arm {group.name}, with 95 % interval; dashed: chance."
    alt = f"{bars[0].row}: {', '.join(first)}."
    return [page.Svg(figure, f"AUROC by label, internal and at {x.name}", alt, caption)]


def _key(e: Evaluation, x: External) -> int:
    """A number for the names of figures."""
    return [other.name for other in e.external].index(x.name)


def _labels(e: Evaluation, x: External, here: Site, there: Site) -> page.Table:
    gaps = {(gap.name, gap.row): gap for gap in x.gaps}
    rows = []
    for k, use in enumerate(x.compared):
        for group in e.groups:
            gap = gaps[group.name, here.scored.rows[k]]
            ours, theirs = (
                with_interval(*group_score(site.scored, group, k, 0)) for site in (here, there)
            )
            rows.append(
                {
                    "label": use.label + ("\u00a0*" if use.use != IN_MEAN else ""),
                    "arm": group.name,
                    "prevalence, internal": number(use.internal.prevalence),
                    f"prevalence, {x.name}": number(use.external.prevalence),
                    "AUROC, internal": ours,
                    f"AUROC, {x.name}": theirs,
                    "internal minus external": with_interval(
                        gap.value, gap.low, gap.high, signed=True
                    ),
                }
            )
    caption = "By label. AUROC does not hang on prevalence; what it measures is the ranking."
    if any(use.use != IN_MEAN for use in x.compared):
        caption += f" *: fewer than {FEW_PATIENTS} patients on a side, not in the mean."
    return page.Table.of(rows, caption, text_columns=2)


def _calibration(e: Evaluation, x: External) -> list[page.Block]:
    """The calibration line, and errors, of the labels in the mean, for both sides."""
    lines, errors = [], []
    for k, use in _in_mean(x):
        for group in e.groups:
            names = {"label": use.label, "arm": group.name}
            own: dict[str, str] = {}
            for side, site in _sides(x):
                n = site_numbers(site, group, k)
                cells = use.internal if side == INTERNAL else use.external
                lines.append(
                    {
                        **names,
                        "data": side,
                        "observed": number(cells.prevalence),
                        "predicted": number(n["mean_predicted"]),
                        "in the large": _line(n, LINE_COLUMNS[1]),
                        "slope": _line(n, LINE_COLUMNS[2]),
                    }
                )
                own |= {
                    f"ECE, {side}": number(n["ece"]),
                    f"perfect, {side}": number(n["ece_perfect"]),
                }
                if side != INTERNAL:
                    own[f"ECE, {side}, if shifted"] = number(n["ece_shifted"])
            errors.append({**names, **own})
    if not lines:
        return []
    line_caption = (
        "Calibration before and after the move, of probabilities as the runs give them. Predicted:"
        " mean probability, beside the observed share. In the large: what would have to be added to"
        " the log odds so that both agree; 0 is right, negative means predictions are too high."
        " Slope: 1 is right, less means predictions that are too extreme (Van Calster et al. 2016,"
        " 2019). Intervals clustered by patient."
    )
    error_caption = (
        "ECE: mean gap between predicted and observed share over bins of equal count. Perfect: what"
        " true probabilities would show on so many images. If shifted: what a shift of the odds by"
        " the ratio of both prevalences, and nothing else, would leave: it needs the prevalence of"
        " that hospital, and is shown here and applied nowhere."
    )
    return [
        page.Table.of(lines, line_caption, text_columns=3),
        page.Table.of(errors, error_caption, text_columns=2),
    ]


def _in_mean(x: External) -> list[tuple[int, LabelUse]]:
    """Labels of the mean with their places among those that are compared."""
    return [(k, use) for k, use in enumerate(x.compared) if use.use == IN_MEAN]


def _sides(x: External) -> list[tuple[str, Site]]:
    sides = ((INTERNAL, x.internal), (x.name, x.external))
    return [(name, site) for name, site in sides if site is not None]


def _line(numbers: dict[str, float], name: str) -> str:
    value, low, high = (numbers[f"{name}{end}"] for end in ("", "_low", "_high"))
    return "–" if math.isnan(value) else with_interval(value, low, high, signed="large" in name)


def _decisions(e: Evaluation, x: External) -> list[page.Block]:
    rows = []
    for k, use in _in_mean(x):
        for group in e.groups:
            cells = {
                f"{what}, {side}": with_interval(
                    *group_score(site.scored, group, k, site.scored.metrics.index(metric))
                )
                for what, metric in (
                    ("sensitivity", "stored_sensitivity"),
                    ("specificity", "stored_specificity"),
                )
                for side, site in _sides(x)
            }
            rows.append({"label": use.label, "arm": group.name, **cells})
    caption = (
        "Decisions at the thresholds that are stored with the runs, fixed at"
        f" {100 * SPECIFICITY:g} % specificity on internal validation rows."
    )
    return [page.Table.of(rows, caption, text_columns=2)] if rows else []


def _more(e: Evaluation, x: External) -> list[page.Block]:
    """Which labels are compared, reliability, near copies."""

    def share(value: float) -> str:
        return "–" if math.isnan(value) else f"{100 * value:.0f} %"

    shares = [
        (f"{what}, {side}", [share(getattr(getattr(use, which), key)) for use in x.uses])
        for what, key in (("blank", "blank"), ("−1", "uncertain"))
        for side, which in ((INTERNAL, "internal"), (x.name, "external"))
    ]
    shares = [(title, cells) for title, cells in shares if set(cells) - {"0 %", "–"}]
    rows = [
        {
            "label": use.label,
            "compared": use.use,
            "positive / images, internal": _of(use.internal.positive, use.internal.known),
            f"positive / images, {x.name}": _of(use.external.positive, use.external.known),
            **{title: cells[k] for title, cells in shares},
            "why": use.why,
        }
        for k, use in enumerate(x.uses)
    ]
    caption = "Which labels are compared, and why; counts under the label policy of the runs."
    if not shares:
        caption += " No cell is blank or −1."
    blocks: list[page.Block] = [
        page.Table.of(rows, caption, text_columns=2, text_last=True),
        *_reliability(e, x),
    ]
    text = (
        f"Near copies: images of {x.name} that are nearly images that a run has seen, so that what"
        " they score says little about new patients."
    )
    # The splits of an external set mean nothing here.
    blocks += near.blocks(
        x.near, text, f"images of {x.name}", "images that a run has seen",
        file=NEAR, without=("split",),
    )  # fmt: skip
    return blocks


def _of(positive: int, images: int) -> str:
    return f"{positive:,} / {images:,}" if images else "–"


def _reliability(e: Evaluation, x: External) -> list[page.Block]:
    """Observed over predicted on both sides, of one arm, its seeds pooled."""
    if not _in_mean(x):
        return []
    group = _drawn(e, x)[0]
    runs = list(group.runs.values())
    panels, places = [], _in_mean(x)
    for k, _ in places:
        lines = []
        for series, (name, site) in enumerate(_sides(x)):
            own = site.mask[:, k]
            truth = np.tile(site.truth[own, k], len(runs))
            points = reliability(truth, site.scores[runs][:, own, k].ravel())[:2]
            lines.append(figures.Line(series, name, *points))
        panels.append(figures.Panel(lines))
    names: Sequence[str] = [name for name, _ in _sides(x)]
    svgs = figures.curve_panels(
        panels, f"external-calibration-{_key(e, x)}", "predicted", "observed", diagonal=True
    )
    items = [
        page.Svg(svg, use.label, f"ECE {_both_errors(x, group, k)}.")
        for svg, (k, use) in zip(svgs, places)
    ]
    caption = (
        f"Arm {group.name}: share of positives over mean prediction, bins of equal count; dashed:"
        " perfect."
    )
    return [page.Panels(items, "Reliability.", list(enumerate(names)), caption)]


def _both_errors(x: External, group: Group, row: int) -> str:
    runs = list(group.runs.values())
    return ", ".join(
        f"{name} {number(float(site.ece[runs, row].mean()))}" for name, site in _sides(x)
    )
