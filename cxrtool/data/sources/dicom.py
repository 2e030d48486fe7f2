"""Radiographs in DICOM: a folder tree of files, or one file.

In: CR and DX images, uncompressed or in any compression of `dicom_pixels.PLUGINS`. Out: a
`SourceTable` of what is kept (view, sex, age, body part, modality, manufacturer) and an opener that
applies the grayscale pipeline. Nothing else leaves a file: no names, no dates, no device numbers.
Patient and study are HMAC-SHA256 pseudonyms, unless ``keep_ids`` says otherwise; without a secret
key they are stable but can be found again by trying ids, which the notes say. Ages above 89 become
90. Other modalities, several frames, colour, and raw images "for processing" are refused. Labels
come from a table keyed by SOPInstanceUID, StudyInstanceUID or PatientID.

Needs the extra ``dicom``.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.decoding import MAX_PIXELS
from cxrtool.data.keys import patient_keys
from cxrtool.data.label_columns import NOTE, Columns, listed
from cxrtool.data.sources import files, vocabulary
from cxrtool.data.sources.base import SourceOptions, SourceTable
from cxrtool.data.sources.dicom_pixels import DicomOpener, import_pydicom, need_decoder, reading
from cxrtool.data.sources.table import label_columns
from cxrtool.data.tables import read_table, refuse_row, require_columns

_MODALITIES = ("CR", "DX")
_SUFFIXES = (".dcm", ".dicom", ".dic")
#: Everything that is looked at; all other elements stay unread.
_TAGS = [
    "SOPInstanceUID", "StudyInstanceUID", "PatientID", "PatientSex", "PatientAge", "Modality",
    "BodyPartExamined", "ViewPosition", "ViewCodeSequence", "Manufacturer",
    "PresentationIntentType", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation",
    "Rows", "Columns", "BitsAllocated", "BitsStored", "WindowCenter", "WindowWidth",
    "VOILUTSequence",
]  # fmt: skip
#: Columns that a table of labels may be keyed by, finest first.
_KEYS = ("SOPInstanceUID", "StudyInstanceUID", "PatientID")
_OLDEST = 90


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read a folder of DICOM files.

    Args:
        source: Folder (searched recursively) or one file.
        options: ``keep_ids`` keeps patient and study ids as they are; ``id_key`` is the secret of
            the pseudonyms; ``label_table`` and ``label_columns`` name labels to join.

    Raises:
        InputError: No DICOM image; a file that is not CR or DX, has several frames, is colour, raw
            or damaged; an image without a row in the table of labels, or with a cell there that is
            no label value.
        UsageError: The extra ``dicom`` is not installed.
    """
    pydicom = import_pydicom()
    root = source if source.is_dir() else source.parent
    sieve = files.Sieve(options)
    records: list[dict[str, str]] = []
    without_pixels = 0
    seen: dict[str, str] = {}
    for path in _files(source):
        ref = path.relative_to(root).as_posix()
        try:
            with reading():
                header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
                if "Rows" not in header:
                    without_pixels += 1  # a report, a presentation state, a directory
                    continue
                _check(header)
                record = {"image_ref": ref, **_kept(header)}
                uid = record["SOPInstanceUID"]
                if uid and uid in seen:
                    raise InputError(f"the same image as {seen[uid]}")
        except InputError as error:
            sieve.reject(InputError(error.reason, file=path, hint=error.hint), ref)
        else:
            seen[uid] = ref
            records.append(record)
    if not records:
        raise files.nothing_found(source, "dicom", "CR or DX image")
    table = pd.DataFrame(records, dtype=str)
    patients = bool((table["PatientID"] != "").all())
    windows = table["voi"].value_counts().sort_index()
    table["table_file"], table["table_row"] = [str(root / ref) for ref in table["image_ref"]], ""
    columns = Columns((), {})
    if options.label_table is not None:
        table, columns = _join(table, options.label_table, options, sieve)
    ids = f"HMAC-SHA256 {'with a secret' if options.id_key else 'without a'} key"
    return SourceTable(
        table=_without_identity(table, options),
        labels=columns.labels,
        namespace="dicom",
        patients=patients,
        source="DICOM",
        opener=None if options.labels_only else DicomOpener(root),
        image_column="file",
        keep_refs=False,
        rejected=sieve.rejected,
        notes={
            "ids": "as in the files" if options.keep_ids else ids,
            "voi": {str(name): int(count) for name, count in windows.items()},
            "objects_without_pixels": without_pixels,
            **({NOTE: dict(columns.left)} if columns.left else {}),
        },
    )


def _files(source: Path) -> list[Path]:
    """DICOM files in sorted order: by their ending, or by their magic where they have none."""
    if source.is_file():
        return [source]
    return sorted(
        path for path in map(source.joinpath, files.files_below(source)) if _is_dicom(path)
    )


def _is_dicom(path: Path) -> bool:
    suffix = path.suffix.lower()
    if path.name.upper() == "DICOMDIR" or suffix in _SUFFIXES:
        return suffix in _SUFFIXES
    # Files of an archive are often named by a UID: its last number looks like an ending.
    if suffix and not suffix[1:].isdigit():
        return False
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _check(header: Any) -> None:
    """Refuse what is not one gray radiograph that can be decoded here.

    Raises:
        InputError: With the reason.
    """
    modality = str(header.get("Modality", ""))
    if modality not in _MODALITIES:
        what = f"modality {modality or 'unknown'} is not a radiograph of kind CR or DX"
        raise InputError(what, hint="--skip-bad leaves such files out")
    frames = int(header.get("NumberOfFrames", 1) or 1)
    if frames > 1:
        raise InputError(f"{frames} frames where one is expected")
    colour = str(header.get("PhotometricInterpretation", ""))
    samples = int(header.get("SamplesPerPixel", 1) or 1)
    if samples != 1 or colour not in ("MONOCHROME1", "MONOCHROME2"):
        raise InputError(f"{colour or 'an unknown colour space'} with {samples} samples, not gray")
    if str(header.get("PresentationIntentType", "")).upper() == "FOR PROCESSING":
        raise InputError("raw detector data for processing, not an image for presentation")
    rows, columns = int(header.Rows), int(header.get("Columns", 0) or 0)
    if rows < 1 or columns < 1 or rows * columns > MAX_PIXELS:
        raise InputError(f"{columns} x {rows} px (1 to {MAX_PIXELS:,} pixels are read)")
    need_decoder(str(getattr(header.file_meta, "TransferSyntaxUID", "")))


def _kept(header: Any) -> dict[str, str]:
    """What is taken from a header, identifiers still in the clear."""
    windowed = header.get("WindowCenter") is not None and header.get("WindowWidth") is not None
    codes = header.get("ViewCodeSequence") or [{}]
    return {
        **{key: _text(header, key) for key in _KEYS},
        "view": _text(header, "ViewPosition") or _text(codes[0], "CodeMeaning"),
        "sex": _text(header, "PatientSex"),
        "age": _text(header, "PatientAge"),
        "modality": _text(header, "Modality"),
        "body_part": _text(header, "BodyPartExamined").upper(),
        "manufacturer": _text(header, "Manufacturer"),
        "voi": "LUT" if header.get("VOILUTSequence") else "window" if windowed else "none",
    }


def _text(header: Any, name: str) -> str:
    return " ".join(str(header.get(name, "") or "").split())


def _without_identity(table: pd.DataFrame, options: SourceOptions) -> pd.DataFrame:
    """The table with pseudonyms in place of ids, and with one spelling of views, sexes, ages."""
    table = table.rename(columns={"PatientID": "patient_id", "StudyInstanceUID": "study_id"})
    table["view"] = vocabulary.views(table["view"])
    table["sex"] = vocabulary.sexes(table["sex"])
    table["age"] = vocabulary.ages(table["age"])
    if not options.keep_ids:
        for column in ("patient_id", "study_id"):
            ids = patient_keys(table[column], column, options.id_key or b"cxrtool")
            table[column] = ids.astype(str)
        old = pd.to_numeric(table["age"], errors="coerce") > _OLDEST
        table["age"] = table["age"].where(~old, str(_OLDEST)).astype(str)
    return table.drop(columns=["SOPInstanceUID", "voi"])


def _join(
    table: pd.DataFrame, path: Path, options: SourceOptions, sieve: files.Sieve
) -> tuple[pd.DataFrame, Columns]:
    """The table with the labels of another one, joined by the finest id that it has; which ones."""
    frame = read_table(path)
    plain = {name.replace("_", "").lower(): name for name in map(str, frame.columns)}
    keys = {key: plain[key.lower()] for key in _KEYS if key.lower() in plain}
    if not keys:
        hint = "it needs one of " + ", ".join(_KEYS)
        raise InputError("no column to join by", file=path, hint=hint)
    key, column = next(iter(keys.items()))
    refuse_row(frame, frame[column].duplicated(), f"{key} is there twice", path, column)
    require_columns(frame, options.label_columns, path)
    columns = label_columns(frame, set(keys.values()), options.label_columns)
    if not columns.labels:
        hint = f"name them: --label-columns A,B; not labels: {listed(columns.left)}"
        raise InputError("no column of labels (1, 0, -1 or blank)", file=path, hint=hint)
    position = pd.Index(frame[column]).get_indexer(pd.Index(table[key]))
    there = position >= 0
    if not there.any():
        raise InputError(f"no {key} of the images stands here", file=path, column=column)
    what = f"no row with its {key} in {path}"
    hint = "a blank row means unknown; --skip-bad leaves such images out"
    for ref, file in table.loc[~there, ["image_ref", "table_file"]].itertuples(index=False):
        sieve.reject(InputError(what, file=file, hint=hint), ref)
    values = frame[list(columns.labels)].iloc[position[there]]
    # Index = rows of the label table, which is the file at fault if a cell is bad.
    table = table[there].set_axis(values.index).assign(**values)
    sieve.file, sieve.ref = path, "image_ref"
    table = sieve.labels(table, columns.labels, columns)
    return table.reset_index(drop=True), columns
