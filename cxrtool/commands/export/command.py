"""``cxr export``: a dataset directory in a form that other programs read.

In: a dataset directory with pixels. Out, by ``--to``:

- ``imagefolder``: ``train/*.png`` and ``train/metadata.parquet``, the same for val and test, as the
  image-folder loader of Hugging Face's `datasets` takes them;
- ``parquet``: ``data.parquet``, a row an image, with the PNG inside and the types that the same
  library looks for;
- ``dicom``: ``images/*.dcm``.

The first and the last have a ``labels.csv`` of all images beside them.

Labels are 1, 0, -1 (uncertain) and blank. What tells who a patient is stays out unless asked for.
"""

import json
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from cxrtool.commands.export.dicom import instance
from cxrtool.commands.export.options import Config
from cxrtool.core import console
from cxrtool.core.errors import InputError
from cxrtool.core.reading import read_bytes
from cxrtool.core.runs import Run
from cxrtool.data import columns as c
from cxrtool.data.images import read_png
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.select import patient_groups, select_rows
from cxrtool.data.tables import import_pyarrow, typed


def run(config: Config, run: Run) -> dict[str, Any]:
    """Write the images of a data set and a table of what is said about them."""
    data = load_dataset(config.data)
    if data.info.size is None:
        raise InputError(
            "this data set holds labels only, no images",
            file=config.data,
            hint="prepare it again without --labels-only",
        )
    rows = select_rows(data, config)
    table, left_out = exported_columns(data, rows, config)
    if without := int((table[c.SPLIT] == "").sum()):
        table[c.SPLIT] = table[c.SPLIT].replace("", "train")
        console.warn(f"{without:,} images without a split are written as train")
    if left_out:
        console.say(f"left out: {', '.join(left_out)} (--with-ids, --with-texts)")
    forms = {"imagefolder": image_folder, "parquet": parquet_file, "dicom": dicom_files}
    forms[config.to](run, data, rows, table)
    run.write_text("README.md", card(data, table, left_out))
    run.count("images", len(rows))
    splits = dict(Counter(table[c.SPLIT]))
    console.say(f"{len(rows):,} images: {', '.join(f'{k} {n:,}' for k, n in splits.items())}")
    return {"form": config.to, "images": len(rows), "splits": splits, "left_out": left_out}


def exported_columns(
    data: Dataset, rows: np.ndarray, config: Config
) -> tuple[pd.DataFrame, list[str]]:
    """What is written about each image, every cell a `str`, and the filled columns left out.

    File names of the source and keys made from ids or pixels are never written: they lead back to
    a patient, or to the original image.
    """
    people, texts = (c.PATIENT, c.STUDY), (c.REPORT, c.FINDINGS, c.IMPRESSION, c.PROMPT)
    written = [c.SPLIT, c.VIEW, c.SEX, c.AGE, c.SOURCE, *data.labels, *c.SYNTHETIC]
    written += people if config.with_ids else ()
    written += texts if config.with_texts else ()
    part = data.table.iloc[rows].reset_index(drop=True)
    filled = [name for name in part if (part[name] != "").any()]
    shown = {c.SPLIT, *data.labels, *filled}
    table = part[[name for name in written if name in shown]].copy()
    return table, [name for name in (*people, *texts) if name in filled and name not in written]


def image_folder(run: Run, data: Dataset, rows: np.ndarray, table: pd.DataFrame) -> None:
    """A folder a split. Its table is Parquet: in CSV, a label that is blank all through one split
    would have another type there, which the loader refuses.
    """
    parquet = import_pyarrow().parquet
    files = table.assign(file_name=[f"{number:07d}.png" for number in range(len(rows))])
    places = files[c.SPLIT] + "/" + files["file_name"]
    with run.progress("images", total=len(rows), stops=True) as bar:
        for row, place in zip(rows, places):
            run.write_bytes(place, read_bytes(data.image_path(row)))
            bar.advance()
    for split, part in files.groupby(c.SPLIT, sort=False):
        with run.atomic(f"{split}/metadata.parquet") as path:
            parquet.write_table(typed(part.drop(columns=c.SPLIT), data.labels), path)
    run.write_text("labels.csv", named(table, list(places)))


def parquet_file(run: Run, data: Dataset, rows: np.ndarray, table: pd.DataFrame) -> None:
    """One file; ``image`` holds the bytes of a PNG and its name, as Hugging Face writes it."""
    pyarrow = import_pyarrow()
    image = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    schema = typed(table, data.labels).schema.insert(0, pyarrow.field("image", image))
    features = {field.name: {"_type": "Value", "dtype": str(field.type)} for field in schema}
    features["image"] = {"_type": "Image"}
    schema = schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    block = 1000  # images in memory at once
    with (
        run.atomic("data.parquet") as path,
        pyarrow.parquet.ParquetWriter(path, schema) as writer,
        run.progress("images", total=len(rows), stops=True) as bar,
    ):
        for start in range(0, len(rows), block):
            images = [
                {"bytes": read_bytes(data.image_path(row)), "path": f"{start + i:07d}.png"}
                for i, row in enumerate(rows[start : start + block])
            ]
            part = typed(table.iloc[start : start + block], data.labels)
            cells = [pyarrow.array(images, image), *part.columns]
            writer.write_table(pyarrow.Table.from_arrays(cells, schema=schema))
            bar.advance(len(images))


def dicom_files(run: Run, data: Dataset, rows: np.ndarray, table: pd.DataFrame) -> None:
    """A file an image; labels, which DICOM has no place for, lie beside them by SOPInstanceUID."""
    units = patient_groups(data)
    names, uids = [], []
    with run.progress("images", total=len(rows), stops=True) as bar:
        for number, (row, cells) in enumerate(zip(rows, table.to_dict("records"))):
            pixels = read_png(data.image_path(row), data.info.size or 0)
            file = instance(pixels, cells, data, int(row), int(units[row]))
            names.append(c.image_name(number).removesuffix("png") + "dcm")
            uids.append(str(file.SOPInstanceUID))
            with run.atomic(names[-1]) as path:
                file.save_as(path, enforce_file_format=True)
            bar.advance()
    run.write_text("labels.csv", named(table.assign(SOPInstanceUID=uids), names))


def named(table: pd.DataFrame, names: list[str]) -> str:
    """The table as CSV, with the files' names first."""
    return str(table.set_axis(names).rename_axis("file_name").to_csv())


def card(data: Dataset, table: pd.DataFrame, left_out: list[str]) -> str:
    """README.md: where the images come from, what their labels say, and whom to cite."""
    sources = ", ".join(f"{n:,} {name}" for name, n in Counter(table.get(c.SOURCE, ())).items())
    lines = [
        f"# {data.info.source}",
        f"{len(table):,} chest radiographs ({sources}) of {data.info.size} px. For research,"
        " not for diagnosis.",
        f"Labels: {', '.join(data.labels)}. 1 present, 0 absent, -1 uncertain, blank not said.",
        f"Licence: {data.info.licence or 'not recorded'}. Please cite: "
        f"{data.info.citation or 'nothing recorded'}.",
        f"Left out: {', '.join(left_out) or 'nothing that was there'}.",
    ]
    return "\n\n".join(lines) + "\n"
