"""The report page of `evaluate clip`: which texts taught a CLIP to read, and whether any did.

In: a `Comparison`. Out: a `Page` without ids, paths and texts.
"""

from cxrtool.pages import figures
from cxrtool.pages.page import Numbers, Page, Section, Svg, Table, Text, cautions
from cxrtool.stats import clip_results
from cxrtool.stats.clip_results import AUROC, RETRIEVAL, Comparison, strategy_table
from cxrtool.stats.comparison import MEAN, Difference, group_score
from cxrtool.stats.verdicts import MIN_SEEDS, POWER
from cxrtool.stats.wording import intervals_cover, number, p_value, with_interval


def answer(c: Comparison) -> str:
    """The result in one sentence."""
    best = max(strategy_table(c), key=lambda r: r["auroc"])
    score = with_interval(best["auroc"], best["auroc_low"], best["auroc_high"])
    if len(c.groups) == 1:
        return f"{best['strategy']}: mean zero-shot AUROC {score} on {len(c.truth):,} images."
    against = [d.sentence() for d in _means(c) if d.a == best["strategy"]]
    first = f"{best['strategy']} reads best: mean zero-shot AUROC {score}."
    return " ".join([first, *against[:1]])


def _means(c: Comparison) -> list[Difference]:
    return [d for d in c.differences if d.row == MEAN and d.metric == c.scored.metrics[AUROC]]


def build(c: Comparison) -> Page:
    """The whole page."""
    sections = [_overview(c), _labels(c)]
    if c.differences:
        sections.append(_differences(c))
    sections += [_retrieval(c), _negation(c)]
    return Page(f"CLIPs by text strategy, on {c.source}", answer(c), sections)


def _overview(c: Comparison) -> Section:
    strategies = [
        {
            "text strategy": r["strategy"],
            "seeds": f"{r['seeds']}",
            "mean zero-shot AUROC": with_interval(r["auroc"], r["auroc_low"], r["auroc_high"]),
            "labels at chance": f"{r['labels_at_chance']} of {r['labels']}",
            "image to text @10": number(r["image_to_text@10"]),
            "text to image @10": number(r["text_to_image@10"]),
            "negation passed": f"{r['negation_passed']:.0%}",
            "image cosine": number(r["image_cosine"], 2),
        }
        for r in strategy_table(c)
    ]
    runs = sum(len(group.runs) for group in c.groups)
    numbers = [
        (f"{len(c.truth):,}", "images"),
        (f"{c.patients:,}", "patients"),
        (f"{runs}", "run" if runs == 1 else "runs"),
        (f"{int(c.scored.defined.sum())}", "labels"),
    ]
    note = (
        "At chance: one half lies in the label's interval. Negation passed: share of the labels"
        " most of whose positive images are nearer to the prompt than to its negation. Image"
        " cosine: of two different images; near 1 the embedding has collapsed."
        f" {intervals_cover(c.resamples)}"
    )
    table = Table.of(strategies, "Means over seeds.")
    blocks = [Numbers(numbers), *cautions(c.cautions), table, Text(note, tone="note")]
    return Section("Strategies", blocks)


def _labels(c: Comparison) -> Section:
    bars = [
        figures.Bar(label, k, group.name, *group_score(c.scored, group, place, AUROC))
        for k, group in enumerate(c.groups)
        for place, label in enumerate(c.scored.rows)
    ]
    chance = clip_results.CHANCE
    figure = figures.forest_figure(bars, "zero-shot", xlabel="zero-shot AUROC", reference=chance)
    rows = []
    for place, label in enumerate(c.scored.rows):
        cells = [with_interval(*group_score(c.scored, g, place, AUROC)) for g in c.groups]
        positives = "" if label == MEAN else f"{int((c.truth * c.mask)[:, place].sum()):,}"
        rows.append([label, positives, *cells])
    columns = ["label", "positives", *(group.name for group in c.groups)]
    alt = f"Of {len(c.scored.rows)} rows; the table below has the numbers."
    shown = Svg(figure, "Zero-shot AUROC.", alt, "With 95 % interval; dashed: chance.")
    return Section("Zero-shot AUROC by label", [shown, Table(columns, rows)])


def _differences(c: Comparison) -> Section:
    shown = _means(c)
    rows = [
        {
            "difference in mean AUROC": f"{d.a} minus {d.b}",
            "seeds": f"{d.pairs}",
            "value": with_interval(d.value, d.low, d.high, signed=True),
            "p": p_value(d.p),
            "would find": number(d.detectable),
            "verdict": d.verdict,
        }
        for d in shown
    ]
    caption = (
        f"Paired by seed. Below {MIN_SEEDS} seeds there is no verdict. Would find: the smallest"
        f" true difference that would be found with {100 * POWER:g} % power, corrected alike."
    )
    if said := next((d.correction() for d in shown if d.correction()), ""):
        caption = f"{said[0].upper()}{said[1:]} (Holm). {caption}"
    return Section(f"Against {c.differences[0].b}", [Table.of(rows, caption, text_last=True)])


def _retrieval(c: Comparison) -> Section:
    records = strategy_table(c)
    rows = [[r["strategy"], *(number(r[k]) for k in RETRIEVAL)] for r in records]
    rows.append(["chance", *(number(c.chance[k]) for k in RETRIEVAL)])
    column, pairs, different = c.texts
    caption = f"{pairs:,} images and the {different:,} different texts of {column}."
    titles = [k.replace("_", " ").replace("@", " @") for k in RETRIEVAL]
    return Section("Retrieval", [Table(["text strategy", *titles], rows, caption=caption)])


def _negation(c: Comparison) -> Section:
    names = [group.name for group in c.groups]
    seeds = {g.name: "all" if len(g.runs) > 1 else next(iter(g.runs)) for g in c.groups}
    shares = {
        (r["label"], r["strategy"]): r["nearer_than_negation"]
        for r in clip_results.label_table(c)
        if r["seed"] == seeds[r["strategy"]]
    }
    rows = [
        [label, *(number(shares[label, name], 2) for name in names)] for label in c.scored.labels
    ]
    caption = "Share of a label's positive images that are nearer to its prompt than to its denial."
    table = Table(["label", *names], rows, caption=caption)
    return Section("Negation by label", [table], folded=True)
