"""Near copies on a page: pairs side by side, and a table of the first.

In: pairs of rows (`cxrtool.data.near_rows`). Out: blocks of a section.
"""

from collections.abc import Collection, Sequence

from cxrtool.data import near_rows
from cxrtool.data.near_rows import NearRows
from cxrtool.pages import page

SHOWN = 20  # pairs in the table; the file has all


def blocks(
    near: Sequence[NearRows],
    text: str,
    above: str,
    beneath: str,
    *,
    file: str = near_rows.TABLE,
    without: Collection[str] = (),
) -> list[page.Block]:
    """What is said of the pairs, their pictures and their rows; nothing where there are none.

    Args:
        near: What was found.
        text: What the pairs mean.
        above: What the images are that were asked about, such as "judged images".
        beneath: What they were compared with, such as "images that a run has seen".
        file: The table that has all pairs.
        without: Columns that the page leaves out.
    """
    records = [
        {name: cell for name, cell in record.items() if name not in without}
        for each in near
        for record in each.records(names=False)
    ]
    if not records:
        return []
    caption = "Rows of the two manifests; likeness: correlation of fine details, 1 for one picture."
    tiles = page.Picture(
        near_rows.picture(near),
        f"{above} above the images that they are near copies of",
        f"Above: {above}; beneath: {beneath}.",
    )
    left = len(records) - SHOWN
    more = [page.Text(f"{left:,} more pairs are in {file}.")] if left > 0 else []
    return [page.Text(text), tiles, page.Table.of(records[:SHOWN], caption, text_columns=0), *more]
