"""Runs that are compared must have been asked the same question.

In: the descriptions (`model.json`) of several runs and the data set they are judged on. Out: the
labels that all of them and the data know, what was left out and why, or a clear refusal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cxrtool.data.labels import LabelPolicy
from cxrtool.data.manifest import Dataset
from cxrtool.data.maps import canonical
from cxrtool.errors import InputError


def common_policy(names: Sequence[str], descriptions: Sequence[Mapping[str, Any]]) -> LabelPolicy:
    """The one label policy of all runs.

    Raises:
        InputError: Two runs differ; names both values.
    """
    policies = [LabelPolicy.from_json(d["policy"]) for d in descriptions]
    for name, policy in zip(names, policies):
        difference = policies[0].difference(policy)
        if difference is not None:
            raise InputError(
                f"{names[0]} and {name} mean other things by a label: {difference}",
                hint="compare runs of one label policy",
            )
    return policies[0]


def common_view(names: Sequence[str], descriptions: Sequence[Mapping[str, Any]]) -> str:
    """The one view selection of all runs, so that they are judged on the same rows.

    Raises:
        InputError: Two runs differ; names both values.
    """
    views = [str(d["selection"]["view"]) for d in descriptions]
    for name, view in zip(names, views):
        if view != views[0]:
            raise InputError(
                f"{names[0]} was trained with --view {views[0]} and {name} with --view {view}:"
                " they would be judged on different rows",
                hint="choose the rows for all of them with --view",
            )
    return views[0]


def refuse_other_pixels(name: str, description: Mapping[str, Any], data: Dataset) -> None:
    """A network is judged on images made as those it was trained on.

    Raises:
        InputError: Size, fit or kernel differ.
    """
    made = description["preprocessing"]
    for ours, theirs in (("size", "native_size"), ("fit", "fit"), ("kernel", "kernel")):
        found, wanted = getattr(data.info, ours), made.get(theirs)
        if found != wanted:
            raise InputError(
                f"{name} was trained on images with {ours} {wanted}, these have {found}",
                file=data.path,
                hint=f"prepare the data with --{ours} {wanted}" if ours != "kernel" else None,
            )


def common_labels(
    names: Sequence[str], label_sets: Sequence[Sequence[str]], data: Dataset
) -> tuple[tuple[str, ...], list[str]]:
    """Labels that every run predicts and the data covers, in the data's spelling and order.

    Args:
        names: Shown name of each run.
        label_sets: Labels of each run.
        data: The data set with the truth.

    Returns:
        ``(labels, left_out)``, the second one a sentence for each label that is left out.

    Raises:
        InputError: Nothing is left.
    """
    known = [{canonical(label) for label in labels} for labels in label_sets]
    kept, left_out = [], []
    for label, covered in zip(data.info.labels, data.info.covered):
        lacking = [name for name, own in zip(names, known) if canonical(label) not in own]
        if not covered:
            if len(lacking) < len(names):
                left_out.append(f"{label} is left out: the data set says nothing about it.")
        elif not lacking:
            kept.append(label)
        elif len(lacking) < len(names):
            left_out.append(f"{label} is left out: not predicted by {', '.join(lacking)}.")
    ours = {canonical(label) for label in data.labels}
    strange = sorted(
        {label for labels in label_sets for label in labels if canonical(label) not in ours}
    )
    left_out += [f"{label} is left out: the data set does not have it." for label in strange]
    if not kept:
        raise InputError(
            "no label is common to the runs and the data set",
            file=data.path,
            hint="; ".join(f"{n}: {', '.join(s)}" for n, s in zip(names, label_sets))
            + f"; data: {', '.join(data.labels)}",
        )
    return tuple(kept), left_out


def positions(own: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where each wanted label stands among a run's own, spellings joined."""
    places = {canonical(label): k for k, label in enumerate(own)}
    return [places[canonical(label)] for label in wanted]
