"""``cxr prepare``: a public form of radiographs and labels to a dataset directory.

In: a source in one of ten formats, and perhaps what ``extract-reports`` read from its reports. Out:
``dataset.json``, ``manifest.csv`` and ``images/`` at one size, with splits by patient and the two
keys of the leak guard. What is wrong is named with file, row and column; ``--skip-bad`` goes on
without it.
"""

import contextlib
import dataclasses
import os
import shutil
from pathlib import Path
from typing import IO, Any

from cxrtool.commands.prepare import explanation, foreign
from cxrtool.commands.prepare.options import Config, modalities, words
from cxrtool.core import console
from cxrtool.core.config import shared_values
from cxrtool.core.errors import InputError
from cxrtool.core.runs import Run
from cxrtool.data import (
    assemble,
    columns,
    ingest,
    inventory,
    join,
    keys,
    label_columns,
    manifest,
    maps,
    splits,
    tables,
)
from cxrtool.data.columns import image_name
from cxrtool.data.source_checks import Checker, check_source, rename_labels
from cxrtool.data.sources.base import SourceOptions, SourceTable, read_source
from cxrtool.data.sources.table import NO_LABELS, UNLABELED

#: Rows whose images are not kept where one is refused.
_FEW = 1000


def run(config: Config, run: Run) -> dict[str, Any]:
    """Prepare a data set; returns the assemble."""
    secret = None if config.id_key is None else keys.read_secret(config.id_key)
    source, checker = _read_source(config, secret)
    tables.release_memory()
    _note_files(config, run, source)
    source, notes = _with_reports(config, run, source)
    namespace = keys.keyed_namespace(config.namespace or source.namespace, secret)
    source = dataclasses.replace(source, namespace=namespace)

    stock = None if config.labels_only else _stock(config, source, checker, run.dir)
    early = len(checker.rejected)
    if len(checker.good) and not config.labels_only:  # before images are converted
        _split(config, source, source.table.iloc[checker.good].reset_index(drop=True))
    try:
        images = None if config.labels_only else _convert(config, run, source, checker)
    except InputError:
        if len(checker.good) < _FEW:  # quickly made again; the folder is free for a mended source
            shutil.rmtree(run.dir / columns.IMAGES, ignore_errors=True)
            (run.dir / ingest.JOURNAL).unlink(missing_ok=True)
        raise
    rows = checker.good
    if not len(rows):
        raise InputError(
            "no image is left: all rows are bad", hint=checker.rejected[0].error.reason
        )
    table = assemble.manifest_table(source, rows, images, secret)
    split = _split(config, source, table)
    table = assemble.finish_table(table, source, split.values)
    notes |= assemble.tell_contradictions(table, source.labels)

    if images is not None:
        notes |= assemble.tell_bits(images, given=config.bits is not None)
    notes["format"] = config.format
    notes["split"] = {"how": split.how, "seed": config.seed, "notes": list(split.notes)}
    info = assemble.dataset_info(
        source, table, images, size=config.size, fit=config.fit, notes=notes
    )
    writer = manifest.DatasetWriter(run, info)
    for done in images.done.values() if images else ():
        writer.written.add(image_name(done.row), done.size_bytes, done.sha256)
    for name, side in assemble.sidecars(source, rows, pixels=images is not None).items():
        run.write_text(name, tables.write_table(side))
    if checker.rejected or config.skip_bad:
        run.write_text(
            "rejected.csv",
            tables.write_table(assemble.rejected_table(checker.rejected), people=True),
        )
    digest = writer.finish(table, info)
    (run.dir / ingest.JOURNAL).unlink(missing_ok=True)
    if config.synthetic is not None:
        foreign.write_history(run, config.synthetic, config.plan)
    told = assemble.tell(
        run, source, table, images, info, split_notes=split.notes, rejected=checker.rejected
    )
    if stock is not None:
        told["source_files"] = stock.without(len(checker.rejected) - early).to_json()
    return {**told, "digest": digest}


def plan(config: Config) -> dict[str, Any]:
    """What a run would read: counts of images and labels, without opening an image."""
    secret = None if config.id_key is None else keys.read_secret(config.id_key)
    source, checker = _read_source(config, secret, headers=False)
    return {
        "images": len(checker.good),
        "rejected": len(checker.rejected),
        "labels": assemble.label_counts(source.table.iloc[checker.good], source.labels),
        "official_split": source.official_split,
    }


def view(config: Config, folder: Path | None, out: IO[str]) -> None:
    """Shows what a run would do, see `explanation`; or writes a secret."""
    if config.new_id_key is not None:
        keys.write_secret(config.new_id_key)
        out.write(f"{config.new_id_key}\n")
        return
    explanation.show(_explained(config), out)


def view_as_json(config: Config) -> dict[str, Any]:
    """The same for a program."""
    if config.new_id_key is not None:
        keys.write_secret(config.new_id_key)
        return {"id_key": str(config.new_id_key)}
    return _explained(config).to_json()


def _explained(config: Config) -> explanation.Explanation:
    secret = None if config.id_key is None else keys.read_secret(config.id_key)
    with console.heard() as remarks:
        skipping = dataclasses.replace(config, skip_bad=True)
        source, checker = _read_source(skipping, secret, headers=False, sample=explanation.SAMPLE)
    namespace = keys.keyed_namespace(config.namespace or source.namespace, secret)
    return explanation.explain(config, source, checker, namespace, remarks)


def _read_source(
    config: Config, secret: bytes | None, *, headers: bool = True, sample: int = 0
) -> tuple[SourceTable, Checker]:
    """Read, check, rename; ``headers`` and ``sample`` as in `SourceOptions`."""
    read = {
        "columns": config.named_columns(),
        # The labels of planned images are those of the plan's rows.
        "label_columns": words(config.label_columns) if config.plan is None else (NO_LABELS,),
        "modality": modalities(config),
        "exclude": words(config.exclude),
        "id_key": secret,
        "headers": headers,
        "sample": sample,
    }
    options = SourceOptions(**shared_values(SourceOptions, config) | read)
    source = read_source(config.format, config.source, options)
    assemble.tell_columns(source.notes.get(label_columns.NOTE, {}))
    if config.plan is not None:
        source = dataclasses.replace(
            source, cautions=[c for c in source.cautions if c != UNLABELED]
        )
    assemble.tell_remarks(source)
    checker = Checker(source, skip_bad=config.skip_bad)
    source = check_source(
        source,
        checker,
        labels_only=config.labels_only,
        own_split=config.split_by in (None, "official"),
        rows=config.rows,
        file=config.source,
    )
    assemble.tell_checked(source)
    source = _renamed(config, source)
    if config.synthetic is not None:
        source = foreign.declared(source, checker, config.synthetic, config.plan)
    return source, checker


def _split(config: Config, source: SourceTable, table: Any) -> splits.Split:
    """Which rows are for training, which choose and which judge."""
    if config.synthetic is not None:
        return foreign.in_train(len(table))
    try:
        return splits.split_rows(
            table,
            config.split_by,
            official=source.official_split,
            seed=config.seed,
            namespace=source.namespace,
            # Nothing is trained on labels alone: their counts stay those of the source.
            carve=not config.labels_only,
        )
    except InputError as error:
        if error.file is not None or config.source is None:
            raise
        raise InputError(error.reason, file=config.source, hint=error.hint) from None


def _renamed(config: Config, source: SourceTable) -> SourceTable:
    """The source with labels by the names that are wanted."""
    if config.map_labels == "none":
        return source
    if config.format != "chexpert":
        source = rename_labels(source, maps.builtin(config.format))
    if config.map_labels is not None:
        names = maps.applied(maps.load_map(config.map_labels), source.labels)
        if not names:
            raise InputError(
                f"--map-labels {config.map_labels} names no label of the source",
                hint="the labels are " + ", ".join(source.labels),
            )
        source = rename_labels(source, names)
    return source


def _stock(
    config: Config, source: SourceTable, checker: Checker, out: Path
) -> inventory.Inventory | None:
    """What becomes of every file below the folders of the source; None where it has none."""
    named = [*config.images, *([config.source] if config.source else [])]
    folders = inventory.outermost(path for path in named if path.is_dir())
    if not folders:
        return None
    refused = [ref for ref, _ in checker.rejected]
    stock = inventory.take_stock(folders, config.format, source, refused, apart=out)
    stock.tell()
    return stock


def _note_files(config: Config, run: Run, source: SourceTable) -> None:
    """What was read beside images, in a folder or named by a table, belongs to the run."""
    if config.source is None:
        return
    names = [
        *source.table["table_file"].unique(),
        *(str(bad.file or "") for _, bad in source.rejected),
    ]
    paths = [Path(name) for name in names if os.path.isfile(name)]
    own = config.source.absolute()
    run.reads("source", [path for path in (*paths, *source.beside) if path.absolute() != own])


def _note_images(
    config: Config, run: Run, source: SourceTable, checker: Checker
) -> contextlib.AbstractContextManager[None]:
    """Images are noted while they are converted."""
    root = getattr(source.opener, "root", None)
    if config.source is None or root is None:
        return contextlib.nullcontext()
    refs = source.table["image_ref"].tolist()
    role = "images" if config.images else "source"
    return run.reading(role, [root / refs[row] for row in checker.good])


def _with_reports(
    config: Config, run: Run, source: SourceTable
) -> tuple[SourceTable, dict[str, Any]]:
    """Join labels and texts, say how it went, tabulate disagreements."""
    if config.reports is None:
        return source, {}
    joined = join.join_reports(source, config.reports, config.join_labels)
    notes = assemble.tell_joined(run, source.labels, joined)
    differ = assemble.disagreement_table(joined.disagreements, pixels=not config.labels_only)
    run.write_text("disagreements.csv", tables.write_table(differ, people=True))
    return joined.source, {"reports": {"mode": config.join_labels, **notes}}


def _convert(config: Config, run: Run, source: SourceTable, checker: Checker) -> ingest.Ingested:
    """Decode, resize and write every image that is left; bad ones go on the list."""
    assert source.opener is not None
    refs = source.table["image_ref"].tolist()
    opener: Any = source.opener
    told: dict[int, int] = {}
    if config.bits is not None and hasattr(opener, "bits"):
        opener = dataclasses.replace(opener, bits=config.bits)
    elif config.bits is None:
        told = ingest.told_bits(source.table.get("bits_stored", []))
    text = {} if config.synthetic is None else foreign.png_chunks(config.synthetic)
    job = ingest.Job(opener, str(run.dir), config.size, config.fit, config.bits or 0, text)
    with _note_images(config, run, source, checker):
        images = ingest.ingest(
            run,
            job,
            [(int(row), refs[row]) for row in checker.good],
            workers=config.workers,
            table_bits=told,
            on_bad=lambda row, error: checker.reject(
                row,
                error.reason,
                column=source.image_column,
                file=str(error.file or ""),
                hint=error.hint or "leave bad rows out with --skip-bad",
            ),
        )
    if images.resumed:
        console.say(f"{images.resumed:,} images were finished before the interruption")
    return images
