"""Names of the files, the columns and the values of a dataset directory."""

from __future__ import annotations

from cxrtool.core.errors import UsageError

FORMAT = 1
DATASET, MANIFEST, INDEX, IMAGES = "dataset.json", "manifest.csv", "files.tsv", "images"

IMAGE, PATIENT, STUDY, VIEW, SPLIT, SEX, AGE = (
    "image",
    "patient_id",
    "study_id",
    "view",
    "split",
    "sex",
    "age",
)
SOURCE, REPORT, FINDINGS, IMPRESSION, PROMPT = (
    "source",
    "report",
    "findings",
    "impression",
    "prompt",
)
ORIGIN, PIXEL_KEY, PATIENT_KEY = "origin", "pixel_key", "patient_key"
#: Key of the pixels in ``images/``, as PIXEL_KEY is that of the original; prepare writes it.
PREPARED_KEY = "prepared_key"
#: Columns of every manifest, in this order, before the labels.
FIRST = (IMAGE, PATIENT, STUDY, VIEW, SPLIT, SEX, AGE, SOURCE, REPORT, FINDINGS, IMPRESSION)
#: What synthesize and edit add.
SYNTHETIC = (
    "generator",
    "seed",
    "source_row",
    "truncation",
    "edit",
    "filter_score",
    "nn_distance",
)
#: Texts for CLIP that extract-reports can write, a column each, see ``cxrtool.reports.texts``.
RULES, RULES_V2, INVERTED, GENERATED, EXTERNAL = (
    "rules",
    "rules-v2",
    "inverted",
    "generated",
    "external",
)
TEXTS = (IMPRESSION, FINDINGS, RULES, RULES_V2, GENERATED, EXTERNAL, INVERTED)
RANDOM = "random"
#: Column of texts of other patients -> the column that they are texts of.
RANDOM_TEXTS = {RANDOM: RULES, **{f"{RANDOM}-{name}": name for name in TEXTS}}
#: Names that no label may have.
RESERVED = frozenset(
    (
        *FIRST,
        PROMPT,
        ORIGIN,
        PIXEL_KEY,
        PREPARED_KEY,
        PATIENT_KEY,
        *SYNTHETIC,
        *TEXTS,
        *RANDOM_TEXTS,
    )
)
SPLITS = ("train", "val", "test")
SOURCES = ("real", "synthetic", "edited")
VALUES = ("1", "0", "-1", "")


def image_name(number: int, digits: int = 7) -> str:
    """Where an image goes: a thousand to a folder, no identity in the name."""
    return f"{IMAGES}/{number // 1000:0{digits - 3}d}/{number:0{digits}d}.png"


def chosen_texts(names: str, *, external: bool = False) -> tuple[str, ...]:
    """The strategies of an option such as "impression,rules-v2".

    Args:
        names: Separated by commas.
        external: Whether there is a file of texts; its column is written in any case.

    Raises:
        UsageError: One is unknown, named twice, or needs a file that there is not.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = (*TEXTS, *RANDOM_TEXTS)
    for name in wanted:
        if name not in known:
            raise UsageError(f"unknown text strategy {name!r}", hint="known: " + ", ".join(known))
        if wanted.count(name) > 1:
            raise UsageError(f"the text strategy {name!r} is named twice")
        if RANDOM_TEXTS.get(name, name) == EXTERNAL and not external:
            raise UsageError(f"{name!r} needs a file of texts", hint="give --text-from FILE")
    if external and EXTERNAL not in wanted:
        wanted.append(EXTERNAL)
    return tuple(wanted)
