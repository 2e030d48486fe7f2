"""The leak guard: two independent keys of every image, and the refusal where sets overlap.

In: the patient ids and the original images of a data set. Out: ``seen.json``, what a network was
trained on (its inputs' included), and a `GateError` (exit 5) where a test row was seen in training.
The first key is an HMAC of the patient id under the namespace of the ids; the second a hash of the
image at 64 px (`cxrtool.data.images.pixel_key`), of the original and of the prepared pixels. An
image that was taken out of a dataset directory has lost its original: only the key of the prepared
pixels finds it, in a synthetic set at the same size, and in a set that was prepared from it at any
size. A copy that was resampled by another program has neither key; what is only near is listed by
`cxrtool.data.near_rows`. A match in either is a leak, for that row and for what belongs to it in
its data set (`cxrtool.data.select.units`: where patient ids are missing, its study). Ids of
different namespaces cannot be compared; pixels always can. A network that came without keys (a copy
of ``cxr share``, weights of others) is of unknown history, and so is what is made with it: that is
said wherever a leak would be refused, and refuses nothing. Weights of a classifier name the keys
that belong to them in their header, so that no other ``seen.json`` can stand beside them. Where the
namespace only says how a set was read (`columns.FORMAT_NAMESPACES`), equal ids are one person if
both sets share an image of that person; else they are a caution, since two hospitals that nobody
named may both have a patient 1.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import itertools
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cxrtool.core import console
from cxrtool.core.errors import GateError, InputError
from cxrtool.core.files import canonical_json, sha256_file
from cxrtool.core.reading import parse_json, read_bytes, read_json
from cxrtool.data import columns, published
from cxrtool.data.cache import keys_of_pixels, prepared_keys
from cxrtool.data.columns import PATIENT, PATIENT_KEY, PIXEL_KEY, SOURCE, SPLIT
from cxrtool.data.manifest import Dataset, load_dataset, load_info
from cxrtool.data.select import patient_groups

if TYPE_CHECKING:
    from cxrtool.core.runs import Run

SEEN, MODEL, WEIGHTS = "seen.json", "model.json", "model.safetensors"
FORMAT = 1
FORMAT_UNKNOWN = 2  # with `Seen.unknown`, which versions that know format 1 alone must not miss
MOST_NAMED = 6  # networks of unknown history in a sentence
#: Role of an input -> what a message calls it.
_ROLES = {
    "synth": "synthetic set",
    "gan": "generator",
    "clip": "CLIP",
    "features": "feature extractor",
    "init": "starting weights",
    "init-from": "starting weights",
    "extend": "earlier training",
    "data": "data set",
}
DEEPEST = 8
_SHOWN = 5  # copies named in a message
Keys = frozenset[str]


def patient_keys(
    patients: Sequence[str] | np.ndarray | pd.Series, namespace: str, secret: bytes | None = None
) -> np.ndarray:
    """Keys of patients: the first 16 hex digits of HMAC-SHA-256 (64 bits).

    Args:
        patients: Patient ids; a blank one gets a blank key.
        namespace: Whose ids these are; also the HMAC key where there is no secret, so that two
            preparations of one data set agree.
        secret: Content of ``--id-key``: without it nobody can test a guessed id against the keys.

    Returns:
        Object array [N] of `str`.
    """
    codes, unique = pd.factorize(pd.Series(patients, dtype=str))
    secret, head = secret or namespace.encode("utf-8"), namespace.encode("utf-8") + b"\0"
    start = hmac.new(secret, head, "sha256")

    def key(patient: str) -> str:
        digest = start.copy()
        digest.update(patient.encode("utf-8"))
        return digest.hexdigest()[:16] if patient else ""

    return np.asarray(np.array([key(str(patient)) for patient in unique], object)[codes])


def keyed_namespace(namespace: str, secret: bytes | None) -> str:
    """The namespace under a secret: keys made with different secrets must never be compared."""
    if secret is None:
        return namespace
    return f"{namespace}+{hashlib.sha256(b'cxr id-key' + secret).hexdigest()[:8]}"


def read_secret(path: Path) -> bytes:
    """The content of an ``--id-key`` file without white space at its ends.

    Raises:
        InputError: It cannot be read or holds less than 16 bytes.
    """
    try:
        secret, mode = read_bytes(path).strip(), path.stat().st_mode
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None
    if len(secret) < 16:
        hint = "make one with: cxr prepare --new-id-key FILE"
        raise InputError("the key has fewer than 16 bytes", file=path, hint=hint)
    if mode & 0o077:
        console.warn(f"others may read the secret in {path}: chmod 600 {path}")
    return secret


def write_secret(path: Path) -> None:
    """Write a new secret, 32 random bytes as text, that only this user can read.

    Raises:
        InputError: There is such a file, or it cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        what, hint = "is there already: no secret is overwritten", f"use it: --id-key {path}"
        raise InputError(what, file=path, hint=hint) from None
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=path) from None
    try:
        with open(handle, "wb") as stream:
            stream.write(base64.b64encode(secrets.token_bytes(32)) + b"\n")
            stream.flush()
            os.fsync(handle)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def reversible_keys(namespaces: Iterable[str]) -> str:
    """What a reader must know of patient keys without a secret; "" where each has one.

    Args:
        namespaces: Whose keys they are.
    """
    names = sorted({name for name in namespaces if not columns.is_secret(name)})
    if not names:
        return ""
    return (
        f"Patient keys of {', '.join(map(repr, names))} are made without a secret and are"
        " reversible: whoever has a list of patient ids can tell which of them are in manifest.csv"
        " and seen.json. Keep these files in the house, or prepare with --id-key."
    )


def reversible_inputs(folders: Iterable[Path]) -> list[str]:
    """Namespaces of the patient keys that dataset directories among some folders hold."""
    namespaces = []
    for folder in folders:
        if (folder / columns.DATASET).is_file():
            info = load_info(folder)
            if info.patients or info.unnamed:
                namespaces.append(info.namespace)
    return namespaces


@dataclass(frozen=True)
class Seen:
    """What was seen: patient keys by namespace, and pixel keys.

    Attributes:
        patients: Namespace -> keys.
        pixels: Keys of original images.
        chosen_by: The part of them that only chose a checkpoint and that no weight was fitted to:
            validation rows. None of them may be tested on, but another network of the same study
            may choose its own checkpoint by them.
        prepared: Keys of images as they lie in a dataset directory.
        unknown: Networks without keys, such as "generator 0123456789ab", that had a part in it:
            what they saw is not among the rest.
        unnamed: Whether images without a patient id were seen beside others with one.
    """

    patients: Mapping[str, frozenset[str]] = field(default_factory=dict)
    pixels: frozenset[str] = frozenset()
    chosen_by: Seen | None = None
    prepared: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    unnamed: bool = False

    @property
    def looks(self) -> frozenset[str]:
        """Keys of all images, as originals and as they were prepared."""
        return self.pixels | self.prepared

    @classmethod
    def of(cls, dataset: Dataset, rows: np.ndarray | None = None) -> Seen:
        """The keys of the given rows (None for all)."""
        patients = _patient_column(dataset, rows)
        people = frozenset(patients) - {""}
        return cls(
            {dataset.info.namespace: people} if people else {},
            frozenset(dataset.column(PIXEL_KEY, rows)) - {""},
            prepared=frozenset(prepared_keys(dataset, rows)) - {""},
            unnamed=bool(people and dataset.info.unnamed) and bool((patients == "").any()),
        )

    @classmethod
    def choosing(cls, dataset: Dataset, rows: np.ndarray) -> Seen:
        """The keys of rows that choose a checkpoint."""
        keys = cls.of(dataset, rows)
        return replace(keys, chosen_by=keys)

    def merge(self, other: Seen) -> Seen:
        """What either has seen; only what neither was fitted to is still only chosen by."""
        chosen = _each(self.chosen_by or Seen(), other.chosen_by or Seen(), frozenset.union)
        left = chosen.without(_each(self.fitted(), other.fitted(), frozenset.union))
        every = _each(self, other, frozenset.union)
        return replace(every, chosen_by=left if left.patients or left.looks else None)

    def without(self, other: Seen) -> Seen:
        """What was seen and is not in `other`."""
        return _each(self, other, frozenset.difference)

    def shared(self, other: Seen, *, same_people: bool = False) -> tuple[int, int, int]:
        """What two have in common.

        Args:
            other: The other one.
            same_people: Their ids mean the same people, whatever their namespaces are.

        Returns:
            ``(patients, images, doubtful)``; patients whose ids are equal under a namespace that
            names nobody are doubtful where no image is shared.
        """
        images = len(self.pixels & other.pixels) or len(self.looks & other.looks)
        people = {False: 0, True: 0}
        for name in self.patients.keys() & other.patients.keys():
            sure = same_people or images > 0 or not columns.is_format_namespace(name)
            people[sure] += len(self.patients[name] & other.patients[name])
        return people[True], images, people[False]

    def fitted(self) -> Seen:
        """What weights were fitted to."""
        return self if self.chosen_by is None else self.without(self.chosen_by)

    def save(self, run: Run) -> None:
        """Write ``seen.json``: sorted, so that equal sets give equal bytes."""
        record: dict[str, object] = {"format": FORMAT, **self._record()}
        if self.unknown:
            record |= {"format": FORMAT_UNKNOWN, "unknown": sorted(self.unknown)}
        if self.chosen_by is not None:
            record["chosen_by"] = self.chosen_by._record()
        run.write_text(SEEN, canonical_json(record) + "\n")

    def _record(self) -> dict[str, object]:
        people = {name: sorted(keys) for name, keys in self.patients.items()}
        images = {"pixels": sorted(self.pixels), "prepared": sorted(self.prepared)}
        return {"patients": people, **images, **({"unnamed": True} if self.unnamed else {})}

    @classmethod
    def load(cls, run_dir: Path) -> Seen:
        """Read ``seen.json`` of a run; a network without one is of unknown history.

        Raises:
            InputError: There is none and no network either, or it is damaged.
            GateError: It is not the one that the weights beside it name.
        """
        file = run_dir / SEEN
        _refuse_other_keys(file, run_dir / WEIGHTS)
        if not file.is_file() and (run_dir / MODEL).is_file():
            return cls(unknown=frozenset({_name_of(run_dir / MODEL)}))
        try:
            record = parse_json(read_bytes(file), file)
            if record["format"] not in (FORMAT, FORMAT_UNKNOWN):
                raise InputError(f"format {record['format']!r}; wanted {FORMAT}", file=file)
            chosen = record.get("chosen_by")
            return replace(
                _keys(record),
                chosen_by=None if chosen is None else _keys(chosen),
                unknown=frozenset(map(str, record.get("unknown", ()))),
            )
        except FileNotFoundError:
            what = "no such file: what the network was trained on is not known"
            raise InputError(what, file=file, hint="train it again with this version") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"is damaged: {error}", file=file) from None


def _refuse_other_keys(file: Path, weights: Path) -> None:
    """Weights that name another ``seen.json`` than the one beside them have seen other images.

    Those of earlier versions name none.
    """
    digest = published.digest_in_header(weights)
    if digest and file.is_file() and sha256_file(file) != digest:
        raise GateError(
            f"leak: {file} is not what the weights beside it were trained with: they name another"
            " one, so that what they have seen is not in it",
            hint="copy the folder of the training again as a whole",
        )


def _keys(record: Mapping[str, Any]) -> Seen:
    people = {str(name): frozenset(keys) for name, keys in record["patients"].items()}
    # Runs of earlier versions know no prepared pixels.
    return Seen(
        people,
        frozenset(record["pixels"]),
        prepared=frozenset(record.get("prepared", ())),
        unnamed=bool(record.get("unnamed", False)),
    )


def _name_of(model: Path) -> str:
    """A network by its description, such as "generator 0123456789ab"."""
    content = read_bytes(model)
    try:
        kind = str(parse_json(content, model)["kind"])
    except InputError:
        kind = "network"
    return f"{kind} {hashlib.sha256(content).hexdigest()[:12]}"


def unknown_history(*several: Seen, runs: str = "") -> str:
    """What a reader must know of networks without keys, in a sentence; "" where there is none.

    Args:
        several: What networks have seen.
        runs: How many hang on them, such as "3 of 5 runs".
    """
    names = _unknown(several)
    if not names:
        return ""
    titles = ", ".join(map(published.titles, names[:MOST_NAMED]))
    if len(names) > MOST_NAMED:
        titles += f" and {len(names) - MOST_NAMED:,} more"
    it, was = ("it", "was") if len(names) == 1 else ("them", "were")
    who = "it" if len(names) == 1 else "they"
    behind = f"; {runs} hang on {it}" if runs else ""
    return (
        f"Of unknown history: {titles} (no keys came with {it}{behind}). Whether {who} {was}"
        f" trained on images or patients that judge here cannot be told: numbers may flatter {it},"
        f" and what {who} made may be a copy."
    )


def published_history(several: Iterable[Seen], datasets: Iterable[Dataset]) -> list[str]:
    """Sentences on published weights that judge, or are judged on, the source of their training.

    Args:
        several: What networks have seen.
        datasets: The sets that they are judged on.
    """
    sets = list(datasets)
    shared = {
        (name, title)
        for name in _unknown(several)
        for dataset in sets
        if (title := published.of_its_source(name, dataset.info))
    }
    return [
        f"The {name} were trained on {title}, where these images come from, and may have seen them:"
        " take numbers of networks that start from them for too good, and judge on another source."
        for name, title in sorted(shared)
    ]


def _unknown(several: Iterable[Seen]) -> list[str]:
    return sorted(frozenset[str]().union(*(seen.unknown for seen in several)))


def _each(a: Seen, b: Seen, combined: Callable[[Keys, Keys], Keys]) -> Seen:
    """Two records combined kind by kind; `chosen_by` is left out."""
    people = {
        name: combined(a.patients.get(name, frozenset()), b.patients.get(name, frozenset()))
        for name in a.patients.keys() | b.patients.keys()
    }
    return Seen(
        {name: keys for name, keys in people.items() if keys},
        combined(a.pixels, b.pixels),
        prepared=combined(a.prepared, b.prepared),
        unknown=a.unknown | b.unknown if combined is frozenset.union else a.unknown,
        unnamed=a.unnamed or (b.unnamed and combined is frozenset.union),
    )


def _patient_column(dataset: Dataset, rows: np.ndarray | None) -> np.ndarray:
    """Patient keys as prepare wrote them; made from the ids where a set was written by hand."""
    keys = dataset.column(PATIENT_KEY, rows)
    if not dataset.info.patients and not dataset.info.unnamed:
        return np.full(len(keys), "", dtype=object)
    if (keys != "").all():
        return keys
    ids = patient_keys(dataset.column(PATIENT, rows), dataset.info.namespace)
    return np.where(keys == "", ids, keys)


@dataclass(frozen=True)
class Overlap:
    """What two sets share.

    Attributes:
        images: Rows that match by either key, and those that belong to a row that does.
        by_patient: Rows that match by patient.
        by_pixels: Rows that match by pixels.
        by_study: Rows that match in neither, but belong to a row that does: of its study, or joined
            to its patient by other copies.
        of: Rows compared.
        comparable: Whether patient ids could be compared (one namespace on both sides).
        note: What a reader must know about the comparison, "" if nothing.
        doubtful: Rows whose patient id was seen under a namespace that names nobody, without an
            image in common: none of `images`.
        in_part: Whether some images on either side have no patient id beside others that have one.
    """

    images: int
    by_patient: int
    by_pixels: int
    by_study: int
    of: int
    comparable: bool
    note: str
    doubtful: int = 0
    in_part: bool = False


def seen_rows(seen: Seen, dataset: Dataset, rows: np.ndarray | None = None) -> np.ndarray:
    """Which rows are of a patient or a study, or are an image, that was seen: bool [N]."""
    return np.asarray(np.logical_or.reduce(_matches(seen, dataset, rows)[:3]))


def seen_images(seen: Seen, dataset: Dataset) -> np.ndarray:
    """Which rows are themselves an image that was seen: bool [N]."""
    looks = (dataset.column(PIXEL_KEY), prepared_keys(dataset))
    return np.asarray(np.logical_or(*(_among(keys, seen.looks) for keys in looks)))


def _matches(
    seen: Seen, dataset: Dataset, rows: np.ndarray | None, folder: Path | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """By patient, by pixels, by what belongs to such a row, and by an id that may be another's.

    Args:
        seen: What was seen.
        dataset: The set of the rows.
        rows: Which rows the answer is about; belongings are looked for in all.
        folder: The run that has seen.

    Returns:
        Four bool [N].
    """
    namespace = dataset.info.namespace
    by_patient = _among(_patient_column(dataset, None), seen.patients.get(namespace, frozenset()))
    by_pixels = seen_images(seen, dataset)
    doubtful = np.zeros(len(by_patient), bool)
    if (
        columns.is_format_namespace(namespace)
        and by_patient.any()
        and not (by_patient & by_pixels).any()
        and not (folder is not None and _share_a_patient(folder, dataset))
    ):
        by_patient, doubtful = doubtful, by_patient
    itself = by_patient | by_pixels
    by_study = np.zeros(len(itself), bool)
    if itself.any() and not itself.all():
        units = patient_groups(dataset)
        by_study = (np.bincount(units, itself)[units] > 0) & ~itself
    every = (by_patient, by_pixels, by_study, doubtful & ~itself & ~by_study)
    return every if rows is None else tuple(each[rows] for each in every)


def _share_a_patient(folder: Path, dataset: Dataset, deepest: int = DEEPEST) -> bool:
    """Whether a data set that a run was made from has an image of one person in common with this.

    Only folders that still lie where `run.json` says can be looked at.
    """
    ours = _people_in_images(dataset)
    for _, path in inputs_of(folder):
        with contextlib.suppress(InputError):
            if (path / columns.DATASET).is_file():
                other = load_dataset(path)
                same = other.info.namespace == dataset.info.namespace
                if same and ours & _people_in_images(other):
                    return True
        if deepest and _share_a_patient(path, dataset, deepest - 1):
            return True
    return False


def _people_in_images(dataset: Dataset) -> set[tuple[str, str]]:
    """(patient key, pixel key) of all rows that have both."""
    pairs = zip(_patient_column(dataset, None), dataset.column(PIXEL_KEY), strict=True)
    return {(person, look) for person, look in pairs if person and look}


def _among(cells: np.ndarray, keys: frozenset[str]) -> np.ndarray:
    return np.asarray(pd.Series(cells, dtype=object).isin(keys - {""}), bool)


def find_overlap(
    seen: Seen, dataset: Dataset, rows: np.ndarray | None = None, folder: Path | None = None
) -> Overlap:
    """Compare rows with what was seen, by both keys.

    Args:
        seen: What was seen.
        dataset: A data set.
        rows: Its rows; None for all.
        folder: The run that has seen: whose data it was made from tells who is meant by an id.
    """
    people_seen = seen.patients.get(dataset.info.namespace, frozenset())
    *matches, others = _matches(seen, dataset, rows, folder)
    by_patient, by_pixels, by_study = (int(each.sum()) for each in matches)
    doubtful = int(others.sum())
    patients = _patient_column(dataset, rows)
    has_ids = bool((patients != "").any())
    unnamed = int((patients == "").sum()) if has_ids and dataset.info.unnamed else 0
    in_part = bool(unnamed or (has_ids and seen.unnamed))
    note = ""
    if doubtful:
        note = (
            f"{doubtful:,} of {len(others):,} have the id of a patient who was seen, but no image"
            f" in common, and {dataset.info.namespace!r} only says how the sets were read. If these"
            " are other people, name each hospital with cxr prepare --namespace; if not, it is a"
            " leak"
        )
    elif has_ids and seen.patients and not people_seen:
        note = (
            f"patients of {dataset.info.namespace!r} and of "
            + ", ".join(repr(name) for name in sorted(seen.patients))
            + " cannot be compared by id, only by pixels"
        )
    elif not has_ids and (dataset.column(SOURCE, rows) == "real").any():
        note = "without patient ids patient-disjointness is not shown; compared by pixels alone"
    elif has_ids and not seen.patients and seen.pixels:
        note = "the training set had no patient ids: compared by pixels alone"
    elif in_part:
        what = f"{unnamed:,} of {len(patients):,}" if unnamed else "some training images"
        note = f"{what} have no patient id, and are compared by pixels alone"
    return Overlap(
        images=int(np.logical_or.reduce(matches).sum()),
        by_patient=by_patient,
        by_pixels=by_pixels,
        by_study=by_study,
        of=len(matches[0]),
        comparable=bool(people_seen) and has_ids and not doubtful,
        note=note,
        doubtful=doubtful,
        in_part=in_part,
    )


def _inputs_that_saw(folder: Path, dataset: Dataset, rows: np.ndarray | None) -> Iterator[str]:
    """The inputs through which a run has seen any of the rows, in a few words each.

    Such as "its synthetic set SYNTH", "its generator GAN"; none where it saw them itself. Only
    folders that still lie where `run.json` says can be followed; the refusal needs none of them,
    because every `seen.json` holds what the inputs of its run saw.

    Args:
        folder: A run directory with `seen.json`.
        dataset: The data set of the rows.
        rows: The rows; None for all.
    """
    for role, path in inputs_of(folder):
        with contextlib.suppress(InputError):  # most inputs are no networks
            if seen_rows(Seen.load(path), dataset, rows).any():
                yield f"its {_ROLES.get(role, role)} {path.name}"
                yield from _inputs_that_saw(path, dataset, rows)
                return


def inputs_of(folder: Path) -> list[tuple[str, Path]]:
    """Role and path of a run's inputs, as it recorded them; none where it is no run."""
    try:
        record = read_json(folder / "run.json")
        return [(str(entry["role"]), Path(entry["path"])) for entry in record["inputs"]]
    except InputError:
        return []


def refuse_overlap(
    seen: Seen,
    dataset: Dataset,
    rows: np.ndarray | None,
    *,
    who: str,
    what: str,
    folder: Path | None = None,
    say_unknown: bool = True,
) -> Overlap:
    """Refuse rows that were seen before.

    Args:
        seen: What was seen.
        dataset: A data set.
        rows: The rows that must be new; None for all.
        who: Who has seen, such as ``"the generator GAN"``.
        what: What the rows are, such as ``"test"``.
        folder: The run that has seen, to say through which of its inputs.
        say_unknown: Warn of networks of unknown history; False where the caller does it for all.

    Returns:
        The comparison, without overlap.

    Raises:
        GateError: A row matches by patient or by pixels; counts both.
    """
    overlap = find_overlap(seen, dataset, rows, folder)
    if overlap.images:
        ways = (
            (overlap.by_patient, "by patient"),
            (overlap.by_pixels, "by identical pixels"),
            (overlap.by_study, "by the study or the copies of an image that was seen"),
        )
        keys = [f"{n:,} {how}" for n, how in ways if n]
        steps = () if folder is None else _inputs_that_saw(folder, dataset, rows)
        way = ", ".join(itertools.islice(steps, DEEPEST))
        raise GateError(
            f"leak: {overlap.images:,} of {overlap.of:,} {what} images were seen by {who} "
            f"({' and '.join(keys)})" + (f" through {way}" if way else ""),
            hint="train on the train split of the same preparation, or choose other test data; "
            "if these are other people with equal ids, prepare again with --namespace",
        )
    if say_unknown and (caution := unknown_history(seen)):
        console.warn(f"{who}, {what} images: {caution[:1].lower()}{caution[1:].rstrip('.')}")
    if overlap.note:
        tell = console.warn if overlap.doubtful else console.say
        tell(f"{who}, {what} images: {overlap.note}")
    return overlap


def refuse_copies(synth: Dataset, data: Dataset, rows: np.ndarray | None = None) -> None:
    """No image that was made is a copy of one that networks are chosen or judged by.

    Its pixels are compared themselves, whatever the manifest says of it.

    Args:
        synth: A synthetic or edited set.
        data: A real set.
        rows: Its rows to compare with; None for all validation and test rows.

    Raises:
        GateError: Some are copies; says how many, and which rows of the two manifests.
    """
    if rows is None:
        rows = np.flatnonzero(np.isin(data.column(SPLIT), ("val", "test")))
    ours = keys_of_pixels(synth)
    theirs = np.concatenate([data.column(PIXEL_KEY, rows), prepared_keys(data, rows)])
    first = pd.Series(np.tile(rows, 2)[theirs != ""], index=theirs[theirs != ""])
    first = first[~first.index.duplicated()]
    place = first.index.get_indexer(pd.Index(ours, dtype=object))
    copies = np.flatnonzero((place >= 0) & (ours != ""))
    if not len(copies):
        return
    originals = first.to_numpy()[place[copies]]
    parts = ", ".join(sorted({part or "unsplit" for part in data.column(SPLIT, originals)}))
    which = ", ".join(
        f"row {copy + 2} there is row {row + 2} here"
        for copy, row in zip(copies[:_SHOWN], originals[:_SHOWN])
    )
    raise GateError(
        f"leak: {len(copies):,} of {len(synth):,} images of {synth.path} are copies of "
        f"{parts} images of {data.path} ({which}{', ...' if len(copies) > _SHOWN else ''})",
        hint="make the set without them: what is trained on it would have seen what judges it",
    )
