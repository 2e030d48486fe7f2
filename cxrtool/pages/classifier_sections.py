"""Further sections of the page of `evaluate classifiers`.

In: an `Evaluation`. Out: decisions at fixed specificity, calibration, subgroups, class activation
maps, learning curves, fidelity and privacy of the synthetic images, provenance. A section with
nothing to show is left out.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from cxrtool.pages import figures, near, page
from cxrtool.stats.calibration import DRAWS, LEAST_TO_FIT, reliability
from cxrtool.stats.classifier_results import Evaluation, run_name
from cxrtool.stats.comparison import COMPARED, MEAN, Difference, Scored, group_score
from cxrtool.stats.curves import SPECIFICITY
from cxrtool.stats.groups import Group, claim
from cxrtool.stats.intervals import CLASS_METRICS
from cxrtool.stats.scope import VARIED, explained
from cxrtool.stats.verdicts import MIN_SEEDS, POWER
from cxrtool.stats.wording import intervals_cover, number, with_interval

TILE_PX = 96


def cell(scored: Scored, group: Group, row: str, metric: str) -> str:
    """Mean score of a group's runs with its interval, for a table."""
    place = scored.rows.index(row), scored.metrics.index(metric)
    return with_interval(*group_score(scored, group, *place))


#: Under the tables after the first.
AS_ABOVE = page.Text("Intervals: as under Scores.")


def intervals(e: Evaluation) -> page.Text:
    """What the intervals of tables cover, to stand under the first of them."""
    units = "patients" if e.patients_known else "groups of identical images"
    return page.Text(intervals_cover(e.resamples, units))


def class_metrics(scored: Scored) -> list[str]:
    """The metrics of single-label sets, for all classes together; none of others."""
    return [name for name in scored.metrics if name in CLASS_METRICS]


def several_regimens(e: Evaluation, main: Sequence[Difference]) -> str:
    """The primary comparisons of several regimens or synthetic sets in one sentence."""
    names = {group.name: group.regimen_name for group in e.groups}
    if len({names.get(d.a) for d in main}) < len(main):
        names = {}  # several sets within a regimen: only the arm's name tells them
    parts = []
    for d in main:
        numbers = with_interval(d.value, d.low, d.high, signed=True) + d.p_text(corrected=False)
        blind = f" ({d.blind_text()})" if d.blind_text() else ""
        parts.append(f"{names.get(d.a) or d.a}: {numbers}: {d.verdict}{blind}")
    corrected = next((f" ({d.correction()})" for d in main if d.correction()), "")
    return f"GAN minus duplicate, mean AUROC{corrected}: " + "; ".join(parts) + "."


def about(e: Evaluation, shown: Sequence[Difference]) -> str:
    """What the verdicts that are shown are about, in sentences; "" if nothing."""
    groups = {group.name: group for group in e.groups}
    judged = [d for d in shown if not math.isnan(d.p)]
    return explained([claim(groups[d.a], groups[d.b]) for d in judged])


def near_copies(e: Evaluation) -> list[page.Section]:
    """Judged images that are nearly images that a run has seen, in pairs."""
    text = (
        "The leak guard refuses identical images. These pairs are not identical, but one picture"
        " after a flip, a crop, other contrast or another save, or films of one person that hardly"
        " differ: what such an image scores says little about new patients."
    )
    blocks = near.blocks(e.near, text, "judged images", "images that a run has seen")
    return [page.Section("Near copies", blocks)] if blocks else []


def decisions(e: Evaluation) -> list[page.Section]:
    """Sensitivity at fixed specificity, then calibration errors, by label and arm."""
    if not e.scored.defined.any():
        return []
    points, errors = [], []
    percent = f"{100 * SPECIFICITY:g} %"
    for row in (len(e.scored.labels), *np.flatnonzero(e.scored.defined)):
        label = e.scored.rows[row]
        for group in e.groups:
            runs = list(group.runs.values())
            stored = _at_threshold(e, runs, label)
            names = {"label": label, "arm": group.name}
            points.append(
                {
                    **names,
                    f"sensitivity at {percent} specificity": cell(
                        e.scored, group, label, "sensitivity"
                    ),
                    "sensitivity, stored": stored[0],
                    "specificity, stored": stored[1],
                }
            )
            errors.append({**names, **_errors_of(e, group, row)})
    decided = (
        f"Sensitivity where the ROC curve reaches {percent} specificity; and what the threshold"
        f" that was fixed at {percent} specificity on the validation rows gives on these."
    )
    calibrated = (
        "ECE: mean gap between predicted and observed share over bins of equal count, after"
        " prior-shift correction and one temperature. Perfect: what true probabilities would show"
        f" on so many images, by chance alone (mean of {DRAWS} draws of the truth from them;"
        " Bröcker & Smith 2007). Brier: mean squared error of the probability. Smaller is better."
    )
    if e.isotonic is not None:
        calibrated += (
            " Isotonic: the monotone function that fits each run's validation rows best, on top;"
            f" –: fewer than {LEAST_TO_FIT} rows with the label, or without it."
        )
    blocks = [
        page.Table.of(points, decided, text_columns=2),
        page.Table.of(errors, calibrated, text_columns=2),
        AS_ABOVE,
    ]
    return [page.Section("Decisions and calibration", blocks)]


def _errors_of(e: Evaluation, group: Group, row: int) -> dict[str, str]:
    """Calibration errors of a label, means over the runs of an arm."""

    def mean(values: np.ndarray) -> str:
        own = values[list(group.runs.values()), row] if values.size else np.array([math.nan])
        return number(float(np.mean(own)))

    brier = cell(e.scored, group, e.scored.rows[row], "brier")
    if e.isotonic is None:
        return {"ECE": mean(e.ece), "perfect": mean(e.ece_perfect), "Brier": brier}
    return {
        "ECE": mean(e.ece),
        "perfect": mean(e.ece_perfect),
        "isotonic": mean(e.isotonic.ece),
        "Brier": brier,
        "Brier, isotonic": mean(e.isotonic.brier),
    }


def studies(e: Evaluation) -> list[page.Section]:
    """Scores of whole studies beside those of images."""
    if e.studies is None:
        return []
    ways = {"images": e.scored, "largest view": e.studies.largest, "mean of views": e.studies.mean}
    labels = (MEAN, *(e.scored.labels[k] for k in np.flatnonzero(e.scored.averaged)))
    text = (
        f"{e.studies.studies:,} studies, {e.studies.several:,} of them with several images. The"
        " probability of a study is the largest of its views (CheXpert, Irvin et al. 2019), or"
        " their mean; a study has a label if one of its images has it."
    )
    tables = [
        page.Table.of(
            [
                {
                    "label": label,
                    "arm": group.name,
                    **{way: cell(scored, group, label, metric) for way, scored in ways.items()},
                }
                for label in labels
                for group in e.groups
            ],
            f"{COMPARED[metric][0].upper()}{COMPARED[metric][1:]}.",
            text_columns=2,
        )
        for metric in ("auroc", "average_precision")
    ]
    return [page.Section("Whole studies", [page.Text(text), *tables, AS_ABOVE])]


def _at_threshold(e: Evaluation, runs: Sequence[int], label: str) -> list[str]:
    records = [r for r in e.operating if r["run"] - 1 in runs and r["label"] == label]
    if not records:
        return ["–", "–"]
    keys = ("sensitivity", "specificity")
    return [number(float(np.mean([r[key] for r in records]))) for key in keys]


def calibration(e: Evaluation) -> list[page.Section]:
    """Reliability curves, one panel a label, one curve an arm (its seeds pooled)."""
    panels = []
    labels = np.flatnonzero(e.scored.defined).tolist()
    for k in labels:
        rows = e.mask[:, k]
        lines = []
        for i, group in enumerate(e.groups):
            runs = list(group.runs.values())
            truth = np.tile(e.truth[rows, k], len(runs))
            points = reliability(truth, e.scores[runs][:, rows, k].ravel())[:2]
            lines.append(figures.Line(i, group.name, *points))
        panels.append(figures.Panel(lines))
    if not panels:
        return []
    svgs = figures.curve_panels(panels, "calibration", "predicted", "observed", diagonal=True)
    items = [page.Svg(svg, e.scored.labels[k], _errors(e, k)) for k, svg in zip(labels, svgs)]
    legend = [(i, group.name) for i, group in enumerate(e.groups)]
    caption = "Share of positives over mean prediction, bins of equal count; dashed: perfect."
    block = page.Panels(items, "Reliability.", legend, caption)
    return [page.Section("Calibration", [block], folded=True)]


def _errors(e: Evaluation, row: int) -> str:
    """The calibration error of each arm in words."""
    means = [
        f"{group.name} {number(float(e.ece[list(group.runs.values()), row].mean()))}"
        for group in e.groups
    ]
    return f"Expected calibration error: {', '.join(means)}."


def subgroups(e: Evaluation) -> list[page.Section]:
    """Mean AUROC and the primary difference within each subgroup."""
    if not e.subgroups:
        return []
    rows, sentences = [], []
    for sub in e.subgroups:
        for group in e.groups:
            mean = "too few patients"
            if sub.scored is not None:
                mean = cell(sub.scored, group, MEAN, "auroc")
            rows.append([sub.name, group.name, f"{sub.images:,} / {sub.patients:,}", mean])
        shown = [d for d in sub.differences if d.row == MEAN and d.metric == "auroc"]
        main = [d for d in shown if d.primary] or shown[:1]
        sentences += [f"{sub.name}: {d.sentence()}" for d in main]
    columns = ["subgroup", "arm", "images / patients", "mean AUROC"]
    caption = (
        "Mean AUROC over the labels with enough patients within the subgroup; the sets of labels"
        " may differ. Subgroups were not corrected for each other: read them as description."
    )
    table = page.Table(columns, rows, caption, text_columns=2)
    blocks: list[page.Block] = [table, _subgroup_labels(e), AS_ABOVE]
    if sentences:
        blocks.append(page.Bullets(sentences))
    return [page.Section("Subgroups", blocks)]


def _subgroup_labels(e: Evaluation) -> page.Table:
    """What the subgroups hold of each label, and the scores that need it."""
    rows = []
    for sub in e.subgroups:
        scored = sub.scored
        if scored is None:
            continue
        for row, label in enumerate(scored.rows):
            counts = ["–", "–"]
            if label != MEAN:
                known, positive = int(sub.known[row]), int(sub.positive[row])
                share = positive / known if known else math.nan
                counts = [f"{positive:,} / {known:,}", number(share)]
            for group in e.groups:
                ece = float(sub.ece[list(group.runs.values()), row].mean())
                metrics = ("sensitivity", "brier", *class_metrics(scored))
                cells = [cell(scored, group, label, metric) for metric in metrics]
                rows.append([sub.name, label, group.name, *counts, number(ece), *cells])
    columns = ["subgroup", "label", "arm", "positive / images", "prevalence", "ECE"]
    columns += [f"sensitivity at {100 * SPECIFICITY:g} % specificity", "Brier"]
    columns += [COMPARED[name] for name in class_metrics(e.scored)]
    return page.Table(columns, rows, "By subgroup and label.", text_columns=3)


def maps(e: Evaluation) -> list[page.Section]:
    """Class activation maps, real and synthetic images side by side."""
    if not e.maps:
        return []
    text = (
        f"Grad-CAM of a network of the arm {e.maps[0].group} for each label, on images that"
        " have it: bright is what speaks for the label. The maps are a few cells wide."
    )
    pictures: list[list[page.Block]] = []
    for panel in e.maps:
        what = f"images of {panel.label} above their class activation maps"
        pictures.append(
            [
                page.Picture(
                    _pairs(images, colored), f"{kind} {what}", f"{panel.label}: {kind}", lossy=True
                )
                for kind, images, colored in panel.sides
            ]
        )
    if all(len(sides) == 1 for sides in pictures):  # nothing to stand beside: two labels a row
        alone = [sides[0] for sides in pictures]
        pictures = [alone[k : k + 2] for k in range(0, len(alone), 2)]
    blocks = [page.Text(text), *(page.Row(sides) for sides in pictures)]
    return [page.Section("Class activation maps", blocks)]


def _pairs(images: np.ndarray, colored: np.ndarray) -> Image.Image:
    """Images in one row, their maps beneath."""
    gap, n = 4, len(images)
    sheet = Image.new("RGB", (n * TILE_PX + (n - 1) * gap, 2 * TILE_PX + gap), (128, 128, 128))
    for k in range(n):
        for row, tile in enumerate((np.stack([images[k]] * 3, axis=-1), colored[k])):
            shown = Image.fromarray(np.ascontiguousarray(tile))
            shown = shown.resize((TILE_PX, TILE_PX), Image.Resampling.BICUBIC)
            sheet.paste(shown, (k * (TILE_PX + gap), row * (TILE_PX + gap)))
    return sheet


def learning(e: Evaluation) -> list[page.Section]:
    """Training and validation loss over the steps, a panel an arm."""
    if not any(e.histories):
        return []
    groups = [(g.name, [e.histories[run] for run in g.runs.values()]) for g in e.groups]
    groups = [(name, histories) for name, histories in groups if any(histories)]
    svgs = figures.losses_panels([histories for _, histories in groups], "learning")
    items = []
    for (name, histories), svg in zip(groups, svgs):
        ends = [history[-1]["val_loss"] for history in histories if history]
        alt = f"Validation loss at the end: {number(min(ends))} to {number(max(ends))}."
        items.append(page.Svg(svg, name, alt))
    caption = (
        "One line a seed (of the first fold). The validation rows are real in every arm; a"
        " validation loss that rises while training falls is overfitting."
    )
    legend = list(enumerate(figures.LOSSES.values()))
    block = page.Panels(items, "Loss over optimizer steps.", legend, caption)
    return [page.Section("Learning curves", [block], folded=True)]


def images(e: Evaluation) -> list[page.Section]:
    """Fidelity and privacy of the synthetic images, from runs of `evaluate images`."""
    blocks: list[page.Block] = []
    for report in e.image_reports:
        blocks.append(page.Text(str(report["answer"])))
        rows = [
            [
                str(r["extractor"]), str(r["metric"]), f"{r['n_synthetic']:,} / {r['n_real']:,}",
                _cell(r.get("value")), _cell(r.get("real_real")),
            ]
            for r in report["distances"]
            if r["label"] == "all images"
        ]  # fmt: skip
        columns = ["feature space", "metric", "synthetic / real", "value", "real / real"]
        blocks.append(page.Table(columns, rows, "Fidelity.", text_columns=2))
        spaces = [
            [n["space"], _cell(n["ratio"]), _cell(n["copy_rate"])] for n in report["nearness"]
        ]
        if spaces:
            columns = ["space", "distance ratio", "share nearer than held-out images"]
            caption = "Privacy: nearness to training images, beside that of held-out images."
            blocks.append(page.Table(columns, spaces, caption))
    return [page.Section("Fidelity and privacy of the synthetic images", blocks)] if blocks else []


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{float(value):.3g}".replace("-", "−")


def provenance(e: Evaluation) -> page.Section:
    unseen = f"images, {e.compared}" if e.compared else "patients or images"
    facts: dict[str, list[str]] = {
        key: [str(run.get(key, "–")) for run in e.runs]
        for key in dict.fromkeys(key for run in e.runs for key in run)
    }
    shared = {key for key, cells in facts.items() if len(cells) > 1 and len(set(cells)) == 1}
    own = {key: cells for key, cells in facts.items() if key not in shared}
    rows = [
        [run_name(e.groups, i), *(cells[i] for cells in own.values())] for i in range(len(e.runs))
    ]
    same = [(key, cells[0]) for key, cells in facts.items() if key in shared and cells[0]]
    return page.Section(
        "Methods and provenance",
        [
            page.Bullets(
                [
                    f"Intervals: {e.resamples:,} resamples of whole patients, the same for every"
                    " run, so that differences are paired. Of one seed: percentiles of them. Of"
                    " several: the t distribution that verdicts use, over seeds and patients.",
                    f"Verdicts: seed-paired t over at least {MIN_SEEDS} seeds an arm, with the"
                    " patient-bootstrap variance added; degrees of freedom by Welch and"
                    " Satterthwaite from seeds − 1 and, of patients with a label or without it,"
                    " the fewer − 1; Holm's correction of p and interval within each family of"
                    " comparisons; gan minus duplicate is the primary comparison.",
                    VARIED,
                    "Beside no evidence stands the smallest true difference that would be found"
                    f" with {100 * POWER:g} % power (noncentral t, from the standard error, at the"
                    " corrected level): what was seen has no part in it.",
                    "Probabilities are calibrated on each run's real validation rows: the shift"
                    " from the prevalence of its training images to the natural one, then one"
                    " temperature.",
                    "AUROC and average precision of a label need both classes; undefined values are"
                    " left out of the mean and named.",
                    "Each network predicted the images with its own stored preprocessing, label"
                    f" policy and row selection; none of them has seen these {unseen}.",
                ]
            ),
            *([page.Text("The same in all runs:"), page.Terms(same)] if same else []),
            page.Table(["run", *own], rows, text_columns=len(own) + 1),
        ],
        folded=True,
    )
