"""Images that a person names in any way: files, folders, tables, dataset directories, paths.

In: what stood on the command line. Out: the images in that order, each with the name that tables
call it by and what is known of its view; the files of folders that are no images, by reason; what
is refused, one clear error each. Nothing is decoded. DICOM goes by numbers, since its file names
and ids may tell who a person is; both are kept apart for those who ask for them.
"""

import itertools
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError
from cxrtool.core.reading import is_text, read_bytes
from cxrtool.data import tables
from cxrtool.data.columns import DATASET, IMAGE, PATIENT, STUDY, VIEW
from cxrtool.data.decoded import Source
from cxrtool.data.labels import are_views
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.options import SelectionOptions
from cxrtool.data.select import select_rows
from cxrtool.data.sources import table as table_source
from cxrtool.data.sources import tree, vocabulary
from cxrtool.data.sources.base import FileOpener, SourceOptions
from cxrtool.data.sources.dicom import MODALITIES, check_image
from cxrtool.data.sources.dicom_headers import burned_in, facts, header_of, modality_of

RUN_RECORD = "run.json"
OF_A_RUN = "in the folder of a cxr run"
OTHER_VIEW = "of another view"
_PACKED_TABLES = tuple(f"{suffix}.gz" for suffix in tables.SUFFIXES)


class NamedImage(NamedTuple):
    """An image and what is known of it before it is decoded.

    Attributes:
        name: As tables call it.
        source: The file; None where `row` says where its pixels are.
        row: Row of a dataset directory, from 0.
        view: "" where it is not known.
        file: What it would be called if ids were asked for.
        patient, study: Ids, for the same.
        burned_in: Text is burned into its pixels by its own word.
        cell: Table, row and column that name it, where a table does.
    """

    name: str
    source: Source | None
    row: int = -1
    view: str = ""
    file: str = ""
    patient: str = ""
    study: str = ""
    burned_in: bool = False
    cell: tuple[Path, int, str] | None = None

    def error(self, error: InputError) -> InputError:
        """What is wrong with it, said of the table's row where a table names it."""
        if self.cell is None:
            return InputError(error.reason, file=error.file or self.file, hint=error.hint)
        table, row, column = self.cell
        reason = f"{error.reason} ({error.file or self.file})"
        return InputError(reason, file=table, row=row, column=column, hint=error.hint)


@dataclass(frozen=True)
class Group:
    """Images that are read in one way.

    Attributes:
        images: In order.
        data: Where their pixels lie prepared; None for files.
        argument: Number of the argument that named them, from 0.
        listed: The argument only names or holds them.
    """

    images: list[NamedImage]
    data: Dataset | None = None
    argument: int = 0
    listed: bool = False


class Refused(NamedTuple):
    """An image that cannot be used.

    Attributes:
        name: As tables call it.
        error: What is wrong and where, for a person.
        reason: What is wrong alone.
    """

    name: str
    error: InputError
    reason: str


@dataclass
class Finder:
    """Finds the images behind arguments.

    Args:
        view: Views to take where they are known: ``frontal``, ``lateral`` or ``all``.
        split: Part of a dataset directory.
        modality: As in `SourceOptions`.
        columns, roots: ``--column`` and ``--images`` of tables.
        skip_bad: Collect what cannot be used instead of raising.
        apart: A folder that is no input, as the output is.

    Attributes:
        groups: What was found.
        left: Reason -> files of folders, or rows, that are left out.
        refused: What cannot be used.
        remarks: How tables were read, where that is not as they are written; no ids or paths.
        dicoms: DICOM images so far.
    """

    view: str = "all"
    split: str = "all"
    modality: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    roots: tuple[Path, ...] = ()
    skip_bad: bool = False
    apart: Path | None = None
    groups: list[Group] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    refused: list[Refused] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    dicoms: int = 0

    def find(self, paths: Sequence[Path], listing: Path | None = None) -> list[Group]:
        """The images of some arguments.

        Args:
            paths: The arguments; ``-`` stands for `listing`.
            listing: What stdin held.

        Raises:
            InputError: Nothing is found behind one of them, or something cannot be used and
                `skip_bad` is not set.
        """
        for number, path in enumerate(paths):
            several = len(paths) > 1
            group = self._behind(path, listing, several)
            self.groups.append(replace(group, argument=number))
        if not any(group.images for group in self.groups):
            raise self.nothing_left(paths)
        return self.groups

    def _behind(self, path: Path, listing: Path | None, several: bool) -> Group:
        if str(path) == "-":
            assert listing is not None
            return Group(self._of_view(list(self._lines(listing))), listed=True)
        if not path.exists():
            raise InputError("no such file or folder", file=path)
        if (path / DATASET).is_file():
            return self._dataset(path, several)
        if path.is_dir():
            before = len(self.refused), self.left.total()
            images = list(self._folder(path, several))
            if not images and before[0] == len(self.refused):
                reasons = self.left if before[1] == 0 else Counter[str]()
                raise _no_image(path, reasons)
            return Group(self._of_view(images), listed=True)
        lower = path.name.lower()
        if lower.endswith(tree.ARCHIVE_SUFFIXES) and not lower.endswith(_PACKED_TABLES):
            raise InputError(tree.ARCHIVE, file=path, hint="unpack it, and give the folder")
        if lower.endswith((".txt", ".lst", ".list")):
            hint = f"paths of images go to stdin: cxr predict CLS - < {path}"
            raise InputError("a text, where images are expected", file=path, hint=hint)
        if lower.removesuffix(".gz").endswith(tables.SUFFIXES):
            return Group(self._of_view(list(self._table(path, several))), listed=True)
        image = self._file(path, str(path))
        return Group(self._of_view([] if image is None else [image]))

    # --- files ------------------------------------------------------------------------------------

    def _file(self, path: Path, name: str, row: NamedImage | None = None) -> NamedImage | None:
        """One file, told by its ending or its beginning; None where it is refused.

        Args:
            path: Where it lies.
            name: As tables call it, if it is no DICOM.
            row: What a table says of it.
        """
        if not is_text(str(path)):
            plain = [os.fsencode(text).decode("utf-8", "replace") for text in (name, str(path))]
            error = InputError("the file's name is not UTF-8 text", file=plain[1], hint="rename it")
            self._refuse(NamedImage(plain[0], None), error)
            return None
        image = row or NamedImage(name, None)
        image = image._replace(file=name, source=Source(path, False))
        lower = path.name.lower()
        try:
            dicom = lower.endswith(tree.DICOM_SUFFIXES) or (
                not lower.endswith(tree.IMAGE_SUFFIXES) and tree.begins_as_dicom(path)
            )
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
            self._refuse(image, InputError(reason, file=path))
            return None
        if not dicom:
            return image
        self.dicoms += 1
        image = image._replace(name=f"dicom-{self.dicoms}", source=Source(path, True))
        try:
            header = header_of(path)
            if reason := self._not_asked_for(header):
                self.left[reason] += 1
                self.dicoms -= 1
                return None
            return self._with_header(image, header)
        except InputError as error:
            self._refuse(image, InputError(error.reason, file=path, hint=error.hint))
            return None

    def _not_asked_for(self, header: Any) -> str:
        """Why a DICOM file is none of the images; "" if it is one."""
        if "Rows" not in header:
            return "DICOM without pixels (a report, a presentation state)"
        modality = modality_of(header)
        if self.modality and "any" not in self.modality and modality not in self.modality:
            return f"modality {modality}"
        return ""

    def _with_header(self, image: NamedImage, header: Any) -> NamedImage:
        """A DICOM image with what its header tells.

        Raises:
            InputError: It is no radiograph that can be shown.
        """
        modality = modality_of(header)
        if not self.modality and modality not in MODALITIES:
            hint = "--modality any takes all, --modality CR,DX leaves others out"
            raise InputError(f"modality {modality} is not CR or DX", hint=hint)
        check_image(header)
        details = facts(header)
        return image._replace(
            view=image.view or details["view"],
            patient=image.patient or details["PatientID"],
            study=image.study or details["StudyInstanceUID"],
            burned_in=burned_in(header),
        )

    def _folder(self, folder: Path, several: bool) -> Iterator[NamedImage]:
        """Images of a folder, to its bottom; its other files are counted."""
        aside = "../" if self.apart is None else os.path.relpath(self.apart, folder) + "/"
        every = [(ref, why) for ref, why in tree.entries(folder) if not f"{ref}/".startswith(aside)]
        runs = tuple(
            f"{head}/"
            for ref, _ in every
            if (head := ref.rpartition("/")[0]) and ref.rpartition("/")[2] == RUN_RECORD
        )
        others = (*tree.ARCHIVE_SUFFIXES, *tree.TABLE_SUFFIXES)
        for ref, why in sorted(every):
            lower, path = ref.lower(), folder / ref
            why = "" if why == tree.NO_TEXT else why  # refused below, by its name
            why = why or (OF_A_RUN if ref.startswith(runs) else "")
            if not why and not lower.endswith(tree.IMAGE_SUFFIXES):
                dicom = not lower.endswith(others) and not lower.endswith("dicomdir")
                if not (dicom and (lower.endswith(tree.DICOM_SUFFIXES) or _begins(path))):
                    why = tree.no_image(ref, "folder")
            if why:
                self.left[why] += 1
                continue
            name = os.path.join(folder, ref) if several else ref
            if (image := self._file(path, name)) is not None:
                yield image

    def _lines(self, listing: Path) -> Iterator[NamedImage]:
        """Images whose paths stand in a text, a line each, or separated by NUL."""
        content = read_bytes(listing)
        lines = content.split(b"\0") if b"\0" in content else content.splitlines()
        for number, line in enumerate(lines, start=1):
            text = os.fsdecode(line).strip("\r\n")
            if not text.strip():
                continue
            path = Path(text)
            if not path.is_file():
                what = "a folder, where a file is expected" if path.is_dir() else "no such file"
                error = InputError(f"{what}: {text}", file="stdin", row=number)
                self._refuse(NamedImage(text, None, file=text), error, placed=True)
            elif (image := self._file(path, text)) is not None:
                yield image

    def _table(self, path: Path, several: bool) -> Iterator[NamedImage]:
        """Images that a column of a table names, as `prepare` reads it."""
        source = table_source.read(
            path,
            SourceOptions(
                columns=self.columns,
                images=self.roots,
                label_columns=(table_source.NO_LABELS,),
                skip_bad=self.skip_bad,
                headers=False,
            ),
        )
        self.remarks += source.remarks
        self.remarks += [text for text in source.cautions if text != table_source.UNLABELED]
        for ref, error in source.rejected:
            dicom = ref.lower().endswith(tree.DICOM_SUFFIXES)
            name = f"dicom in row {error.row}" if dicom else ref
            self.refused.append(Refused(name, error, error.reason))
        opener = source.opener
        assert isinstance(opener, FileOpener)
        frame = source.table
        bits = frame.get("bits_stored", pd.Series("", frame.index, dtype=str))
        cells = zip(
            *(frame[name] for name in ("image_ref", "table_row", VIEW, PATIENT, STUDY)), bits
        )
        for ref, row, view, patient, study, depth in cells:
            name = f"{path}:{ref}" if several else ref
            image = NamedImage(
                name, None, view=view, patient=patient, study=study, file=name,
                cell=(path, int(row), source.image_column),
            )  # fmt: skip
            file = opener.root / ref
            if not ref or not file.is_file():
                what = "no such image" if ref else "the cell is blank"
                self._refuse(image, InputError(what, file=file if ref else path))
                continue
            if (on_disk := self._file(file, name, image)) is not None:
                number = depth.strip().removesuffix(".0")
                table_bits = int(number) if number.isdecimal() and 1 <= int(number) <= 16 else 0
                assert on_disk.source is not None
                yield on_disk._replace(source=on_disk.source._replace(bits=table_bits))

    # --- dataset directories ----------------------------------------------------------------------

    def _dataset(self, path: Path, several: bool) -> Group:
        data = load_dataset(path)
        if data.info.size is None:
            hint = "prepare it again without --labels-only"
            raise InputError("the data set holds labels and no pixels", file=path, hint=hint)
        rows = select_rows(data, SelectionOptions(view=self.view, split=self.split))
        if left := len(data) - len(rows):
            of_split = len(select_rows(data, SelectionOptions(view="all", split=self.split)))
            self.left[OTHER_VIEW] += of_split - len(rows)
            self.left[f"not of --split {self.split}"] += left - (of_split - len(rows))
            self.left = +self.left
        cells = zip(rows, *(data.column(name, rows) for name in (IMAGE, VIEW, PATIENT, STUDY)))
        images = [
            NamedImage(
                os.path.join(path, name) if several else name,
                None,
                int(row),
                view,
                os.path.join(path, name),
                patient,
                study,
            )
            for row, name, view, patient, study in cells
        ]
        return Group(images, data)

    # --- what is left out -------------------------------------------------------------------------

    def _of_view(self, images: list[NamedImage]) -> list[NamedImage]:
        """Images of the wanted views, and those whose view is not known."""
        views = vocabulary.views(pd.Series([image.view for image in images], dtype=str))
        if self.view == "all" or not (views != "").any():
            return images
        mask = are_views(views, self.view) | (views == "").to_numpy()
        self.left[OTHER_VIEW] += int((~mask).sum())
        self.left = +self.left
        return list(itertools.compress(images, np.asarray(mask)))

    def _refuse(self, image: NamedImage, error: InputError, *, placed: bool = False) -> None:
        """Put what cannot be used on the list, or raise.

        Args:
            image: The image.
            error: What is wrong.
            placed: The error says where already.
        """
        reason = error.reason.partition(":")[0] if placed else error.reason
        error = error if placed else image.error(error)
        if not self.skip_bad:
            hint = error.hint or "leave bad images out with --skip-bad"
            raise InputError(
                error.reason, file=error.file, row=error.row, column=error.column, hint=hint
            )
        self.refused.append(Refused(image.name, error, reason))

    def refuse(self, image: NamedImage, error: InputError) -> None:
        """The same for an image that does not decode.

        Raises:
            InputError: Bad images are not skipped.
        """
        self._refuse(image, error)

    def nothing_left(self, paths: Sequence[Path]) -> InputError:
        """Why no image is left at all."""
        if self.refused:
            return InputError(
                f"no image is left: all {len(self.refused):,} are bad",
                hint=self.refused[0].error.reason,
            )
        if self.left[OTHER_VIEW]:
            return InputError(
                f"no image is left by --view {self.view}: {self.left[OTHER_VIEW]:,} are"
                " of another view",
                hint="--view all reads them; the classifiers know no such images",
            )
        return _no_image(paths[0], self.left)


def _begins(path: Path) -> bool:
    try:
        return tree.begins_as_dicom(path)
    except OSError:
        return False


def _no_image(path: Path, left: Mapping[str, int]) -> InputError:
    reasons = ", ".join(f"{why}: {n:,}" for why, n in Counter(left).most_common())
    what = "there is no image here" + (f" ({reasons})" if reasons else "")
    return InputError(what, file=path, hint="give a folder, files or a table of images")
