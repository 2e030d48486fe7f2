"""From a checked source and its converted images to a manifest, and what to tell of it.

In: a `SourceTable`, the rows that are left, what became of their images. Out: the manifest's table
with images, keys and splits, ``dataset.json`` and the side tables; counts for ``result.json``, and
sentences on stderr that name no patient and no file.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cxrtool.core import console
from cxrtool.core.runs import Run
from cxrtool.data import columns, label_columns
from cxrtool.data.columns import IMAGE, PATIENT, SPLIT, SPLITS, are_blank, cells_of, image_name
from cxrtool.data.images import KERNEL
from cxrtool.data.ingest import Ingested
from cxrtool.data.join import Joined
from cxrtool.data.keys import patient_keys
from cxrtool.data.labels import contradictions
from cxrtool.data.repeated_rows import ROWS_NOTE
from cxrtool.data.schema import UNNAMED, DatasetInfo
from cxrtool.data.select import shared, units
from cxrtool.data.sources import details
from cxrtool.data.sources.base import Rejected, SourceTable
from cxrtool.data.splits import tears

_SHOWN = 3  # labels and images named in one sentence


def manifest_table(
    source: SourceTable, rows: np.ndarray, images: Ingested | None, secret: bytes | None
) -> pd.DataFrame:
    """The manifest without splits made by us.

    Args:
        source: Checked, renamed, joined; its ``namespace`` is the final one.
        rows: Positions of the rows to keep, ascending.
        images: Results for these rows; None for labels only.
        secret: Content of ``--id-key``.

    Returns:
        One row an image, index 0..N-1; ``image_ref`` is still there (splits may name it).
    """
    table = source.table.iloc[rows].reset_index(drop=True)
    table = table.drop(columns=["table_file", "table_row"])
    table[columns.SOURCE] = (
        table[columns.SOURCE].replace("", "real") if columns.SOURCE in table else "real"
    )
    if images is None:
        table[IMAGE], table[columns.PIXEL_KEY] = "", ""
    else:
        done = [images.done[int(row)] for row in rows]
        table[IMAGE] = [image_name(image.row) for image in done]
        prepared = np.array([image.prepared_key for image in done], object)
        pixels = np.array([image.pixel_key for image in done], object)
        if source.prepared:
            same = columns.cells_of(table, columns.PREPARED_KEY) == prepared
            original = columns.cells_of(table, columns.PIXEL_KEY)
            pixels = np.where(same & (original != ""), original, pixels)
        table[columns.PIXEL_KEY], table[columns.PREPARED_KEY] = pixels, prepared
    keys = patient_keys(table[PATIENT], source.namespace, secret) if source.patients else ""
    table[columns.PATIENT_KEY] = keys
    return table


def finish_table(table: pd.DataFrame, source: SourceTable, split: np.ndarray) -> pd.DataFrame:
    """Write the splits in, and keep or drop the names of the original files.

    Nothing is judged by synthetic images: they go to train, as those of `cxr synthesize` do, or
    nowhere where their patient is judged by.
    """
    made = (table[columns.SOURCE] != "real").to_numpy()
    judging = np.isin(split, ("val", "test"))
    if (made & judging).any():
        patients = table[PATIENT].to_numpy()
        taken = np.isin(patients, patients[judging & ~made & (patients != "")])
        split = np.where(made & judging, np.where(taken, "", "train"), split)
        console.say("synthetic images are in train: nothing is judged by them")
    out = table.assign(**{SPLIT: split})
    if source.keep_refs:
        return out.rename(columns={"image_ref": columns.ORIGIN})
    return out.drop(columns="image_ref")


def sidecars(source: SourceTable, rows: np.ndarray, *, pixels: bool) -> dict[str, pd.DataFrame]:
    """Side tables of the rows that were kept, keyed by ``image`` where there are images."""
    if not source.sidecars:
        return {}
    refs = source.table["image_ref"].tolist()
    names = {refs[row]: image_name(int(row)) for row in rows}
    out = {}
    for name, side in source.sidecars.items():
        side = side[side["image_ref"].isin(list(names))].reset_index(drop=True)
        if pixels:
            side = side.assign(image_ref=side["image_ref"].map(names))
            side = side.rename(columns={"image_ref": IMAGE})
        out[name] = side
    return out


def rejected_table(rejected: Sequence[Rejected]) -> pd.DataFrame:
    """``rejected.csv``: what was left out by ``--skip-bad``, and why."""
    rows = [(ref, e.file or "", e.row or "", e.column or "", e.reason) for ref, e in rejected]
    return pd.DataFrame(rows, columns=["image", "file", "row", "column", "reason"]).astype(str)


def disagreement_table(cells: pd.DataFrame, *, pixels: bool) -> pd.DataFrame:
    """``disagreements.csv``: where source and report differ, by image (by row without pixels)."""
    if not pixels:
        return cells.assign(row=cells["row"].astype(str))
    names = [image_name(int(row)) for row in cells["row"]]
    return cells.assign(row=names).rename(columns={"row": IMAGE})


def dataset_info(
    source: SourceTable,
    table: pd.DataFrame,
    images: Ingested | None,
    *,
    size: int,
    fit: str,
    notes: Mapping[str, Any],
) -> DatasetInfo:
    """What ``dataset.json`` says of a prepared source.

    Args:
        source: As for `manifest_table`.
        table: The finished manifest.
        images: None for labels only.
        size: Side of the images in pixels.
        fit: How they were brought to a square.
        notes: More facts, added to the source's.
    """
    shared = {
        field.name: getattr(source, field.name)
        for field in dataclasses.fields(DatasetInfo)
        if hasattr(source, field.name)
    }
    form: dict[str, Any] = dict.fromkeys(("size", "fit", "kernel"))
    if images is not None:
        form = {"size": size, "fit": fit, "kernel": KERNEL}
    unnamed = int(are_blank(table, PATIENT).sum()) if source.patients else 0
    disjoint = "shown" if source.patients else "not shown: no patient ids"
    notes = {
        **source.notes,
        **notes,
        **({UNNAMED: unnamed} if unnamed else {}),
        "splits": split_counts(table),
        "patient_disjoint": f"not shown: {unnamed:,} have no patient id" if unnamed else disjoint,
        "conversions": dict(sorted(images.conversions.items())) if images else {},
    }
    synthetic = bool((table[columns.SOURCE] != "real").any())
    return DatasetInfo(
        **{
            **shared,
            **form,
            "patients": source.patients and not unnamed,
            "synthetic": synthetic,
            "notes": notes,
        }
    )


def label_counts(table: pd.DataFrame, labels: Iterable[str]) -> dict[str, dict[str, int]]:
    """How often each label is 1, -1, 0 and blank."""
    names = {"1": "positive", "-1": "uncertain", "0": "negative", "": "blank"}
    return {
        label: {name: int((table[label] == value).sum()) for value, name in names.items()}
        for label in labels
    }


def split_counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Images and patients (groups) of every split that has any."""
    groups = units(table)
    rows = {name or "none": (table[SPLIT] == name).to_numpy() for name in (*SPLITS, "")}
    return {
        name: {"images": int(part.sum()), "patients": len(set(groups[part]))}
        for name, part in rows.items()
        if part.any()
    }


def duplicates(table: pd.DataFrame, column: str) -> tuple[int, int]:
    """(groups of images with one key, images in them beyond the first of each)."""
    filled = ~are_blank(table, column)
    if not filled.any():
        return 0, 0
    counts = table.loc[filled, column].value_counts()
    return int((counts > 1).sum()), int((counts - 1).sum())


def contradicting_copies(table: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Labels that are 1 in one image and 0 in another one with the same pixels.

    Returns:
        A row for each label of each group of copies: ``copies`` (row of the first image),
        ``label``, ``present`` and ``absent`` (the first image that has it, and that has not).
    """
    rows, marks = shared(table)["pixels"]
    # Originals and prepared images have a key each: a group goes by its first image, not by a key.
    groups = pd.Series(rows).groupby(marks).transform("min").to_numpy()
    names = table[IMAGE].to_numpy(dtype=object)
    out = []
    for label in labels if len(rows) else ():
        part = pd.DataFrame({"copies": groups, "row": rows, "cell": cells_of(table, label)[rows]})
        first = part.drop_duplicates(["copies", "cell"]).pivot(
            index="copies", columns="cell", values="row"
        )
        if {"1", "0"} <= set(first.columns):
            both = first[["1", "0"]].dropna().astype(int)
            values = {"copies": both.index, "label": label}
            out.append(
                pd.DataFrame(values | {"present": names[both["1"]], "absent": names[both["0"]]})
            )
    columns_ = ["copies", "label", "present", "absent"]
    return pd.concat(out) if out else pd.DataFrame(columns=columns_)


def tell(
    run: Run,
    source: SourceTable,
    table: pd.DataFrame,
    images: Ingested | None,
    info: DatasetInfo,
    *,
    split_notes: Sequence[str],
    rejected: Sequence[Rejected],
) -> dict[str, Any]:
    """Show the user what came out, and return the summary.

    Args:
        run: Its counts are added to.
        source: As it was assembled.
        table: The finished manifest.
        images: None for labels only.
        info: What `dataset_info` made of these.
        split_notes: What to say about the split.
        rejected: What was left out.
    """
    labels = _tell_labels(table, source.labels)
    _tell_splits(source, info, are_blank(table, columns.STUDY), split_notes)
    _tell_conversions(run, images)
    copies = _tell_copies(table, source.labels, images)
    if not info.patients and (table[columns.SOURCE] == "real").any():
        what = f"{info.unnamed:,} of {len(table):,} images have no patient id: for them"
        console.warn(
            (f"{what} " if info.unnamed else "without patient ids ")
            + "patient-disjointness is not shown, only kept for "
            + ("studies and copies" if (table[columns.STUDY] != "").any() else "copies")
        )
    torn = _tell_tears(table)
    _tell_barren(source, labels)
    _tell_rejected(rejected)
    run.count("images", len(table))
    run.count("rejected", len(rejected))
    return {
        "images": len(table),
        "rejected": len(rejected),
        "splits": info.notes["splits"],
        "labels": labels,
        **dict(sorted({**copies, **torn}.items())),
    }


def _tell_labels(table: pd.DataFrame, labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """How often each label is what, which is returned."""
    counts = label_counts(table, labels)
    if counts:
        rows = [[name, *n.values()] for name, n in counts.items()]
        console.table("Labels", ["label", "1", "-1", "0", "blank"], rows)
    return counts


def _tell_splits(
    source: SourceTable, info: DatasetInfo, without_study: np.ndarray, notes: Iterable[str]
) -> None:
    """What lies in each split, by whose patients, and how it came about."""
    for name, part in info.notes["splits"].items():
        whose = f" of {part['patients']:,} patients"
        if info.unnamed:
            whose = f" of {part['patients']:,} patients, or studies and images without a patient id"
        elif not source.patients:
            kinds = "studies, or images without one" if without_study.any() else "studies"
            whose = "" if without_study.all() else f" of {part['patients']:,} {kinds}"
        console.say(f"{name}: {part['images']:,} images{whose}")
    if source.patients:
        doubt = ", which is only the format: name the hospital with --namespace"
        form = columns.is_format_namespace(source.namespace)
        console.say(f"patient ids are of {source.namespace!r}" + (doubt if form else ""))
        if not columns.is_secret(source.namespace):
            console.say(
                "their keys are made without a secret and are reversible: whoever has a list of"
                " patient ids can tell which are in here (cxr prepare --new-id-key, --id-key)"
            )
    for note in notes:
        console.say(note)


def _tell_conversions(run: Run, images: Ingested | None) -> None:
    """Of which forms images were that are not 8-bit gray."""
    for what, number in sorted(images.conversions.items()) if images else ():
        console.say(f"{what}: {number:,} images")
        run.count(what.replace(" ", "_"), number)


def _tell_copies(
    table: pd.DataFrame, labels: Sequence[str], images: Ingested | None
) -> dict[str, int]:
    """Images that look like another one or like nothing; their numbers are returned."""
    groups, twins = duplicates(table, columns.PIXEL_KEY)
    if groups:
        console.say(f"{twins:,} images are copies of another one ({groups:,} groups)")
    contradictory = contradicting_copies(table, labels)
    contradictions = contradictory["copies"].nunique()
    if contradictions:
        by_label = contradictory["label"].value_counts()
        differ = ", ".join(f"{name} {n:,}" for name, n in list(by_label.items())[:_SHOWN])
        one = contradictory.iloc[0]
        console.warn(
            f"{contradictions:,} groups of copies have labels that contradict"
            f" each other ({differ}), such as {one['label']} of {one['present']} and"
            f" {one['absent']}"
        )
    blank = table[IMAGE][table[columns.PREPARED_KEY] == ""].tolist() if images else []
    if blank:
        some = ", ".join(blank[:_SHOWN]) + (" ..." if len(blank) > _SHOWN else "")
        console.warn(
            f"{len(blank):,} images show nothing (one gray value all over: black, or transparent):"
            f" {some}"
        )
    alike = duplicates(table, columns.PREPARED_KEY)[1] - twins
    if alike > 0:
        console.say(
            f"{alike:,} more images are copies at this size, although their originals differ"
        )
    return {
        "copies": twins,
        "copies_that_contradict": int(contradictions),
        "images_of_one_gray": len(blank),
    }


def _tell_tears(table: pd.DataFrame) -> dict[str, int]:
    """What the leak guard will refuse, since splits tear it apart; the numbers are returned."""
    _, copies = tears(table, "pixels")
    if copies:
        console.warn(
            f"{copies:,} images have a copy with identical pixels in another split: the leak"
            " guard will refuse them; --split-by 0.8,0.1,0.1 keeps copies together"
        )
    studies, images = tears(table, "studies")
    if studies:
        console.warn(
            f"{images:,} images are of {studies:,} studies that lie in several splits,"
            " and without patient ids nothing else holds a study together: the leak guard will"
            " refuse them; --split-by 0.8,0.1,0.1 keeps studies together"
        )
    return {"copies_across_splits": copies, "studies_across_splits": studies}


def _tell_barren(source: SourceTable, counts: Mapping[str, Mapping[str, int]]) -> None:
    """Labels that the source covers and never gives."""
    barren = [
        name
        for name, covered in zip(source.labels, source.covered, strict=True)
        if covered and not counts[name]["positive"] and not counts[name]["uncertain"]
    ]
    if barren:
        console.warn(f"labels without a positive, of which nothing is learned: {', '.join(barren)}")


def _tell_rejected(rejected: Sequence[Rejected]) -> None:
    """Rows that are left out, by the columns of cells that are no label."""
    if not rejected:
        return
    by_column = Counter(
        error.column for _, error in rejected if error.reason.endswith(label_columns.NO_VALUE)
    )
    cells = ", ".join(f"{name} {n:,}" for name, n in by_column.most_common())
    because = f" (bad label cells: {cells})" if cells else ""
    console.warn(f"rows left out: {len(rejected):,}{because}, see rejected.csv")


def tell_columns(left: Mapping[str, str], where: str = "") -> None:
    """Name the columns of a table that are no labels."""
    for sentence, doubtful in label_columns.sentences(left):
        (console.warn if doubtful else console.say)(where + sentence)


def tell_checked(source: SourceTable) -> None:
    """What the checks of a source changed: words for labels, cells emptied, rows joined."""
    for sentence in label_columns.word_sentences(source.notes.get(label_columns.WORDS_NOTE, {})):
        console.say(sentence)
    for sentence in details.sentences(source.notes.get(details.NOTE, {})):
        console.warn(sentence)
    if note := source.notes.get(ROWS_NOTE):
        _tell_rows(note)


def _tell_rows(note: Mapping[str, Any]) -> None:
    """How rows of one image were joined, see `cxrtool.data.repeated_rows`."""
    how = f"--rows {note['rule']}" if note["rule"] else "their labels agree"
    differ = ", ".join(f"{name} {n:,}" for name, n in note["disagreements"].items())
    console.say(
        f"{note['rows']:,} rows of {note['images']:,} images became one row an image ({how})"
        + (f"; labels that differ, by images: {differ}" if differ else "")
    )
    if note["first_kept"]:
        kept = ", ".join(f"{name} {n:,}" for name, n in note["first_kept"].items())
        console.say(f"of columns that differ between them the first cell stands: {kept} images")


def tell_bits(images: Ingested, *, given: bool) -> dict[str, Any]:
    """Say how many bits 16-bit images were taken to use, and which disagree; for ``dataset.json``.

    Args:
        images: What became of the images.
        given: ``--bits`` said it.
    """
    wide = images.wide
    dim = [
        image for image in images.done.values() if not image.bits and 0 < image.largest < 1 << 14
    ]
    if dim:
        console.warn(
            f"{len(dim):,} DICOM images use a quarter of what they could show at most, and are dark"
            f" ({image_name(dim[0].row)}): --bits N says how many bits those without a window have"
        )
    if not wide:
        return {}
    how = "--bits" if given else "the largest value" if images.bits else "the table"
    parts = Counter(image.bits for image in wide)
    listing = ", ".join(f"{bits} bits {n:,}" for bits, n in sorted(parts.items()))
    console.say(f"16-bit images by the bits that they use ({how}): {listing}")
    others = [image for image in images.done.values() if not image.bits and not image.conversion]
    disagree = {
        "have values above these bits, which are white": [
            image for image in wide if image.largest >= 1 << image.bits
        ],
        "use a quarter of these bits' range at most, and are dark": [
            image for image in wide if image.largest < 1 << image.bits - 2
        ],
        "are files of 8 bits, and are taken over the whole of their range": others,
    }
    for what, rows in disagree.items():
        if rows:
            first = ", ".join(image_name(image.row) for image in rows[:3])
            more = ", ..." if len(rows) > 3 else ""
            console.warn(f"{len(rows):,} images {what}: {first}{more}")
    above, dark, eight = map(len, disagree.values())
    note = {
        "from": how,
        "images": {str(bits): n for bits, n in sorted(parts.items())},
        "above": above,
        "dark": dark,
        "files_of_8_bits": eight,
    }
    return {"bits": note}


def tell_remarks(source: SourceTable) -> None:
    """What a reader has to tell of its source."""
    for sentence in source.remarks:
        console.say(sentence)
    for sentence in source.cautions:
        console.warn(sentence)


def tell_contradictions(table: pd.DataFrame, labels: Sequence[str]) -> dict[str, int]:
    """Warn of rows that their source calls normal beside a finding; a note for ``dataset.json``."""
    count, sentence = contradictions(table, labels)
    if not count:
        return {}
    console.warn(sentence)
    return {"no_finding_beside_findings": count}


def tell_joined(run: Run, labels: Sequence[str], joined: Joined) -> dict[str, Any]:
    """Say how reports matched, and return it for ``dataset.json``.

    Args:
        run: Its counts are added to.
        labels: Those of the source before.
        joined: The source after.
    """
    console.say(
        f"reports: {joined.matched:,} images matched, {joined.unmatched:,} unmatched, "
        f"{joined.unused:,} reports unused"
    )
    counts = joined.disagreements["label"].value_counts().to_dict()
    rows = [
        [name, n, int(counts.get(name, 0)), f"{1 - counts.get(name, 0) / n:.3f}"]
        for name, n in joined.compared.items()
        if n
    ]
    if rows:
        console.table("Source against report", ["label", "both", "differ", "agree"], rows)
    new = [name for name in joined.source.labels if name not in labels]
    if joined.unmatched and new:
        console.warn(
            f"{joined.unmatched:,} images have no report: their labels {', '.join(new[:3])}"
            f"{' ...' if len(new) > 3 else ''} are blank, which --blank zeros counts as absent"
        )
    for sentence in joined.settled.sentences():
        console.say(sentence)
    tell_columns(joined.left, "of the reports' table, ")
    run.count("reports_matched", joined.matched)
    run.count("reports_unmatched", joined.unmatched)
    return {
        "matched": joined.matched,
        "unmatched": joined.unmatched,
        "unused": joined.unused,
        "disagreements": {str(name): int(n) for name, n in sorted(counts.items())},
        "no_finding": dataclasses.asdict(joined.settled),
    }
