"""The options of `cxr prepare`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

from cxrtool.core.config import GIVEN, Argument, Input, Option, RunningOption
from cxrtool.core.errors import UsageError
from cxrtool.data.sources.base import FORMATS

NAME = "prepare"
# 2: PNGs by run lengths, pixel keys by block means, all text columns joined. 3: a column with a bad
# cell is a label still, and no No Finding is joined to a finding; studies without patient ids stay
# whole, and so do pictures that are one at this size; keys of prepared pixels
FORMAT = 3

FormOption = partial(Option, panel="Options of single formats")
LabelOption = partial(Option, panel="Labels and reports")
PatientOption = partial(Option, panel="Patients")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Turn radiographs and labels, as they lie on disk, into a dataset directory.

    All other commands read such a directory: images of one size, a table with a row per image, and
    a split in which no patient is on two sides.

    Example: cxr prepare CheXpert-v1.0-small --format chexpert --size 128 -o data
    """

    source: Annotated[
        Path | None,
        Argument("Folder or table of the source; none for phantom.", metavar="SOURCE"),
        Input("source"),
    ] = None
    format: Annotated[str, Option("Form of the source.", choices=FORMATS)]
    size: Annotated[int, Option("Side of the square images in pixels.", min=8, max=4096)] = 128
    fit: Annotated[
        str,
        Option(
            "How an image becomes square: crop (shorter side, then center), pad or stretch.",
            choices=("crop", "pad", "stretch"),
        ),
    ] = "crop"
    split_by: Annotated[
        str | None,
        Option(
            "How patients are split into train, val and test: official (the source's own split),"
            " shares such as 0.8,0.1,0.1, none, or a CSV file with the columns split and"
            " patient_id, study_id or image. Default: official where there is one, else"
            " 0.8,0.1,0.1.",
            metavar="HOW",
            file=True,
            was="split",
        ),
    ] = None
    n: Annotated[
        int | None,
        Option("Number of images to make. Default: 200.", only={"format": ("phantom",)}, min=1),
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
    skip_bad: Annotated[
        bool, Option("Record bad rows in rejected.csv and go on, instead of stopping.")
    ] = False
    join_labels: Annotated[
        str,
        LabelOption(
            "What labels read from reports do to those that are there: replace them, fill their"
            " blanks, or keep them as they are.",
            only={"reports": GIVEN},
            choices=("replace", "fill", "keep"),
            was="labels",
        ),
    ] = "fill"
    map_labels: Annotated[
        str | None,
        LabelOption(
            "New names for labels: a TOML file, a built-in map (chexpert, nih, padchest, medmnist,"
            " synonyms), or none to keep the source's.",
            metavar="MAP",
            file=True,
        ),
    ] = None
    labels_only: Annotated[
        bool, LabelOption("Write labels and texts without images, for planning.")
    ] = False
    namespace: Annotated[
        str | None,
        PatientOption("Whose patient ids these are, such as a hospital. Default: by format."),
    ] = None
    id_key: Annotated[
        Path | None,
        PatientOption(
            "File with a secret, without which nobody can hash a known patient id and compare.",
            metavar="FILE",
        ),
        Input("id-key"),
    ] = None
    keep_ids: Annotated[
        bool, PatientOption("Keep patient ids instead of pseudonyms.", only={"format": ("dicom",)})
    ] = False
    images: Annotated[
        Path | None,
        FormOption(
            "Folder of the images, where they do not lie beside the table.",
            only={"format": ("chexpert", "nih", "mimic-cxr", "padchest", "openi", "table")},
        ),
        Input("images"),
    ] = None
    column: Annotated[
        tuple[str, ...],
        FormOption(
            "What a column is called, such as image=path or class=diagnosis; may be repeated.",
            only={"format": ("table",)},
            metavar="KEY=NAME",
        ),
    ] = ()
    label_columns: Annotated[
        tuple[str, ...],
        FormOption(
            "Columns that are labels (table, dicom), or names of labels (padchest, medmnist),"
            " separated by commas.",
            only={"format": ("padchest", "medmnist", "table", "dicom")},
            metavar="A,B",
        ),
    ] = ()
    label_table: Annotated[
        Path | None,
        FormOption("Table of labels.", only={"format": ("dicom",)}, metavar="FILE"),
        Input("label-table"),
    ] = None
    workers: Annotated[
        int, RunningOption("Processes that decode; 0 takes all cores.", min=0, result=False)
    ] = 0

    def validate(self) -> None:
        if self.format != "phantom" and self.source is None:
            raise UsageError(
                f"--format {self.format} needs a SOURCE",
                hint=f"cxr prepare SOURCE --format {self.format} -o OUT",
            )
        self.named_columns()

    def named_columns(self) -> dict[str, str]:
        """``--column`` taken apart."""
        pairs = [text.partition("=") for text in self.column]
        for text, (key, _, name) in zip(self.column, pairs, strict=True):
            if not key or not name:
                raise UsageError(f"--column {text}: write KEY=NAME, such as image=path")
        return {key.strip(): name.strip() for key, _, name in pairs}
