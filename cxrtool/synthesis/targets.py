"""What is wanted: shares or counts of named classes, and the label table that they are counted in.

In: ``--target-frac``, ``--counts``, ``--classes`` as the user typed them; a data set, row
positions, a label policy. Out: a `LabelTable` of zeros and ones, and a `Request` with the classes
in its order and exact shares. A share is a `Fraction` of the text, never a float: 0.07 * 100 is
7.000000000000001 in floats. A cell that the policy leaves open counts in no share, and stays open
in the labels of the images that take it.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from cxrtool.core.config.values import names_of, parse_pairs
from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.columns import SOURCE
from cxrtool.data.labels import NO_FINDING, LabelPolicy, label_arrays, label_codes
from cxrtool.data.manifest import Dataset
from cxrtool.data.maps import canonical
from cxrtool.synthesis.arrays import ByteArray, FloatArray, IntArray
from cxrtool.synthesis.program import label_totals
from cxrtool.synthesis.tally import LARGEST_PLAN

_DIGITS = 30  # of a number of images, in a message

Number = Fraction | int  # a share, or a number of images


@dataclass(frozen=True)
class LabelTable:
    """Labels of the selected real rows.

    Attributes:
        rows: Their positions in the manifest, from 0 [N].
        labels: The L label names.
        values: Zeros and ones [N, L]; 0 where a label is unknown or not covered by the source.
        usable: Whether the source covers each label.
        policy: What uncertain and blank cells were read as.
        known: Which labels are known [N, L]; None where all are that the source covers.
        uncertain: Which of the unknown ones are uncertain (-1), not blank [N, L]; None as `known`.
        remedy: What to do where no row has a class that is wanted.
    """

    rows: IntArray
    labels: tuple[str, ...]
    values: ByteArray
    usable: tuple[bool, ...]
    policy: LabelPolicy = field(default_factory=LabelPolicy)
    known: ByteArray | None = None
    uncertain: ByteArray | None = None
    remedy: str = "an image takes the labels of a real row: leave this class out or select more"

    @property
    def normal(self) -> frozenset[str]:
        """Labels that mean that nothing was found: never chosen as a target by themselves."""
        return frozenset(name for name in self.labels if canonical(name) == NO_FINDING)

    def vectors(self, names: Sequence[str]) -> FloatArray:
        """The labels in the order of a generator's own names: [N, len(names)].

        A label that the generator knows and the table does not, or the source does not cover, is 0;
        one that is unknown in a row is NaN there.
        """
        column = {name: i for i, name in enumerate(self.labels) if self.usable[i]}
        vectors = np.zeros((len(self.values), len(names)), dtype=np.float32)
        for j, name in enumerate(names):
            if name in column:
                vectors[:, j] = self.values[:, column[name]]
                if self.known is not None:
                    vectors[self.known[:, column[name]] == 0, j] = np.nan
        return vectors

    def cells(self, rows: IntArray) -> npt.NDArray[np.object_]:
        """Labels of some rows as cells of a manifest [n, L]; -1 and blank where unknown."""
        code = self.values[rows].astype(np.int64)
        if self.known is not None and self.uncertain is not None:
            code = np.where(self.known[rows] == 1, code, 3 - self.uncertain[rows].astype(np.int64))
        return np.array(["0", "1", "-1", ""], dtype=object)[code]

    def possible(self, rows: IntArray) -> ByteArray:
        """Labels that some rows have or may have [n, L]."""
        if self.known is None:
            return self.values[rows]
        return np.maximum(self.values, 1 - self.known)[rows]

    def shares(self) -> dict[str, float]:
        """Share of 1 among the known cells of each label that has unknown ones."""
        if self.known is None:
            return {}
        counts = zip(self.labels, label_totals(self.values), label_totals(self.known), strict=True)
        open_labels = (self.known == 0).any(axis=0)
        return {
            name: int(ones) / max(int(known), 1)
            for (name, ones, known), some in zip(counts, open_labels, strict=True)
            if some
        }


def label_table(dataset: Dataset, rows: IntArray, policy: LabelPolicy) -> LabelTable:
    """Labels of the given rows.

    Raises:
        InputError: A row that is not real.
    """
    unreal = np.flatnonzero(dataset.column(SOURCE, rows) != "real")
    if len(unreal):
        reason = "a row that is not real: images are planned from real rows only"
        raise dataset.cell_error(int(rows[unreal[0]]), SOURCE, reason)
    values, mask = label_arrays(dataset, rows, policy)
    values = values.astype(np.uint8)
    mask |= ~np.asarray(dataset.info.covered, dtype=bool)
    if mask.all():
        return LabelTable(rows, dataset.labels, values, dataset.info.covered, policy)
    uncertain = ~mask & (label_codes(dataset, rows) == -1)
    return LabelTable(
        rows,
        dataset.labels,
        values,
        dataset.info.covered,
        policy,
        mask.astype(np.uint8),
        uncertain.astype(np.uint8),
    )


@dataclass(frozen=True)
class Request:
    """The classes that are wanted and how much of each.

    Attributes:
        labels: Names of the K target classes, in the order of the label table.
        columns: Their positions in the label table.
        shares: Wanted shares, in shares mode; empty in counts mode.
        counts: Wanted numbers of images, in counts mode; empty in shares mode.
        unavailable: Labels below the share that automatic choice had to leave out because no row
            has them.
    """

    labels: tuple[str, ...]
    columns: tuple[int, ...]
    shares: tuple[Fraction, ...] = ()
    counts: tuple[int, ...] = ()
    unavailable: tuple[str, ...] = ()


def parse_share(text: str) -> Fraction:
    """An exact share from text such as ``0.15``, ``3/20`` or ``1e-2``.

    Raises:
        UsageError: It is no number, or not between 0 and 1 (both excluded).
    """
    try:
        share = Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        hint = "write a share such as 0.15"
        if text.strip().endswith("%"):
            hint = "write percentages as shares: 15% is 0.15"
        raise UsageError(f"--target-frac: {text.strip()!r} is not a number", hint=hint) from None
    if not 0 < share < 1:
        raise UsageError(
            f"--target-frac: {text.strip()} is not between 0 and 1",
            hint="a share is the part of all images that has the class, such as 0.15",
        )
    return share


def parse_count(text: str) -> int:
    """A number of images from text; not negative.

    Raises:
        UsageError: It is no whole number of 0 or more.
    """
    cleaned = text.strip().replace("_", "")
    if not cleaned.isascii() or not cleaned.isdigit():
        raise UsageError(
            f"--counts: {text.strip()!r} is not a number of images",
            hint='write one number, or "Fracture=100,Pleural Other=50"',
        )
    if len(cleaned) > _DIGITS or int(cleaned) > LARGEST_PLAN:
        raise UsageError(
            f"--counts: {cleaned[:_DIGITS]}{'...' if len(cleaned) > _DIGITS else ''} images of a"
            f" class are more than the {LARGEST_PLAN:,} that are planned"
        )
    return int(cleaned)


def parse_classes(text: str) -> tuple[str, ...]:
    """Names separated by commas.

    Raises:
        UsageError: No name, or one given twice.
    """
    return names_of(text, "--classes")


def find_columns(names: tuple[str, ...], labels: tuple[str, ...], where: str) -> tuple[int, ...]:
    """Positions of the named labels, ascending.

    Args:
        names: Wanted labels.
        labels: Labels of the table.
        where: What holds the labels, for messages.

    Raises:
        InputError: A name that is not there, with the closest one that is.
    """
    position = {name: i for i, name in enumerate(labels)}
    folded = {name.casefold(): name for name in labels}
    for name in names:
        if name in position:
            continue
        near = difflib.get_close_matches(name.casefold(), list(folded), 1)
        hint = f"did you mean {folded[near[0]]!r}?" if near else "known: " + ", ".join(labels)
        raise InputError(f"unknown class {name!r} in {where}", hint=hint)
    return tuple(sorted(position[name] for name in names))


def parse_wish(
    target_frac: str | None, counts: str | None, classes: str | None, balance: int | None = None
) -> tuple[dict[str, Number] | Number, tuple[str, ...] | None]:
    """Shares or numbers of images by class, or one for all; and the classes that are named.

    Refuses what no data set could make right, before any is read.

    Raises:
        UsageError: Options that contradict each other or do not parse.
    """
    if sum(option is not None for option in (target_frac, counts, balance)) != 1:
        raise UsageError(
            "give either --target-frac, --counts or --balance",
            hint='for instance --target-frac 0.15, or --counts "Fracture=100"',
        )
    names = None if classes is None else parse_classes(classes)
    if balance is not None:
        return balance, names
    option = "--target-frac" if counts is None else "--counts"
    parse: Callable[[str], Number] = parse_share if counts is None else parse_count
    example = "Fracture=0.1,Pleural Other=0.15" if counts is None else "Fracture=100,Edema=50"
    pairs = parse_pairs(target_frac or counts or "", option, example)
    if not isinstance(pairs, dict):
        each = parse(pairs)
        if counts is not None and names is None:
            raise UsageError(
                "--counts with one number needs --classes",
                hint='for instance --counts 100 --classes "Fracture,Pleural Other"',
            )
        return each, names
    wishes = {name: parse(value) for name, value in pairs.items()}
    if names is not None and set(names) != set(wishes):
        raise UsageError(
            f"--classes and {option} name different classes",
            hint=f"leave --classes out: {option} names them already",
        )
    return wishes, names


def read_request(
    table: LabelTable,
    *,
    target_frac: str | None,
    counts: str | None,
    classes: str | None,
    balance: int | None,
    where: str,
) -> Request:
    """Turn the three options into classes with shares or counts.

    Without ``classes`` and without names in ``target_frac``, the targets are all labels below the
    share, but for those that say that nothing was found, those that the source does not cover and
    those that no row has.

    Args:
        table: The selected rows.
        target_frac: One share, or ``NAME=SHARE`` pairs; exclusive with `counts` and `balance`.
        counts: One number, or ``NAME=NUMBER`` pairs.
        classes: Comma-separated names that one share or number is for.
        balance: A number of images for each class that has a row, or each of `classes`.
        where: What the table is called in messages.

    Raises:
        UsageError: Options that contradict each other or do not parse.
        InputError: A class that is not there, is not covered or has no positive row.
    """
    wish, names = parse_wish(target_frac, counts, classes, balance)
    labels, n_rows, positives = table.labels, len(table.values), label_totals(table.values)
    known = np.full(len(labels), n_rows) if table.known is None else label_totals(table.known)
    unavailable: tuple[str, ...] = ()
    if isinstance(wish, dict):
        wishes = wish
    elif names is not None:
        wishes = dict.fromkeys(names, wish)
    else:
        usable = [i for i in range(len(labels)) if table.usable[i]]
        if balance is None:
            usable = [
                i
                for i in usable
                if labels[i] not in table.normal and positives[i] < wish * int(known[i])
            ]
            unavailable = tuple(labels[i] for i in usable if positives[i] == 0)
        wishes = {labels[i]: wish for i in usable if positives[i] > 0}
    columns = find_columns(tuple(wishes), labels, where)
    for i in columns:
        if not table.usable[i]:
            raise InputError(
                f"{labels[i]!r} is not covered by {where}",
                hint="its rows say nothing about this class: leave it out",
            )
        if positives[i] == 0:
            raise InputError(
                f"{labels[i]!r} has no positive row among the {n_rows:,} selected rows of {where}",
                hint=table.remedy,
            )
    ordered = tuple(labels[i] for i in columns)
    numbers = tuple(wishes[name] for name in ordered)
    if target_frac is None:
        return Request(ordered, columns, counts=tuple(int(number) for number in numbers))
    shares = tuple(Fraction(number) for number in numbers)
    return Request(ordered, columns, shares=shares, unavailable=unavailable)
