"""The options of `cxr prepare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cxrtool.core.config import Argument, Input, Option
from cxrtool.core.errors import UsageError

if TYPE_CHECKING:
    pass

NAME = "prepare"
# 2: PNGs by run lengths, pixel keys by block means, all text columns joined. 3: a column with a bad
# cell is a label still, and no No Finding is joined to a finding; studies without patient ids stay
# whole, and so do pictures that are one at this size; keys of prepared pixels
FORMAT = 3

FORMATS = (
    "chexpert",
    "nih",
    "mimic-cxr",
    "padchest",
    "openi",
    "folder",
    "medmnist",
    "table",
    "dicom",
    "phantom",
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Turn radiographs and labels, as they lie on disk, into a dataset directory.

    Example: cxr prepare CheXpert-v1.0-small --format chexpert --size 128 -o data
    """

    source: Annotated[
        Path | None,
        Argument("Folder or table of the source (none for phantom).", metavar="SOURCE"),
        Input("source"),
    ] = None
    format: Annotated[str, Option("Form of the source.", choices=FORMATS)]
    size: Annotated[int, Option("Side of the square images in pixels.", min=8, max=4096)] = 128
    fit: Annotated[
        str,
        Option(
            "How to get a square: crop (shorter side, then center), pad or stretch.",
            choices=("crop", "pad", "stretch"),
        ),
    ] = "crop"
    split: Annotated[
        str | None,
        Option(
            "official, shares such as 0.8,0.1,0.1, none, or a CSV with split and patient_id,"
            " study_id or image. Default: official where there is one, else 0.8,0.1,0.1.",
            metavar="official|SHARES|none|FILE",
            file=True,
        ),
    ] = None
    seed: Annotated[int, Option("Seed of the split, and of phantoms.", min=0)] = 0
    reports: Annotated[
        Path | None,
        Option(
            "Output of extract-reports, whose labels and texts are joined by study.",
            metavar="EXTRACTED",
        ),
        Input("reports"),
    ] = None
    labels: Annotated[
        str,
        Option(
            "With --reports: labels of the report replace the source's, fill its blanks, or the"
            " source's are kept.",
            choices=("replace", "fill", "keep"),
        ),
    ] = "fill"
    labels_only: Annotated[bool, Option("Write labels and texts without images, for planning.")] = (
        False
    )
    map_labels: Annotated[
        str | None,
        Option(
            "New names for labels: a TOML file, a built-in map (chexpert, nih, padchest, medmnist,"
            " synonyms), or none to keep the source's.",
            metavar="FILE|NAME|none",
            file=True,
        ),
    ] = None
    namespace: Annotated[
        str | None, Option("Whose patient ids these are, such as a hospital. Default: by format.")
    ] = None
    id_key: Annotated[
        Path | None,
        Option("File with a secret, which makes the hashes of patient ids secret.", metavar="FILE"),
        Input("id-key"),
    ] = None
    skip_bad: Annotated[
        bool, Option("Record bad rows in rejected.csv and go on, instead of stopping.")
    ] = False
    images: Annotated[
        Path | None,
        Option("Folder of the images, where they do not lie beside the table."),
        Input("images"),
    ] = None
    column: Annotated[
        tuple[str, ...],
        Option(
            "table: what a column is called, such as image=path or class=diagnosis; may be"
            " repeated.",
            metavar="KEY=NAME",
        ),
    ] = ()
    label_columns: Annotated[
        tuple[str, ...],
        Option(
            "table, dicom: columns that are labels; padchest, medmnist: names of labels. Separated"
            " by commas.",
            metavar="A,B",
        ),
    ] = ()
    label_table: Annotated[
        Path | None,
        Option("dicom: table of labels.", metavar="FILE"),
        Input("label-table"),
    ] = None
    keep_ids: Annotated[bool, Option("dicom: keep patient ids instead of pseudonyms.")] = False
    n: Annotated[int | None, Option("phantom: how many images. Default: 200.", min=1)] = None
    workers: Annotated[
        int, Option("Processes that decode; 0 takes all cores.", min=0, result=False)
    ] = 0

    def validate(self) -> None:
        """Refuse options that this format would ignore."""
        from cxrtool.data.sources.base import READERS

        reader = READERS[self.format]
        if reader.needs_source and self.source is None:
            raise UsageError(
                f"--format {self.format} needs a SOURCE",
                hint=f"cxr prepare SOURCE --format {self.format} -o OUT",
            )
        given = {
            "images": self.images is not None,
            "columns": bool(self.column),
            "label_columns": bool(self.label_columns),
            "label_table": self.label_table is not None,
            "keep_ids": self.keep_ids,
            "n": self.n is not None,
        }
        flags = {"columns": "--column"}
        for name, there in given.items():
            if there and name not in reader.takes:
                flag = flags.get(name, "--" + name.replace("_", "-"))
                takers = ", ".join(k for k, r in READERS.items() if name in r.takes)
                raise UsageError(
                    f"{flag} has no meaning with --format {self.format}", hint=f"it is for {takers}"
                )
        if self.reports is None and self.labels != "fill":
            raise UsageError(f"--labels {self.labels} has no meaning without --reports")
        self.named_columns()

    def named_columns(self) -> dict[str, str]:
        """``--column`` taken apart."""
        pairs = [text.partition("=") for text in self.column]
        for text, (key, _, name) in zip(self.column, pairs, strict=True):
            if not key or not name:
                raise UsageError(f"--column {text}: write KEY=NAME, such as image=path")
        return {key.strip(): name.strip() for key, _, name in pairs}
