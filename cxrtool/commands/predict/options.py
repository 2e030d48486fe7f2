"""The options of ``cxr predict``."""

import dataclasses
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cxrtool.core.config import Computing, argument, option, running_option
from cxrtool.core.errors import UsageError
from cxrtool.data.columns import DATASET
from cxrtool.data.options import SPLIT_CHOICES, VIEWS, column_names, row_option
from cxrtool.data.sources.base import NO_MODALITY

FORMAT = 1
STDIN = Path("-")
#: What ``--cam`` shows, beside labels by name.
TOP, POSITIVE = "top", "positive"

source_option = partial(option, panel="Tables, DICOM, 16-bit files")


@dataclass(frozen=True, kw_only=True)
class Config(Computing):
    """Say which findings classifiers see in images.

    For research, not for diagnosis.

    CLS are outputs of train-cls; of several, calibrated probabilities and thresholds are averaged.
    IMAGES are PNG, JPEG or DICOM files, folders (read to the bottom), tables with a column of
    paths, dataset directories, or - for paths on stdin. A folder that a cxr command wrote is a CLS
    unless it is a dataset directory; nothing else is one. With -o - the table goes to stdout.

    Example: cxr predict cls-1 cls-2 radiographs -o predictions
    """

    runs: tuple[Path, ...] = argument(
        "Outputs of train-cls, and images: files, folders, tables, dataset directories, -.",
        metavar="CLS... IMAGES",
        role="runs",
    )
    inputs: tuple[Path, ...] = option(
        "More images; may be repeated. The same as behind CLS.",
        (),
        metavar="IMAGES",
        role="inputs",
        listed=True,
    )
    cam: str | None = option(
        "Write class activation maps of top (the label farthest above its threshold), positive"
        " (all that reach theirs), or of labels by name, separated by commas.",
        metavar="A,B",
    )
    include_ids: bool = option("Name DICOM files, patients and studies in tables and page.", False)
    skip_bad: bool = option(
        "Record bad images in rejected.csv and go on, instead of stopping.", False
    )
    view: str = row_option(
        "Views to read, where they are known; stored: those that the runs were trained on.",
        "stored",
        choices=("stored", *VIEWS),
    )
    split: str = row_option("Part of a dataset directory to read.", "all", choices=SPLIT_CHOICES)
    column: tuple[str, ...] = source_option(
        "What a column of a table is called, such as image=path or view=position; may be repeated.",
        (),
        metavar="KEY=NAME",
    )
    images: tuple[Path, ...] = source_option(
        "Folder of the images, where they do not lie beside the table; may be repeated.",
        (),
        role="images",
        listed=True,
    )
    modality: tuple[str, ...] = source_option(
        "Modalities to take, such as CR,DX,RG; none stands for files that name none, any for all."
        " Default: CR and DX, and an error where there are others.",
        (),
        metavar="A,B",
    )
    bits: int | None = source_option(
        "Bits that the values of 16-bit images use, and of DICOM without a window. Default: those"
        " of the training images, or BitsStored.",
        min=8,
        max=16,
    )
    workers: int = running_option(
        "Processes that decode; 0 takes all cores.", 0, min=0, max=1024, result=False
    )

    def completed(self) -> "Config":
        """With classifiers and images apart."""
        runs = tuple(path for path in self.runs if is_classifier(path))
        first = self.runs[:1]
        if not runs and first and first[0] != STDIN and not first[0].exists():
            runs = first  # that it is not there is what a person must be told
        images = tuple(path for path in self.runs if path not in runs)
        return dataclasses.replace(self, runs=runs, inputs=(*images, *self.inputs))

    def validate(self) -> None:
        usage = "cxr predict CLS... IMAGES... -o OUT"
        if not self.runs:
            given = ", ".join(map(str, self.inputs[:3]))
            what = f"{given} is not" if len(self.inputs) == 1 else f"none of {given} is"
            what = f"no classifier is given: {what} an output of train-cls"
            raise UsageError(what if given else "no classifier is given", hint=usage)
        if not self.inputs:
            raise UsageError("no images are given", hint=usage)
        for what, paths in (("a classifier", self.runs), ("an input", self.inputs)):
            if len({path if path == STDIN else path.resolve() for path in paths}) < len(paths):
                raise UsageError(f"{what} is given twice")
        self.named_columns()

    def modalities(self) -> tuple[str, ...]:
        """``--modality``: capital letters as in DICOM, but for the words none and any."""
        every = [word.strip() for text in self.modality for word in text.split(",")]
        plain = (word.lower() if word.lower() in (NO_MODALITY, "any") else word for word in every)
        return tuple(
            word if word in (NO_MODALITY, "any") else word.upper() for word in plain if word
        )

    def named_columns(self) -> dict[str, str]:
        """``--column`` taken apart."""
        return column_names(self.column)


def is_classifier(path: Path) -> bool:
    """Whether an argument stands for a classifier: a folder of a cxr run that holds no data set."""
    records = ("run.json", "result.json", "model.json")
    return (
        path.is_dir()
        and not (path / DATASET).is_file()
        and any((path / name).is_file() for name in records)
    )


def warm(config: Config) -> None:
    """Let the workers load their libraries on other cores, while `run` loads its own on this."""
    from cxrtool.data import decoded, pool

    if config.workers != 1:
        pool.warm(decoded.PRELOAD)
