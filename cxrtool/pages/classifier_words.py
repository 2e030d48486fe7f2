"""What the page of `evaluate classifiers` says to a reader who knows no statistics.

In: an `Evaluation`. Out: the result as one sentence without numbers but those of runs, images and
patients, and what each arm is.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cxrtool.pages import other_patients
from cxrtool.stats.classifier_results import Evaluation
from cxrtool.stats.comparison import Difference
from cxrtool.stats.groups import Group
from cxrtool.stats.wording import counted, number

#: What the networks of an arm are trained on.
ARMS = {
    "none": "real images alone",
    "standard": "real images, a little turned, shifted, scaled and changed in contrast each time",
    "duplicate": "real images, and once more those whose labels the synthetic images took: as many"
    " images as with synthetic ones, but nothing new",
    "gan": "real images and synthetic ones",
    "synthetic-only": "synthetic images alone",
    "pretrain-finetune": "synthetic images first, real ones afterwards",
    "pooled": "real images, and real ones of another data set",
}
#: The same as the subject of a sentence.
DOING = {
    "none": "training on the real images alone",
    "standard": "ordinary augmentation",
    "duplicate": "showing real images again",
    "gan": "adding synthetic images",
    "synthetic-only": "training on synthetic images alone",
    "pretrain-finetune": "training on synthetic images first",
    "pooled": "adding real images of another data set",
}
AUGMENTED = {
    "safe": "all of them a little turned, shifted, scaled and changed in contrast each time",
    "flips": "flipped at random",
}
_BETTER = "the synthetic images help beyond showing the real ones again"
_WORSE = "the synthetic images do worse than showing the real ones again"
#: After one of them, of other regimens or sets.
_SHORT = {
    f"Evidence that {_BETTER}": "evidence that they help",
    f"No evidence that {_BETTER}": "no evidence that they help",
    f"Evidence that {_WORSE}": "evidence that they do worse",
}


def arms(e: Evaluation) -> list[tuple[str, str]]:
    """Groups of runs and what they were trained on; a line for all of one definition."""
    names: dict[str, list[str]] = {}
    for group in e.groups:
        names.setdefault(_definition(e, group), []).append(group.name)
    return [
        (", ".join(own), f"{words.removesuffix(')')} each)" if len(own) > 1 else words)
        for words, own in names.items()
    ]


def _definition(e: Evaluation, group: Group) -> str:
    parts = [ARMS.get(group.arm, "")]
    kinds = {str(e.runs[run].get("augmentation", "")) for run in group.runs.values()}
    parts += [
        AUGMENTED[kind] for kind in sorted(kinds & AUGMENTED.keys()) if group.arm != "standard"
    ]
    parts += rare_classes(json.loads(group.treatment or "{}"))
    words = ", ".join(filter(None, parts))
    return f"{words} ({counted(len(group.runs), 'run')})".strip()


def rare_classes(treatment: Mapping[str, Any]) -> list[str]:
    """What was done for rare classes, in words; empty where nothing was."""
    words = []
    if treatment.get("sampling") == "balanced":
        words.append("rows of rare labels drawn more often")
    if treatment.get("focal_gamma"):
        words.append("with a loss that looks at hard images first (focal)")
    if treatment.get("logit_adjust"):
        words.append("with the frequency of each label taken out while training (logit adjustment)")
    return words


def headline(e: Evaluation, shown: Sequence[Difference]) -> str:
    """The result for a reader who reads nothing else.

    Args:
        e: The evaluation.
        shown: The comparisons that it is about; none for one arm alone.
    """
    who = "patient" if e.patients_known else "group"
    extent = (
        counted(len(e.runs), "run"),
        counted(len(e.truth), "test image"),
        counted(len(np.unique(e.codes)), who)
        + ("" if e.patients_known else " of identical images"),
    )
    if e.other_patients is not None:
        return other_patients.finding(e.other_patients, ", ".join(extent))
    return f"{_finding(e, shown)} ({', '.join(extent)})."


def _finding(e: Evaluation, shown: Sequence[Difference]) -> str:
    if not shown:
        group = e.groups[0]
        value = float(e.scored.points[list(group.runs.values()), -1, 0].mean())
        labels = counted(int(e.scored.averaged.sum()), "label")
        return f"Mean AUROC {number(value)} over {labels}; one arm alone, so nothing is compared"
    return judged(e.groups, e.differences, shown)


def judged(
    groups: Sequence[Group], differences: Sequence[Difference], shown: Sequence[Difference]
) -> str:
    """What comparisons showed, without numbers: "No evidence that adding synthetic images ...".

    Args:
        groups: All arms.
        differences: All of them.
        shown: Those that it is about, at least one.
    """
    if len(shown) == 1:
        shown = _of_its_kind(groups, differences, shown[0])
    if len(shown) == 1:
        return _sentence(groups, shown[0])
    names = {group.name: group.regimen_name or group.name for group in groups}
    if len({names.get(d.a) for d in shown}) < len(shown):
        names = {group.name: group.name for group in groups}
    where: dict[str, list[str]] = {}
    for d in shown:
        text = _sentence(groups, replace(d, primary=shown[0].primary))
        where.setdefault(text, []).append(names.get(d.a, d.a))
    if len(where) == 1:
        of = "both" if len(shown) == 2 else f"all {len(shown)}"
        return f"{next(iter(where))}, in {of} comparisons"
    (first, own), *others = where.items()
    said = [f"{first}: {', '.join(own)}"]
    for text, own in others:
        short = _SHORT.get(text, text[0].lower() + text[1:])
        said.append(f"{short}: {', '.join(own)}")
    return "; ".join(said)


def _of_its_kind(
    groups: Sequence[Group], differences: Sequence[Difference], main: Difference
) -> list[Difference]:
    """A comparison, and those of the same two arms on other synthetic sets.

    Of several sets one is the primary one; the first sentence must not pass it for all of them.
    """
    arms = {group.name: group.arm for group in groups}
    both = arms.get(main.a), arms.get(main.b)
    others = [
        d
        for d in differences
        if (d.row, d.metric) == (main.row, main.metric)
        and (arms.get(d.a), arms.get(d.b)) == both
        and d.a != main.a
    ]
    return [main, *others]


def _sentence(groups: Sequence[Group], d: Difference) -> str:
    return _opening(d) + _claim(groups, d) + _reason(d)


def _opening(d: Difference) -> str:
    if d.verdict.startswith("evidence"):
        return "Evidence that "
    return "No evidence that " if d.verdict == "no evidence" else "No verdict on whether "


def _reason(d: Difference) -> str:
    if d.verdict == "no evidence" or d.verdict.startswith("evidence"):
        return ""
    why = d.verdict.replace(" for a verdict", "").replace(" (", ", ").replace(")", "")
    return f": {why}"


def _claim(groups: Sequence[Group], d: Difference) -> str:
    """What would be so if the first arm were better, or is so where it is worse."""
    worse = d.verdict == "evidence against"
    if d.primary:
        return _WORSE if worse else _BETTER
    arm_of = {group.name: group.arm for group in groups}
    a, b = arm_of.get(d.a, d.a), arm_of.get(d.b, d.b)
    if a == b or a not in DOING or b not in DOING:
        return f"{d.a} reads {'worse' if worse else 'better'} than {d.b}"
    return f"{DOING[a]} does {'worse' if worse else 'better'} than {DOING[b]}"
