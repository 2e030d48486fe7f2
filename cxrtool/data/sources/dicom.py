"""Radiographs in DICOM: a folder tree of files, or one file.

In: CR and DX images, and others that ``--modality`` names, uncompressed or in any compression of
`dicom_pixels.PLUGINS`, in files of any name, with or without the preamble of PS3.10. Out: a
`SourceTable` of what is kept (view, sex, age, body part, modality, manufacturer) and an opener that
applies the grayscale pipeline. Nothing else leaves a file: no names, no dates, no device numbers.
Patient and study are HMAC-SHA256 pseudonyms, unless ``keep_ids`` says otherwise; without a secret
key they are stable but can be found again by trying ids, which the notes say. Ages above 89 become
90. Other modalities, several frames, colour, and raw images "for processing" are refused. Images
whose files say that they are synthetic (Synthetic Data, PS3.3 C.12.1) are synthetic here too, and
text burned into pixels (Burned In Annotation, PS3.3 C.7.6.1) is counted. Labels come from a table
keyed by SOPInstanceUID, StudyInstanceUID or PatientID.

Needs the extra ``dicom``.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.data.decoding import MAX_PIXELS
from cxrtool.data.keys import patient_keys
from cxrtool.data.label_columns import NOTE, Columns, listed
from cxrtool.data.sources import files, vocabulary
from cxrtool.data.sources.base import NO_MODALITY, SourceOptions, SourceTable
from cxrtool.data.sources.dicom_headers import (
    KEYS,
    burned_in,
    facts,
    header_of,
    modality_of,
    synthetic,
)
from cxrtool.data.sources.dicom_pixels import (
    DicomOpener,
    import_pydicom,
    need_decoder,
    syntax_of,
)
from cxrtool.data.sources.table import label_columns
from cxrtool.data.sources.tree import (
    ARCHIVE_SUFFIXES,
    DICOM_SUFFIXES,
    IMAGE_SUFFIXES,
    TABLE_SUFFIXES,
    begins_as_dicom,
)
from cxrtool.data.tables import read_table, refuse_row, require_columns

MODALITIES = ("CR", "DX")
#: Endings of files whose beginning need not be looked at.
_OTHERS = (
    *IMAGE_SUFFIXES, *ARCHIVE_SUFFIXES, *TABLE_SUFFIXES,
    ".txt", ".xml", ".md", ".html", ".pdf", ".py",
)  # fmt: skip
_OLDEST = 90
NOT_LOOKED_AT = "DICOM, by its name, that is not looked at here (only a sample is)"


def read(source: Path, options: SourceOptions) -> SourceTable:
    """Read a folder of DICOM files.

    Args:
        source: Folder (searched recursively) or one file.
        options: ``keep_ids`` keeps patient and study ids as they are; ``id_key`` is the secret of
            the pseudonyms; ``label_table`` and ``label_columns`` name labels to join; ``modality``
            and ``exclude`` say which images are taken.

    Raises:
        InputError: No DICOM image; files that are not CR or DX, where no modality was asked for; a
            file that has several frames, is colour, raw or damaged; an image without a row in the
            table of labels, or with a cell there that is no label value.
        UsageError: The extra ``dicom`` is not installed.
    """
    import_pydicom()
    root = source if source.is_dir() else source.parent
    sieve = files.Sieve(options)
    headers = _Headers(options, sieve)
    paths = _paths(source)
    step = -(-len(paths) // options.sample) if options.sample else 1
    for path in filter(_is_dicom, paths[::step]) if source.is_dir() else paths:
        headers.look_at(path, path.relative_to(root).as_posix())
    if step > 1:
        headers.leave_the_others(paths, root)
    if headers.other and not options.skip_bad:
        raise headers.other_modalities()
    records = headers.records
    if not records:
        raise files.nothing_found(source, "dicom", "CR or DX image", headers.left.values())
    remarks, cautions = headers.sentences()
    if step > 1:
        looked_at = f"{len(paths[::step]):,} of {len(paths):,} files that may be DICOM"
        cautions.append(f"only {looked_at} are looked at here: all counts are of these")
    table = pd.DataFrame(records, dtype=str)
    patients = bool((table["PatientID"] != "").any())
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
        left=headers.left,
        remarks=remarks,
        cautions=cautions,
        notes={
            "ids": "as in the files" if options.keep_ids else ids,
            "voi": {str(name): int(count) for name, count in windows.items()},
            "objects_without_pixels": sum("without pixels" in why for why in headers.left.values()),
            "modalities": dict(sorted(headers.counts("modality", NO_MODALITY).items())),
            "burned_in": headers.counts("burned_in")["YES"],
            **({NOTE: dict(columns.left)} if columns.left else {}),
        },
    )


@dataclass
class _Headers:
    """Looks at the header of one file after the other.

    Attributes:
        options: What to take.
        sieve: Takes the files that are at fault.
        records: What is kept of each image.
        left: Other files, and why they are no images of the set.
        other: Modality that nobody asked for -> its first file, and how many there are.
    """

    options: SourceOptions
    sieve: files.Sieve
    records: list[dict[str, str]] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    other: dict[str, tuple[Path, int]] = field(default_factory=dict)
    _seen: dict[str, str] = field(default_factory=dict)

    def look_at(self, path: Path, ref: str) -> None:
        """Read the header of a file, and put it where it belongs.

        Raises:
            InputError: It is at fault, and bad files are not skipped.
        """
        try:
            header = header_of(path)
            if "Rows" not in header:
                self.left[ref] = "DICOM without pixels (a report, a presentation state)"
            elif reason := self._not_asked_for(header):
                self.left[ref] = reason
            else:
                self._take(header, path, ref)
        except InputError as error:
            self.sieve.reject(InputError(error.reason, file=path, hint=error.hint), ref)

    def _not_asked_for(self, header: Any) -> str:
        """Why an image is left out as the user has asked; "" if it is not."""
        chosen, modality = self.options.modality, modality_of(header)
        if chosen and "any" not in chosen and modality not in chosen:
            return f"modality {modality}"
        if "burned-in" in self.options.exclude and burned_in(header):
            return "text burned into the pixels (BurnedInAnnotation)"
        if "synthetic" in self.options.exclude and synthetic(header):
            return "synthetic by its own word (SyntheticData)"
        return ""

    def _take(self, header: Any, path: Path, ref: str) -> None:
        modality = modality_of(header)
        if not self.options.modality and modality not in MODALITIES:
            first, count = self.other.get(modality, (path, 0))
            self.other[modality] = first, count + 1
            if self.options.skip_bad:
                raise InputError(f"modality {modality} is not CR or DX")
            return
        check_image(header)
        record = {"image_ref": ref, **facts(header)}
        uid = record["SOPInstanceUID"]
        if uid and uid in self._seen:
            raise InputError(f"the same image as {self._seen[uid]}")
        self._seen[uid] = ref
        self.records.append(record)

    def counts(self, name: str, blank: str = "") -> Counter[str]:
        """How often each value of a column occurs."""
        return Counter(record[name] or blank for record in self.records)

    def sentences(self) -> tuple[list[str], list[str]]:
        """What to tell of the images that were taken: remarks, and cautions."""
        modalities, remarks, cautions = self.counts("modality", NO_MODALITY), [], []
        if set(modalities) - set(MODALITIES):
            names = ", ".join(f"{name} {n:,}" for name, n in sorted(modalities.items()))
            remarks.append(f"modalities of the images: {names}")
        if self.other:
            names = ", ".join(f"{name} {n:,}" for name, (_, n) in sorted(self.other.items()))
            remarks.append(f"left out by modality: {names} (--modality any takes them)")
        if synthetic := self.counts("source")["synthetic"]:
            cautions.append(
                f"{synthetic:,} images say that they are synthetic (SyntheticData) and are marked"
                " so; --exclude synthetic leaves them out"
            )
        if burned := self.counts("burned_in")["YES"]:
            cautions.append(
                f"{burned:,} images say that text is burned into their pixels, which may name a"
                " person: column burned_in; --exclude burned-in leaves them out"
            )
        return remarks, cautions

    def leave_the_others(self, paths: list[Path], root: Path) -> None:
        """Files that are not looked at are none of the set as far as is known."""
        known = {record["image_ref"] for record in self.records} | self.left.keys()
        known |= {rejected.ref for rejected in self.sieve.rejected}
        refs = (path.relative_to(root).as_posix() for path in paths)
        self.left |= {ref: NOT_LOOKED_AT for ref in refs if ref not in known}

    def other_modalities(self) -> InputError:
        """The one error for all files of modalities that nobody asked for."""
        names = ", ".join(f"{name} {n:,}" for name, (_, n) in sorted(self.other.items()))
        first, _ = next(iter(self.other.values()))
        total = sum(n for _, n in self.other.values())
        taken = f"{len(self.records):,} CR or DX"
        return InputError(
            f"of {total:,} images the modality is not CR or DX: {names} (beside {taken})",
            file=first,
            hint="--modality any takes all of them, --modality CR,DX leaves them out",
        )


def _paths(source: Path) -> list[Path]:
    """Files that may be DICOM by their names, in sorted order."""
    if source.is_file():
        return [source]
    others = (*_OTHERS, "dicomdir")
    refs = (ref for ref in files.files_below(source) if not ref.lower().endswith(others))
    return sorted(map(source.joinpath, refs))


def _is_dicom(path: Path) -> bool:
    name = path.name.lower()
    if name.endswith(DICOM_SUFFIXES):
        return True
    try:
        return begins_as_dicom(path)
    except OSError:
        return False


def check_image(header: Any) -> None:
    """Refuse what is not one gray image that can be decoded here.

    Raises:
        InputError: With the reason.
    """
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
    need_decoder(syntax_of(header))


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
    silent = [name for name in ("source", "burned_in") if not (table[name] != "").any()]
    return table.drop(columns=["SOPInstanceUID", "voi", *silent])


def _join(
    table: pd.DataFrame, path: Path, options: SourceOptions, sieve: files.Sieve
) -> tuple[pd.DataFrame, Columns]:
    """The table with the labels of another one, joined by the finest id that it has; which ones."""
    frame = read_table(path)
    plain = {name.replace("_", "").lower(): name for name in map(str, frame.columns)}
    keys = {key: plain[key.lower()] for key in KEYS if key.lower() in plain}
    if not keys:
        hint = "it needs one of " + ", ".join(KEYS)
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
