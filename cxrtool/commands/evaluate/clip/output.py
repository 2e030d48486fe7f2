"""What `cxr evaluate clip` writes and says.

In: a `Comparison`. Out: tables, the page, lines on stderr, and the summary.
"""

from dataclasses import asdict, replace
from typing import Any

from cxrtool.core import console
from cxrtool.core.runs import Run
from cxrtool.pages import clip as clip_page
from cxrtool.pages import render
from cxrtool.stats import clip_results
from cxrtool.stats.clip_results import Comparison, at_chance
from cxrtool.stats.comparison import MIN_SEEDS
from cxrtool.stats.predictions import Records, csv_text
from cxrtool.stats.wording import number, with_interval

CONTROL = "random"
"""Strategies of this name have texts of other patients: what they read has leaked."""
LEAST_AT_CHANCE = 12 / 14  # share of the labels; one interval in twenty misses one half by chance


def cautions(result: Comparison, left_out: list[str]) -> list[str]:
    """Sentences on what is missing or odd."""
    sentences = list(left_out)
    for group in result.groups:
        if len(group.runs) < MIN_SEEDS or group.arm.split("-")[0] != CONTROL:
            continue
        inside, scored_labels = at_chance(result.scored, group)
        if inside < LEAST_AT_CHANCE * scored_labels:
            sentences.append(
                f"{group.name} was trained on texts of other patients and reads only {inside} of "
                f"{scored_labels} labels at chance: something leaks."
            )
    return sentences


def write_outputs(run: Run, result: Comparison, left_out: list[str]) -> dict[str, Any]:
    """Tables, page and the summary."""
    result = replace(result, cautions=cautions(result, left_out))
    for caution in result.cautions:
        console.warn(caution)
    labels, strategies = clip_results.label_table(result), clip_results.strategy_table(result)
    differences = [asdict(d) for d in result.differences if d.metric == "auroc"]
    for name, records in (
        ("metrics.csv", labels),
        ("strategies.csv", strategies),
        ("comparison.csv", differences),
    ):
        if records:
            run.write_text(name, csv_text(*Records(records).cells()))
    answer = clip_page.answer(result)
    run.write_json(
        "metrics.json",
        {
            "answer": answer,
            "strategies": strategies,
            "metrics": labels,
            "differences": differences,
            "models": list(result.models),
            "cautions": list(result.cautions),
        },
    )
    render.write(run, clip_page.build(result), "evaluate clip")
    console.table(
        "Text strategies",
        ["", "seeds", "mean AUROC", "at chance", "image to text @10", "negation passed"],
        [
            [
                r["strategy"],
                r["seeds"],
                with_interval(r["auroc"], r["auroc_low"], r["auroc_high"]),
                f"{r['labels_at_chance']} of {r['labels']}",
                number(r["image_to_text@10"]),
                f"{r['negation_passed']:.0%}",
            ]
            for r in strategies
        ],
    )
    console.say(answer)
    return {
        "answer": answer,
        "images": len(result.truth),
        "labels": list(result.scored.labels),
        "strategies": {r["strategy"]: r["auroc"] for r in strategies},
        "cautions": list(result.cautions),
    }
