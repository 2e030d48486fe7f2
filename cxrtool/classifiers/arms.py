"""The arms of a fair comparison: which images a network is trained on.

In: a real data set with its chosen rows, synthetic sets, label names and policy. Out: the parts of
a training pool. The arms  differ in the images alone; steps, batch and everything else
are equal.

    none            the real rows
    standard        the real rows (and augmentation, which belongs to the step, not to the pool)
    duplicate       the real rows, and once more those whose labels the synthetic images took
    gan             the real rows and the synthetic images
    synthetic-only  the synthetic images
    pretrain-finetune  first the synthetic images, then the real rows, in one budget of steps
    pooled          the real rows and those of other real sets
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cxrtool.classifiers.batches import Part
from cxrtool.classifiers.prediction import input_pixels
from cxrtool.core.errors import GateError, InputError, UsageError
from cxrtool.core.reading import read_json
from cxrtool.data.cache import pixels
from cxrtool.data.columns import MANIFEST
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import Dataset

#: Rows of a set -> their part, see `part_of`.
Reader = Callable[[Dataset, np.ndarray], Part]


def refuse_made_rows(data: Dataset, why: str) -> None:
    """A real set holds real images only.

    Raises:
        GateError: A row for validation or test is not real: it would judge by what was made.
        InputError: Another row is not.
    """
    synthetic = data.column("source") != "real"
    judging = synthetic & np.isin(data.column("split"), ("val", "test"))
    if judging.any():
        first = int(np.flatnonzero(judging)[0])
        raise GateError(
            f"{data.path / MANIFEST}, row {first + 2}, column 'source': a"
            f" {data.column('source')[first]!r} image among the {data.column('split')[first]} rows"
            f" ({int(judging.sum()):,} in all); {why}",
            hint="give the data set as cxr prepare made it",
        )
    refuse_rows(data, synthetic, "DATA must hold real images only", "give synthetic sets as SYNTH")


def refuse_rows(data: Dataset, wrong: np.ndarray, reason: str, hint: str) -> None:
    """Refuse a set with rows of the wrong `source`: [N] bool.

    Raises:
        InputError: There are such rows; names the first.
    """
    if wrong.any():
        raise data.cell_error(int(np.flatnonzero(wrong)[0]), "source", reason, hint)


def refuse_unjoinable(data: Dataset, synth: Dataset, policy: LabelPolicy) -> None:
    """Two sets join at one native size, fit and kernel, and under one label policy.

    Otherwise blur, borders or another meaning of a blank becomes the class.

    Raises:
        InputError: They differ in pixels, or SYNTH holds real rows.
        UsageError: The label policies differ; names both values.
    """
    if not len(synth):
        raise InputError("holds no image", file=synth.path, hint="use --arm none or standard")
    _refuse_other_form(
        data, synth, "prepare the real images at the size of the generator, or generate at theirs"
    )
    hint = "SYNTH is the output of `cxr synthesize`, `cxr edit` or `cxr prepare --synthetic`"
    refuse_rows(synth, synth.column("source") == "real", "a synthetic set holds a real row", hint)
    refuse_unfinished(synth)
    recorded = recorded_policy(synth)
    difference = None if recorded is None else policy.difference(recorded)
    if difference is not None:
        raise UsageError(
            f"the label policy differs from that of {synth.path}: {difference}",
            hint="use the policy that the generator was trained with, everywhere",
        )


def refuse_unpoolable(data: Dataset, other: Dataset) -> None:
    """A real set joins another one at one native size, fit and kernel.

    Raises:
        InputError: They differ in pixels, or the other one holds made rows.
    """
    _refuse_other_form(data, other, "prepare both alike: --size, --fit")
    hint = "--arm pooled takes real data sets; synthetic ones are for --arm gan"
    refuse_rows(other, other.column("source") != "real", "a row that is not real", hint)


def _refuse_other_form(data: Dataset, other: Dataset, hint: str) -> None:
    for name in ("size", "fit", "kernel"):
        ours, theirs = getattr(data.info, name), getattr(other.info, name)
        if ours != theirs:
            reason = f"{name} {theirs} does not join {data.path}, which has {name} {ours}"
            raise InputError(reason, file=other.path, hint=hint)


def refuse_unfinished(synth: Dataset) -> None:
    """A synthetic set holds what was planned; one shard of several does not.

    Raises:
        InputError: Fewer images than `plan.json` says.
    """
    planned = _record(synth, "plan.json").get("n_synthetic")  # edits have no plan
    if isinstance(planned, int) and len(synth) < planned:
        raise InputError(
            f"holds {len(synth):,} of the {planned:,} images of its plan",
            file=synth.path,
            hint="if it is one shard of several: cxr merge SHARD... -o SYNTH",
        )


def recorded_policy(synth: Dataset) -> LabelPolicy | None:
    """The label policy that a synthetic set was planned under; None if it does not say."""
    for file, keys in (("plan.json", ("settings", "policy")), ("run.json", ("config",))):
        try:
            record = _record(synth, file)
            for key in keys:
                record = record[key]
            if record["uncertain"] is not None and record["blank"] is not None:
                return LabelPolicy.from_json(record)
        except (ValueError, KeyError, TypeError, InputError):
            continue
    return None


def _record(synth: Dataset, file: str) -> dict[str, Any]:
    """A JSON file of a set; empty where there is none."""
    try:
        content = read_json(synth.path / file)
    except InputError:
        return {}
    return content


def source_rows(synth: Dataset, data: Dataset, rows: np.ndarray) -> np.ndarray:
    """Which of DATA's chosen rows each synthetic image took its labels from.

    Args:
        synth: A synthetic set; its `source_row` counts DATA's manifest rows from 0.
        data: The real set.
        rows: [N] ascending positions of the chosen rows in `data`.

    Returns:
        [M] positions in `rows`.

    Raises:
        InputError: A cell is blank or no row of DATA, or names a row that is not chosen.
    """
    planned_on = synth.info.notes.get("data")
    if origin := synth.info.notes.get("labels_from"):
        raise InputError(
            f"took its labels from {origin}, from no real rows that could be repeated",
            file=synth.path,
            hint="the duplicate arm needs a set that was planned on DATA: cxr synthesize DATA, or"
            " cxr prepare --synthetic NAME --plan PLAN",
        )
    if planned_on not in (None, data.info.digest):
        raise InputError(
            f"was planned on another data set than {data.path}, so its source rows mean others",
            file=synth.path,
            hint="the duplicate arm needs the set from whose rows SYNTH took its labels",
        )
    cells, end = synth.column("source_row"), len(data)
    numbers = np.array([min(int(c), end) if c.isdecimal() else end for c in cells], np.int64)
    wrong = np.flatnonzero(~np.isin(numbers, rows))
    if len(wrong):
        number = numbers[wrong[0]]
        reason = f"{cells[wrong[0]]!r} is no row of {data.path}"
        hint = "the duplicate arm repeats the rows that SYNTH took its labels from"
        if number < end:
            reason = f"the image took its labels from row {number + 2} of {data.path}, which is not"
            reason += " among the training rows"
            hint = "use the --view and --fraction that SYNTH was planned with"
        raise synth.cell_error(int(wrong[0]), "source_row", reason, hint)
    return np.searchsorted(rows, numbers)


def part_of(
    data: Dataset, rows: np.ndarray, labels: Sequence[str], policy: LabelPolicy, size: int
) -> Part:
    """Some rows of a set as one part, labels joined by name.

    A label that the set does not have, or does not cover, is masked.

    Args:
        data: The set.
        rows: [N], which.
        labels: Names that the network learns, in order.
        policy: What uncertain and blank mean.
        size: Height and width of the network's input, px.
    """
    values, mask = label_arrays(data, rows, policy)
    here = [k for k, name in enumerate(labels) if name in data.labels]
    there = [data.labels.index(labels[k]) for k in here]
    part_values = np.zeros((len(rows), len(labels)), dtype=np.float32)
    part_mask = np.zeros((len(rows), len(labels)), dtype=bool)
    part_values[:, here], part_mask[:, here] = values[:, there], mask[:, there]
    if data.info.size is not None and data.info.size <= size:
        return Part(pixels(data), rows, part_values, part_mask)
    small = input_pixels(pixels(data, rows), size)
    return Part(small, np.arange(len(rows)), part_values, part_mask)


def compose(
    arm: str,
    data: Dataset,
    rows: np.ndarray,
    synths: Sequence[Dataset],
    part: Reader,
    others: Sequence[tuple[Dataset, np.ndarray]] = (),
) -> dict[str, Part]:
    """The parts of an arm's training pool, by what they are: real, duplicate, synthetic, of others.

    Args:
        arm: One of those above.
        data: The real set.
        rows: [N] ascending, its training rows.
        synths: Synthetic sets; needed by the four that have them.
        part: Makes a part of some rows of a set, see `part_of`.
        others: Other real sets, and which rows of each; for the arm pooled.
    """
    parts: dict[str, Part] = {}
    if arm != "synthetic-only":
        parts["real"] = part(data, rows)
    for number, synth in enumerate(synths, start=1):
        suffix = f" {number}" if len(synths) > 1 else ""
        if arm == "duplicate":
            parts["duplicate" + suffix] = parts["real"].repeat(source_rows(synth, data, rows))
        else:
            parts["synthetic" + suffix] = part(synth, np.arange(len(synth), dtype=np.int64))
    for number, (other, chosen) in enumerate(others, start=1):
        suffix = f" {number}" if len(others) > 1 else ""
        parts["real of another set" + suffix] = part(other, chosen)
    return parts
