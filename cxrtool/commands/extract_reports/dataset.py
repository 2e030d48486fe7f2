"""The part of ``extract-reports`` that reads a dataset directory and writes one.

In: a dataset directory whose manifest holds reports. Out: the same rows and images (hard links
where the file system has them), with labels from the reports and the text columns.
"""

import contextlib
import csv
import dataclasses
import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from cxrtool.commands.extract_reports.options import Config
from cxrtool.commands.extract_reports.source import labeled
from cxrtool.core import console, files, fingerprints, runs
from cxrtool.core.errors import InputError
from cxrtool.data import assemble, maps, tables
from cxrtool.data.labels import Settled, join_labels
from cxrtool.data.manifest import Dataset, DatasetInfo, DatasetWriter, load_dataset
from cxrtool.reports.extraction import Job
from cxrtool.reports.report import Report, Sample
from cxrtool.reports.sources import under_headers
from cxrtool.reports.tally import Tally

Key = tuple[str, str, str]  # patient, study, report
Cells = dict[str, str]  # a row of the table of extract-reports, by column


def fill(config: Config, run: runs.Run, job: Job, tally: Tally, sample: Sample) -> dict[str, Any]:
    """Labels every study of a dataset directory once and writes the new directory.

    Raises:
        InputError: No reports, a single-label set, or a study with two different reports.
    """
    dataset = load_dataset(run.input("reports").path)
    if dataset.info.kind == "single" and config.join_labels != "keep":
        what = "a single-label set has classes, not observations"
        hint = "--join-labels keep adds the texts only"
        raise InputError(what, file=dataset.path / "dataset.json", hint=hint)
    reports = reports_of(dataset, config.text_column)
    cells = _label_studies(config, run, dataset, reports, job, tally, sample)
    table, info, changed, settled = _merged(config, dataset, reports, cells, job)
    for sentence in settled.sentences() if settled else ():
        console.say(sentence)
    assemble.tell_contradictions(table, info.labels)
    writer = DatasetWriter(run, info)
    _share_images(run, dataset, writer)
    writer.finish(table)
    summary = {**tally.summary(), "images": len(dataset), "labels_changed": changed}
    return summary | ({"no_finding": dataclasses.asdict(settled)} if settled else {})


def reports_of(dataset: Dataset, column: str) -> list[str]:
    """The report of every row; "" where there is none."""
    table, file = dataset.table, dataset.path / "manifest.csv"
    if column not in table.columns:
        shown = ", ".join(table.columns[:20])
        raise InputError("the column is missing", file=file, row=1, column=column, hint=shown)
    texts: list[str] = table[column].tolist()
    if column == "report":
        parts = table[["findings", "impression"]].to_dict("records")
        texts = [text if text.strip() else under_headers(p) for text, p in zip(texts, parts)]
    if not any(text.strip() for text in texts):
        hint = "join them first: cxr prepare ... --reports EXTRACTED"
        raise InputError("no row has a report", file=file, column=column, hint=hint)
    return texts


def studies(dataset: Dataset, reports: list[str]) -> dict[Key, Report]:
    """Every study once, by (patient, study, report); one without an id is called by its image."""
    each: dict[Key, Report] = {}
    for key, image in zip(_keys(dataset, reports), dataset.column("image")):
        each.setdefault(key, Report(key[1] or str(image), key[2], key[0]))
    return each


def _label_studies(
    config: Config,
    run: runs.Run,
    dataset: Dataset,
    reports: list[str],
    job: Job,
    tally: Tally,
    sample: Sample,
) -> dict[Key, Cells]:
    """Cells of every study; writes ``evidence.jsonl`` on the way."""
    table = io.StringIO(newline="")
    each = studies(dataset, reports)
    batches = labeled(config, each.values(), job, tally, table, lambda: run.stopping)
    with (
        run.atomic("evidence.jsonl") as path,
        open(path, "w", encoding="utf-8", newline="") as out,
        run.progress("labeling", len(each), unit="reports") as bar,
        contextlib.closing(batches),
    ):
        for batch in batches:
            out.write(batch.evidence)
            bar.advance(len(batch.rows))
        run.check_stop()
    for report in each.values():
        sample.add(report)
    table.seek(0)
    csv.field_size_limit(tables.MAX_CELL_BYTES)
    return dict(zip(each, csv.DictReader(table), strict=True))


def _keys(dataset: Dataset, reports: list[str]) -> list[Key]:
    return list(zip(dataset.column("patient_id"), dataset.column("study_id"), reports))


def _merged(
    config: Config, dataset: Dataset, reports: list[str], extracted: dict[Key, Cells], job: Job
) -> tuple[Any, DatasetInfo, int, Settled | None]:
    """The new manifest, its ``dataset.json``, how many cells changed, what became of No Finding."""
    table = dataset.table.copy()
    rows = [extracted[key] for key in _keys(dataset, reports)]
    for name in job.texts:
        old = dataset.column(name)
        table[name] = [new[name] or str(was) for new, was in zip(rows, old)]
    info = dataset.info
    if config.join_labels == "keep":
        return table, info, 0, None
    before = dataset.table[list(info.labels)]
    spelled = {maps.canonical(name): name for name in info.labels}
    # A row without a report keeps what it has; "fill" keeps whatever is not blank.
    touched = np.array([bool(text.strip()) for text in reports], dtype=bool)
    read = {}
    for name in job.observations:
        label = name if name in before else spelled.get(maps.canonical(name), name)
        read[label] = np.array([new[name] for new in rows], dtype=object)
    cells, settled = join_labels(before, read, touched, config.join_labels)
    labels = list(cells.columns)
    table[labels] = cells
    old = before.reindex(columns=labels, fill_value="")
    changed = int((cells.to_numpy(object) != old.to_numpy(object)).sum())
    covered = dict(zip(info.labels, info.covered)) | dict.fromkeys(read, True)
    notes = {
        **info.notes,
        "labels_from_reports": config.join_labels,
        "no_finding": dataclasses.asdict(settled),
    }
    info = dataclasses.replace(
        info, labels=tuple(labels), covered=tuple(covered.values()), notes=notes
    )
    return table, info, changed, settled


def _share_images(run: runs.Run, dataset: Dataset, writer: DatasetWriter) -> None:
    """Links the images into the run, or copies them where links are not possible."""
    if dataset.info.size is None:
        return
    index = fingerprints.read_index(dataset.path)
    names = sorted(dataset.column("image").tolist())
    with run.progress("images", len(names)) as bar:
        for name in names:
            run.check_stop()
            source, target = dataset.path / name, run.path(name)
            if not source.is_file():
                raise InputError("the image is missing", file=source)
            if not target.exists():
                _share(source, target)
            if name in index:
                writer.written.add(name, *index[name])
            bar.advance()


def _share(source: Path, target: Path) -> None:
    with files.atomic(target, durable=False) as temporary:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
