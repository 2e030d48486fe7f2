"""The options of `cxr prepare`."""

import dataclasses
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from cxrtool.core import console
from cxrtool.core.config import (
    ABSENT,
    GIVEN,
    MOST_IMAGES,
    AnyBut,
    argument,
    option,
    running_option,
)
from cxrtool.core.errors import UsageError
from cxrtool.data.columns import is_format_namespace, is_secret
from cxrtool.data.options import ROW_RULES, column_names
from cxrtool.data.sources.base import FOLDERS, FORMATS, MARKS, NO_MODALITY
from cxrtool.data.sources.recognition import AUTO, EDITED, recognize
from cxrtool.data.sources.tree import IMAGE_SUFFIXES

# 2: PNGs by run lengths, pixel keys by block means, all text columns joined. 3: a column with a bad
# cell is a label still, and no No Finding is joined to a finding; studies without patient ids stay
# whole, and so do pictures that are one at this size; keys of prepared pixels. 4: DICOM that says
# it is synthetic is; look-up tables by the bits that they use; labels that we derive follow
# their kinds, and what does not decide is blank; words for labels are read as labels; one blank
# patient id leaves the others their keys
FORMAT = 4

#: Formats whose tables name images that may lie elsewhere.
WITH_IMAGES = (
    "chexpert", "chexpert-plus", "nih", "nih-google", "mimic-cxr", "padchest", "openi", "vindr",
    "brax", "rsna", "siim", "table",
)  # fmt: skip

#: Formats of which, without images, only tables in the folder and those in it are read.
TABLES_ABOVE = ("chexpert", "nih", "padchest")

#: Formats whose readers join the rows of an image: by `--readers`, or boxes and masks of one label.
JOINED = ("nih-google", "vindr", "rsna", "siim")

form_option = partial(option, panel="Options of single formats")
label_option = partial(option, panel="Labels and reports")
patient_option = partial(option, panel="Patients")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Turn radiographs and labels into a dataset directory.

    They are read as they lie on disk. All other commands read such a directory: images of one size,
    a table with a row per image, and a split in which no patient is on two sides.

    Example: cxr prepare CheXpert-v1.0-small --size 128 -o data
    """

    source: Path | None = argument(
        "Folder or table of the source; none for phantom.",
        None,
        metavar="SOURCE",
        role="source",
        listed=True,
    )
    format: str = option(
        "Form of the source, as docs/how-to/datasets.md shows each; auto recognizes it by its"
        " files.",
        AUTO,
        choices=(AUTO, *FORMATS),
    )
    size: int = option("Side of the square images in pixels.", 128, min=8, max=4096)
    fit: str = option(
        "How an image becomes square: crop (shorter side, then center), pad or stretch.",
        "crop",
        choices=("crop", "pad", "stretch"),
    )
    split_by: str | None = option(
        "How patients are split into train, val and test: official (the source's own split),"
        " shares such as 0.8,0.1,0.1, none, or a CSV file with the columns split and"
        " patient_id, study_id or image. Default: official where there is one, else"
        " 0.8,0.1,0.1.",
        metavar="HOW",
        file=True,
        was="split",
    )
    n: int | None = option(
        "Number of images to make. Default: 200.",
        only={"format": ("phantom",)},
        min=1,
        max=MOST_IMAGES,
    )
    seed: int = option("Seed of the split, and of phantoms.", 0, min=0)
    synthetic: str | None = option(
        "Name of the generator that made these images, where it is not of this program (a"
        " simulator, a diffusion model): a synthetic set for train-cls and evaluate images.",
        only={"reports": ABSENT, "split_by": ABSENT, "labels_only": (False,)},
        metavar="NAME",
    )
    plan: Path | None = option(
        "Output of synthesize --plan-only that they were made for: the table's column slot says"
        " which row of its slots.csv, whose labels an image takes.",
        only={"synthetic": GIVEN, "format": ("table",)},
        role="plan",
    )
    reports: Path | None = option(
        "Output of extract-reports, whose labels and texts are joined by study.",
        metavar="EXTRACTED",
        role="reports",
    )
    skip_bad: bool = option(
        "Record bad rows in rejected.csv and go on, instead of stopping.", False
    )
    explain: bool = option(
        "Show what would be read, what would be left out and why, and the command to run; nothing"
        " is hashed, decoded or written.",
        False,
        result=False,
    )
    join_labels: str = label_option(
        "What labels read from reports do to those that are there: replace them, fill their"
        " blanks, or keep them as they are.",
        "fill",
        only={"reports": GIVEN},
        choices=("replace", "fill", "keep"),
        was="labels",
    )
    map_labels: str | None = label_option(
        "New names for labels: a TOML file, a built-in map (chexpert, synonyms, or that of a"
        " format such as nih), or none to keep the source's.",
        metavar="MAP",
        file=True,
    )
    rows: str | None = label_option(
        "How several rows of one image (readers, boxes) become one: any (1 if a row says 1, then"
        " -1, then 0), majority (of the cells that are not blank; a tie is -1) or first. Default:"
        " rows must agree.",
        choices=ROW_RULES,
        only={"format": AnyBut(JOINED)},
    )
    labels_only: bool = label_option("Write labels and texts without images, for planning.", False)
    namespace: str | None = patient_option(
        "Whose patient ids these are, such as a hospital. Default: by format, which for table,"
        " folder and dicom tells no two hospitals apart."
    )
    id_key: Path | None = patient_option(
        "File with a secret, without which nobody can hash a known patient id and compare.",
        metavar="FILE",
        role="id-key",
        secret=True,
    )
    new_id_key: Path | None = patient_option(
        "Write a new secret to FILE, which must not be there yet, and do nothing else. Give it with"
        " --id-key to every prepare whose patients are to be compared, and keep it.",
        metavar="FILE",
        result=False,
    )
    keep_ids: bool = patient_option(
        "Keep patient ids instead of pseudonyms.", False, only={"format": ("dicom",)}
    )
    images: tuple[Path, ...] = form_option(
        "Folder of the images, where they do not lie beside the table; may be repeated.",
        (),
        only={"format": WITH_IMAGES},
        role="images",
        listed=True,
    )
    column: tuple[str, ...] = form_option(
        "What a column is called, such as image=path or class=diagnosis; may be repeated.",
        (),
        only={"format": ("table",)},
        metavar="KEY=NAME",
    )
    folders: str | None = form_option(
        "What the folders of images are: a class each, a patient each, or nothing (images without"
        " labels). Default: by their names, and said.",
        choices=FOLDERS,
        only={"format": ("folder",)},
    )
    label_columns: tuple[str, ...] = form_option(
        "Columns that are labels (table, dicom), or names of labels (padchest, medmnist),"
        " separated by commas; of a table also none, for images without labels.",
        (),
        only={"format": ("padchest", "medmnist", "table", "dicom")},
        metavar="A,B",
    )
    label_table: Path | None = form_option(
        "Table of labels.", only={"format": ("dicom",)}, metavar="FILE", role="label-table"
    )
    modality: tuple[str, ...] = form_option(
        "Modalities to take, such as CR,DX,RG; none stands for files that name none, any for all."
        " Default: CR and DX, and an error where there are others.",
        (),
        only={"format": ("dicom",)},
        metavar="A,B",
    )
    exclude: tuple[str, ...] = form_option(
        "What is left out by its own word: burned-in (text in the pixels), synthetic, or both.",
        (),
        only={"format": ("dicom",)},
        metavar="A,B",
    )
    readers: str = form_option(
        "Whose labels count where several readers saw an image: any of them, the majority, or the"
        " id of one.",
        "majority",
        only={"format": ("vindr", "nih-google")},
        metavar="WHO",
    )
    bits: int | None = form_option(
        "Bits that the values of 16-bit images use, and of DICOM without a window. Default: what a"
        " table (column bits_stored) or BitsStored says, else the bits of the largest value of all"
        " images.",
        only={"format": AnyBut(("medmnist", "phantom"))},
        min=8,
        max=16,
    )
    workers: int = running_option(
        "Processes that decode; 0 takes all cores.", 0, min=0, max=1024, result=False
    )

    @property
    def explains(self) -> bool:
        """Whether something is shown."""
        return self.explains_only

    @property
    def explains_only(self) -> bool:
        """Whether nothing is prepared."""
        return self.explain or self.new_id_key is not None

    def completed(self) -> "Config":
        """With the format that its source has, where none is given."""
        if self.format == EDITED and self.source is not None and self.source.exists():
            return self._as_before(self.source)
        if self.format != AUTO or self.source is None or not self.source.exists():
            return self
        form, sign, also = recognize(self.source)
        others = f"; tables of {', '.join(also)} lie there too" if also else ""
        if not self.explain:  # which says it itself
            console.say(f"{self.source} is read as {form}, by {sign} (another: --format){others}")
        found = dataclasses.replace(self, format=form)
        return found._as_before(self.source) if form == EDITED else found

    def _as_before(self, source: Path) -> "Config":
        """With the form of the images of an edited dataset directory, where none is given."""
        from cxrtool.data.manifest import load_info

        info = load_info(source if source.is_dir() else source.parent)
        if info.size is None:
            return dataclasses.replace(self, labels_only=True)
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        form = {"size": info.size, "fit": info.fit}
        mine = {name: getattr(self, name) for name in form}
        given = {name: value for name, value in mine.items() if value != defaults[name]}
        return dataclasses.replace(self, **(form | given))

    def unread(self) -> tuple[str, ...]:
        """Endings of files of a folder that are not read: of images, where a table has the rows."""
        tabled = self.format not in ("folder", "dicom", AUTO)
        return IMAGE_SUFFIXES if self.labels_only and tabled else ()

    def deepest(self) -> int | None:
        """Levels of folders below SOURCE in which something is read; None = all."""
        return 1 if self.labels_only and self.format in TABLES_ABOVE else None

    def validate(self) -> None:
        if self.new_id_key is not None:
            others = (f for f in fields(self) if f.name != "new_id_key")
            if any(getattr(self, field.name) != field.default for field in others):
                raise UsageError(
                    "--new-id-key writes a secret and does nothing else",
                    hint=f"cxr prepare --new-id-key {self.new_id_key}, then prepare with --id-key",
                )
            return
        if self.format == AUTO and self.source is None:
            hint = "cxr prepare SOURCE -o OUT; images are made up with --format phantom"
            raise UsageError("missing SOURCE", hint=hint)
        if self.format != "phantom" and self.source is None:
            raise UsageError(
                f"--format {self.format} needs a SOURCE",
                hint=f"cxr prepare SOURCE --format {self.format} -o OUT",
            )
        if self.format == "phantom" and self.source is not None:
            raise UsageError(
                f"--format phantom reads nothing, but was given {self.source}",
                hint="leave the source out: cxr prepare --format phantom --n 500 -o OUT",
            )
        named = "--column class" if "class" in self.named_columns() else ""
        named = "--label-columns" if self.label_columns else named
        if named and self.plan is not None:
            raise UsageError(f"{named}: with --plan the labels are those of the plan's rows")
        if self.synthetic is not None and not self.synthetic.strip():
            raise UsageError("--synthetic: the generator needs a name")
        if self.split_by is not None:
            from cxrtool.data.splits import check_how

            check_how(self.split_by)
        if self.namespace is not None and is_secret(self.namespace):
            raise UsageError(
                f"--namespace {self.namespace} ends as one under a secret does",
                hint="give it another end; --id-key FILE adds the mark of the secret",
            )
        if self.namespace is not None and is_format_namespace(self.namespace):
            raise UsageError(
                f"--namespace {self.namespace} names a format, not whose patients these are",
                hint="name the hospital or the data set, such as --namespace st-mary",
            )
        for mark in words(self.exclude):
            if mark not in MARKS:
                raise UsageError(f"--exclude {mark}: one of {', '.join(MARKS)}")

    def named_columns(self) -> dict[str, str]:
        """``--column`` taken apart."""
        return column_names(self.column)


def words(texts: tuple[str, ...]) -> tuple[str, ...]:
    """The words of an option that takes some at once, separated by commas, and may be repeated."""
    every = (word.strip() for text in texts for word in text.split(","))
    return tuple(word for word in every if word)


def modalities(config: Config) -> tuple[str, ...]:
    """``--modality``: capital letters as in DICOM, but for the words none and any."""
    names = (word.upper() for word in words(config.modality))
    return tuple(n.lower() if n.lower() in (NO_MODALITY, "any") else n for n in names)


def warm(config: Config) -> None:
    """Let the workers load their libraries on other cores, while `run` loads its own on this."""
    from cxrtool.data import ingest, pool

    if not config.labels_only and config.workers != 1:
        pool.warm(ingest.PRELOAD)
