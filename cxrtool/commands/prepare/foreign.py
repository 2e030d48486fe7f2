"""Images of a generator that is not of this program: a simulator, a diffusion model, an editor.

In: a source that has been read, the generator's name, and perhaps the plan of ``cxr synthesize
--plan-only`` that the images were made for. Out: the same source as a synthetic set, which
``train-cls`` and ``evaluate images`` take like one of ``cxr synthesize``: every row says who made
it, nothing is judged by it, and what its generator has seen is unknown.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cxrtool.core import console, fingerprints
from cxrtool.core.errors import InputError
from cxrtool.core.reading import read_json, read_text
from cxrtool.core.runs import Run
from cxrtool.data import columns
from cxrtool.data.keys import Seen
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import load_dataset
from cxrtool.data.source_checks import Checker
from cxrtool.data.sources.base import SourceTable
from cxrtool.data.splits import Split
from cxrtool.data.tables import read_table, require_columns

PLAN, SLOT = "plan.json", "slot"
#: Where labels come from, of images that were made for no plan.
OWN_TABLE = "a table of its own"


def declared(source: SourceTable, checker: Checker, name: str, plan: Path | None) -> SourceTable:
    """The source as images that the generator `name` has made.

    Args:
        source: As it was read and checked; with a plan it has a column ``slot``.
        checker: Knows the rows that are left.
        name: Of the generator.
        plan: Output of ``synthesize --plan-only``, whose labels and source rows the images take.

    Raises:
        InputError: A slot is none of the plan, stands twice or has no image; the data set of the
            plan is not where it was.
    """
    table = source.table
    named = int((table[columns.PATIENT].to_numpy()[checker.good] != "").sum())
    if named:
        console.say(f"{named:,} patient ids are left out: an image that was made shows no person")
    blank = dict.fromkeys((columns.PATIENT, columns.STUDY, columns.SEX, columns.AGE), "")
    table = table.assign(**blank, **{columns.SOURCE: "synthetic", "generator": name})
    changes: dict[str, Any] = {
        "patients": False,
        "official_split": False,
        "source": f"synthetic, by {name}",
        "notes": {**source.notes, "labels_from": OWN_TABLE},
    }
    if plan is not None:
        cells, more = _planned(source, checker, plan)
        table = table.assign(**cells)
        changes |= {**more, "notes": {**source.notes, **more["notes"]}}
    return dataclasses.replace(source, table=table, **changes)


def _planned(
    source: SourceTable, checker: Checker, plan: Path
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Labels, view and source row of every row of the table, and what the set is."""
    fingerprints.require_complete(plan, stages=("synthesize",))
    settings = read_json(plan / PLAN)["settings"]
    slots = read_table(plan / "slots.csv")
    numbers = _slots(source, checker, len(slots))
    data = load_dataset(_data_of(plan, settings.get("data")))
    rows = np.full(len(source.table), -1)
    rows[checker.good] = slots["source_row"].astype(int).to_numpy()[numbers]
    values, mask = label_arrays(data, rows, LabelPolicy.from_json(settings["policy"]))
    cells = np.where(mask, np.where(values == 1, "1", "0"), "").astype(object)
    filled = {name: cells[:, k] for k, name in enumerate(data.labels)}
    filled[columns.VIEW] = data.column(columns.VIEW, rows)
    filled["source_row"] = rows.astype(str).astype(object)
    info = data.info
    changes = {name: getattr(info, name) for name in ("labels", "covered", "kind", "namespace")}
    return filled, {**changes, "notes": {"data": info.digest}}


def _slots(source: SourceTable, checker: Checker, number: int) -> np.ndarray:
    """Slot of every row that is left: [N] int64, each of the plan's once."""
    good = source.table.iloc[checker.good]
    require_columns(good, [SLOT], Path(good["table_file"].iloc[0]))
    cells = good[SLOT].str.strip()
    slots = pd.to_numeric(cells.where(cells.str.fullmatch(r"\d{1,9}"), "-1")).to_numpy(np.int64)
    reasons = {
        f"is no slot of the plan, which has 0 to {number - 1:,}": (slots < 0) | (slots >= number),
        "is a slot that stands in a row before": pd.Series(slots).duplicated().to_numpy(),
    }
    for reason, wrong in reasons.items():
        for k in np.flatnonzero(wrong)[:1]:
            raise InputError(
                f"{cells.iloc[k]!r} {reason}",
                file=good["table_file"].iloc[k],
                row=int(good["table_row"].iloc[k]),
                column=SLOT,
                hint="a row an image; slots.csv of the plan lists the slots",
            )
    if lacking := number - len(slots):
        first = int(np.setdiff1d(np.arange(number), slots)[0])
        raise InputError(
            f"{lacking:,} of {number:,} slots of the plan have no image, the first of them {first}",
            file=good["table_file"].iloc[0],
            hint="make all of them, or plan for fewer: cxr synthesize DATA --counts",
        )
    return np.asarray(slots)


def _data_of(plan: Path, digest: str | None) -> Path:
    """The data set that a plan was made on, where its record says."""
    inputs = read_json(plan / "run.json")["inputs"]
    for path in (Path(entry["path"]) for entry in inputs if entry["role"] == "data"):
        if load_dataset(path).info.digest == digest:
            return path
    raise InputError(
        "the data set that it was made on is not where it was, or has changed",
        file=plan,
        hint="plan again: cxr synthesize DATA --plan-only -o PLAN",
    )


def in_train(images: int) -> Split:
    """The split of a synthetic set: nothing is judged by it."""
    note = "all are in train: nothing is judged by synthetic images"
    return Split(np.full(images, "train", dtype=object), "synthetic", (note,))


def png_chunks(name: str) -> dict[str, str]:
    """PNG text chunks, as those of ``cxr synthesize``: a file alone says that it is not real."""
    return {
        "synthetic": "true",
        "Comment": f"synthetic: true; shows no person; generator={name}",
    }


def write_history(run: Run, name: str, plan: Path | None) -> None:
    """``seen.json``, by which the generator's training is not known; the plan, if there is one."""
    Seen(unknown=frozenset({f"generator {name}"})).save(run)
    console.say(
        f"what {name} was trained on is not known: the leak guard compares its images with those"
        " that judge, and says that it can do no more"
    )
    if plan is not None:
        run.write_text(PLAN, read_text(plan / PLAN))
