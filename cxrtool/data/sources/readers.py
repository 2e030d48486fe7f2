"""Several readers of one image: whose labels count.

In: a table with a row an image and reader, and what ``--readers`` says. Out: a row an image.
Readers disagree for reasons, so how they are joined is said, with what they differ about.
"""

from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.repeated_rows import join_rows

#: Column of the reader; blank where the labels are a consensus already.
READER = "reader"
ANY, MAJORITY = "any", "majority"
_NAMED = 8  # readers and labels named in a message


@dataclass(frozen=True)
class JoinedReaders:
    """A table with a row an image.

    Attributes:
        table: Without the column of readers.
        remarks: What was joined or left out.
        note: The same for ``dataset.json``.
    """

    table: pd.DataFrame
    remarks: tuple[str, ...]
    note: dict[str, Any] = field(default_factory=dict)


def join(table: pd.DataFrame, image: str, labels: tuple[str, ...], readers: str) -> JoinedReaders:
    """Make one row an image of the rows of its readers.

    Args:
        table: A row an image and reader (column `READER`); label cells are 1, 0, -1 or blank;
            ``table_file`` and ``table_row`` say where it stands.
        image: Column of the image's id.
        labels: Label columns.
        readers: ``any`` (1 where one reader says so), ``majority``, or the id of one reader; images
            that this one has not read are left out, and a consensus stays as it is.

    Raises:
        InputError: One reader has an image twice.
        UsageError: There is no such reader.
    """
    again = table[[image, READER]].duplicated()
    if again.any():
        row = table[again].iloc[0]
        what = f"{row[image]} stands there twice for one reader ({row[READER] or 'the consensus'})"
        place = int(row["table_row"]) if row["table_row"].isdigit() else None
        raise InputError(what, file=row["table_file"], row=place, column=image)
    names = sorted(set(table[READER]) - {""}, key=lambda name: (len(name), name))
    if not names:
        return JoinedReaders(table.drop(columns=READER), ())
    images = table[image].nunique()
    if readers not in (ANY, MAJORITY):
        if readers not in names:
            hint = f"any, majority, or one of {', '.join(names)}"
            raise UsageError(f"--readers {readers}: no such reader", hint=hint)
        own = table[table[READER].isin([readers, ""])].drop(columns=READER)
        left = images - len(own)
        what = f"labels by the reader {readers} ({len(own):,} images"
        what += f"; {left:,} that this one has not read are left out)" if left else ")"
        return JoinedReaders(own, (what,), {"readers": readers, "images_not_read": left})

    def refuse(row: int, reason: str, column: str, hint: str | None) -> None:
        file = table.loc[row, "table_file"]
        raise InputError(reason, file=str(file), column=column, hint=hint)

    one = join_rows(table.drop(columns=READER), [image], labels, readers, refuse)
    differ = sorted(one.disagreements.items(), key=lambda pair: -pair[1])
    remark = f"{one.rows:,} readings of {one.images:,} images joined (--readers {readers})"
    if differ:
        most = ", ".join(f"{name} {count:,}" for name, count in differ[:_NAMED])
        more = f" and {len(differ) - _NAMED} more labels" if len(differ) > _NAMED else ""
        remark += f"; labels that readers differ about, by images: {most}{more}"
    return JoinedReaders(
        one.table,
        (remark,) if one.images else (),
        {"readers": readers, "rows": one.rows, "disagreements": dict(one.disagreements)},
    )
