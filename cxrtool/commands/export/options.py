"""The options of ``cxr export``."""

from dataclasses import dataclass
from pathlib import Path

from cxrtool.core.config import REQUIRED, argument, option
from cxrtool.data.options import SPLIT_CHOICES, VIEWS, SelectionOptions, row_option

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions):
    """Write a dataset in a form that other programs read.

    imagefolder is the layout that the loader of that name in Hugging Face's `datasets` reads: a
    folder for each split, with images and a table of their labels. parquet is one file with images
    and labels. dicom is a file for each image, which says by the standard's own attributes whether
    the image is synthetic. Patient ids and texts are left out unless you ask for them.

    Example: cxr export synth --to imagefolder -o for-hugging-face
    """

    data: Path = argument("Dataset directory.", role="data")
    to: str = option("Form to write.", REQUIRED, choices=("imagefolder", "parquet", "dicom"))
    with_ids: bool = option("Write patient and study ids too.", False)
    with_texts: bool = option("Write reports and prompts too.", False)
    view: str = row_option("Views to write.", "all", choices=VIEWS)
    split: str = row_option("Part of the data set to write.", "all", choices=SPLIT_CHOICES)
