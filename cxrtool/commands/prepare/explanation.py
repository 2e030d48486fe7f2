"""``cxr prepare SOURCE --explain``: what would be read of a source, and what not.

In: the options of `cxr prepare`. Out: the format and what gave it away, images, labels, what is
left out by reasons with an example each, the split, and the command to run. Nothing is hashed or
decoded and no DICOM header is read beyond a sample, so that it takes seconds on any source. What is
printed may name files, and people where files do: it goes to the terminal, not to a record.
"""

import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pandas as pd
from rich.console import Console

from cxrtool.commands.prepare.options import Config
from cxrtool.core import console
from cxrtool.core.config import fields_of
from cxrtool.core.errors import CxrError, InputError
from cxrtool.data import assemble, inventory, splits
from cxrtool.data.columns import PATIENT, STUDY, is_format_namespace
from cxrtool.data.select import units
from cxrtool.data.source_checks import Checker
from cxrtool.data.sources import tree
from cxrtool.data.sources.base import Rejected, SourceTable
from cxrtool.data.sources.recognition import AUTO, recognize

#: DICOM files whose headers are read.
SAMPLE = 300
#: Images that are looked for where their folder is not listed.
_LOOKED_FOR = 1000
#: Reason -> how many, and an example.
Reasons = dict[str, tuple[int, str]]


@dataclass(frozen=True)
class Explanation:
    """What `cxr prepare` would do.

    Attributes:
        source: What the person typed; "" for phantoms.
        form: The format.
        because: What gave it away.
        images: Rows that would become images.
        patients: People (studies, images where nobody names them), and what they are called.
        files: All files of the source, and how many are used; None where no folder was listed.
        missing: Images that are named and not there: how many, an example, and of how many.
        labels: Counts of each label.
        left_out: Files that are not used, by reasons.
        refused: Rows that cannot be used, by reasons.
        split: Images and patients of each part.
        split_by: How the split is made, or why it cannot be.
        namespace: Whose patient ids these are.
        remarks: What the readers have to tell.
        command: What to run.
    """

    source: str
    form: str
    because: str
    images: int
    patients: tuple[int, str]
    files: tuple[int, int] | None
    missing: tuple[int, str, int]
    labels: dict[str, dict[str, int]]
    left_out: Reasons
    refused: Reasons
    split: dict[str, dict[str, int]]
    split_by: str
    namespace: str
    remarks: Sequence[str]
    command: str

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        number, what = self.patients
        return {
            "source": self.source,
            "format": self.form,
            "because": self.because,
            "images": self.images,
            what: number,
            "files": None if self.files is None else dict(zip(("all", "used"), self.files)),
            "missing": dict(zip(("images", "example", "of"), self.missing)),
            "labels": self.labels,
            **{
                name: {why: {"number": n, "example": one} for why, (n, one) in reasons.items()}
                for name, reasons in (("left_out", self.left_out), ("refused", self.refused))
            },
            "split": self.split,
            "split_by": self.split_by,
            "namespace": self.namespace,
            "remarks": list(self.remarks),
            "command": self.command,
        }


def explain(
    config: Config, source: SourceTable, checker: Checker, namespace: str, remarks: Sequence[str]
) -> Explanation:
    """What a run would do with a source that has been read with ``skip_bad``.

    Args:
        config: The options as they were given.
        source: As it was read and checked.
        checker: Knows the rows that cannot be used.
        namespace: Of the patient ids, keyed.
        remarks: What was said while it was read.
    """
    table = source.table.iloc[checker.good].reset_index(drop=True)
    folders = inventory.outermost(
        path for path in (*config.images, *([config.source] if config.source else []))
        if path.is_dir()
    )  # fmt: skip
    left_out: Reasons = {}
    files, missing = None, (0, "", 0)
    if not config.labels_only and config.source is not None:
        refused = [ref for ref, _ in checker.rejected]
        if folders:
            stock = inventory.take_stock(folders, config.format, source, refused)
            files, left_out = (stock.files, stock.used), stock.left
            missing = (*stock.missing, len(table))
        if not missing[0]:
            missing = _missing(source, table["image_ref"])
    parts, how = _split(config, source, table, namespace)
    return Explanation(
        source=str(config.source or ""),
        form=config.format,
        because=_because(config),
        images=len(table),
        patients=_patients(source, table),
        files=files,
        missing=missing,
        labels=assemble.label_counts(table, source.labels),
        left_out=left_out,
        refused=_by_reason(checker.rejected),
        split={} if parts is None else assemble.split_counts(table.assign(split=parts)),
        split_by=how,
        namespace=namespace,
        remarks=[*remarks, *_without_id(source, table)],
        command=command(config),
    )


def _because(config: Config) -> str:
    """What gave the format away, or that it was asked for."""
    if config.source is None:
        return "--format"
    try:
        form, sign, also = recognize(config.source)
    except InputError:
        return "--format"
    if form != config.format:
        return f"--format (its files look like {form}: {sign})"
    return sign + (f" (--format {', '.join(also)} would do as well)" if also else "")


def _patients(source: SourceTable, table: pd.DataFrame) -> tuple[int, str]:
    if source.patients:
        named = table[PATIENT][table[PATIENT] != ""]
        return named.nunique(), "patients"
    if (table[STUDY] != "").any():
        return len(set(units(table))), "studies"
    return len(table), "images without a patient id"


def _without_id(source: SourceTable, table: pd.DataFrame) -> list[str]:
    """How many images name no patient where others do."""
    unnamed = int((table[PATIENT] == "").sum()) if source.patients else 0
    return [f"{unnamed:,} of {len(table):,} images have no patient id"] if unnamed else []


def _missing(source: SourceTable, refs: pd.Series) -> tuple[int, str, int]:
    """Images that are not there: how many, an example, and how many were looked for."""
    root = getattr(source.opener, "root", None)
    if root is None or not len(refs):
        return 0, "", 0
    step = -(-len(refs) // _LOOKED_FOR)
    looked_for = refs.tolist()[::step]
    gone = [ref for ref in looked_for if not os.path.isfile(root / ref)]
    return len(gone), str(gone[0]) if gone else "", len(looked_for)


def _by_reason(rejected: Sequence[Rejected]) -> Reasons:
    """Rows that cannot be used: values and names of files do not make another reason."""
    reasons: Reasons = {}
    for ref, error in rejected:
        what = re.sub(r"'[^']*'|(?<=the same image as ).*", "...", error.reason)
        what = f"column {error.column!r}: {what}" if error.column else what
        number, example = reasons.get(what, (0, ""))
        place = f"{error.file or ref}" + (f", row {error.row}" if error.row else "")
        reasons[what] = number + 1, example or place
    return dict(sorted(reasons.items(), key=lambda item: -item[1][0]))


def _split(
    config: Config, source: SourceTable, table: pd.DataFrame, namespace: str
) -> tuple[np.ndarray | None, str]:
    """The part of each row, None if there is no split; and how it is made.

    Copies, which only pixels tell, may move some rows.
    """
    try:
        split = splits.split_rows(
            table,
            config.split_by,
            official=source.official_split,
            seed=config.seed,
            namespace=namespace,
            carve=not config.labels_only,
        )
    except CxrError as error:
        return None, f"cannot be made: {error}"
    shares = config.split_by or splits.DEFAULT
    how = {"ratio": f"shares {shares}", "file": f"the file {config.split_by}"}
    return split.values, "; ".join((how.get(split.how, split.how), *split.notes))


def command(config: Config) -> str:
    """The command line that would run it."""
    words = ["cxr", "prepare"]
    for field in fields_of(Config):
        value, flag = getattr(config, field.name), "--" + field.name.replace("_", "-")
        if field.name == "explain" or value == field.default or value is None:
            continue
        if field.meta.positional:
            words.append(str(value))
        elif isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif field.name == "format" and value == AUTO:
            continue
        else:
            for one in value if isinstance(value, tuple) else (value,):
                words += [flag, str(one)]
    return shlex.join([*words, "-o", "OUT"])


def show(told: Explanation, out: IO[str]) -> None:
    """Write it for a person: tables by Rich on a terminal, plain ones elsewhere."""

    def say(line: str) -> None:
        out.write(console.visible(line) + "\n")

    def draw(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        if out.isatty():
            drawn = console.drawn_table(title, columns, rows)
            Console(file=out, highlight=False, soft_wrap=True).print(drawn)
        else:
            say("\n".join([title, *console.plain_table(columns, rows), ""]))

    name = told.source or "made-up images"
    say(f"{name} would be read as {told.form}, by {told.because}")
    number, what = told.patients
    say(f"images: {told.images:,}, {what}: {number:,}")
    if told.files is not None:
        say(f"files: {told.files[0]:,}, used: {told.files[1]:,}")
    if told.missing[0]:
        gone, example, of = told.missing
        say(f"of {of:,} images {gone:,} are not there, such as {example}")
    for remark in told.remarks:
        say(remark)
    if told.labels:
        rows = [[label, *counts.values()] for label, counts in told.labels.items()]
        draw("Labels", ["label", "1", "-1", "0", "blank"], rows)
    else:
        say("labels: none")
    for title, reasons in (("Left out", told.left_out), ("Refused", told.refused)):
        if reasons:
            rows = [[why, n, example] for why, (n, example) in reasons.items()]
            unit = "files" if title == "Left out" else "rows"
            draw(title, ["reason", unit, "such as"], rows)
    say(f"split: {told.split_by}")
    if told.split:
        rows = [[part, n["images"], n["patients"]] for part, n in told.split.items()]
        unit = told.patients[1] if told.patients[1] in ("patients", "studies") else "units"
        draw("Split, before copies are known", ["part", "images", unit], rows)
    if told.patients[1] == "patients":
        doubt = " (only the format: name the hospital with --namespace)"
        doubt = doubt if is_format_namespace(told.namespace) else ""
        say(f"namespace of the patient ids: {told.namespace}{doubt}")
    for reason, step in tree.STEPS.items():
        if reason in told.left_out:
            say(f"{reason}: {step}")
    if told.refused and "--skip-bad" not in shlex.split(told.command):
        say("a run stops at the first row that is refused; --skip-bad leaves them out")
    say("to run:")
    say(f"  {told.command}")
