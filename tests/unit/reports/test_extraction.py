"""Many reports over processes: the same rows in the same order, bounded, and without torch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from cxrtool.data import pool
from cxrtool.reports import extraction
from cxrtool.reports.extraction import Batch, Job, extract
from cxrtool.reports.report import Report
from cxrtool.reports.ruleset import default_rules

TEXTS = (
    "Small left effusion. No pneumothorax.",
    "",
    "FINDINGS: The heart is enlarged.\nIMPRESSION: Possible pneumonia.",
    "The lungs are clear.",
)


def reports(n: int) -> Iterator[Report]:
    for i in range(n):
        yield Report(str(i), f"{TEXTS[i % len(TEXTS)]} {i}" if i % 4 != 1 else "", f"p{i // 2}")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "_CHUNK", 5)
    monkeypatch.setattr(extraction, "_FEW_CHUNKS", 2)


def done(n: int, workers: int) -> list[Batch]:
    return list(extract(reports(n), Job(default_rules()), workers=workers))


def test_any_number_of_workers_gives_the_same(few: None) -> None:
    alone = done(203, 1)
    assert [row[0] for batch in alone for row in batch.rows] == [str(i) for i in range(203)]
    for workers in (2, 3):
        together = done(203, workers)
        assert [b.rows for b in together] == [b.rows for b in alone]
        assert [b.evidence for b in together] == [b.evidence for b in alone]
        assert [b.tally.summary() for b in together] == [b.tally.summary() for b in alone]


def test_few_reports_need_no_pool(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    real = pool.map_chunks

    def spy(*args: Any, workers: int, **options: Any) -> Any:
        used.append(workers)
        return real(*args, workers=1, **options)

    monkeypatch.setattr(pool, "map_chunks", spy)
    monkeypatch.setattr(extraction, "available_cores", lambda: 7)
    done(5, 0)
    done(11, 0)
    done(11, 3)
    assert used == [1, 7, 3]


def test_reports_are_taken_as_workers_get_free(few: None) -> None:
    taken = 0

    def count() -> Iterator[Report]:
        nonlocal taken
        for report in reports(100_000):
            taken += 1
            yield report

    batches = extract(count(), Job(default_rules()), workers=2)
    next(batches)
    assert taken <= 5 * 2 * (pool._WAITING + 2 * pool._AHEAD)
    batches.close()


def test_long_reports_make_short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "_CHUNK_CHARS", 100)
    chunks = extraction._chunks(Report(str(i), "x" * 60) for i in range(5))
    assert [len(chunk) for chunk in chunks] == [2, 2, 1]


def test_a_stop_ends_with_the_chunks_that_are_begun(few: None) -> None:
    seen = 0
    batches = extract(reports(5000), Job(default_rules()), workers=2, stopping=lambda: seen >= 2)
    rows = []
    for batch in batches:
        seen += 1
        rows += [row[0] for row in batch.rows]
    assert rows == [str(i) for i in range(len(rows))]
    assert len(rows) < 200


def modules(state: None, chunk: int) -> bool:
    return "spacy" in sys.modules and "torch" not in sys.modules


def test_workers_have_spacy_and_no_torch() -> None:
    found = pool.map_chunks(modules, None, range(4), workers=2, preload=extraction.PRELOAD)
    assert [fine for _, fine in found] == [True] * 4
