"""The pages of results are what their files say, and hold no figure of an older stage."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import render

HEAD = "a,b,primary,row,metric,value,low,high,p,verdict,detectable,about\n"
ROWS = (
    "gan,duplicate,True,mean over labels,auroc,0.02,0.01,0.03,0.001,evidence for,0.012,the method\n"
    "gan,duplicate,True,Edema,auroc,0.03,0.01,0.05,0.01,evidence for,0.02,the method\n"
    "gan,duplicate,True,Fracture,auroc,,,,,undefined,,the method\n"
)
REPORT = (
    "# R\n\n| arm | runs | mean AUROC | sd |\n"
    "| --- | ---: | ---: | ---: |\n| gan | 5 | .9 [.8, 1] | .01 |\n"
)


def test_every_page_is_what_the_files_make() -> None:
    assert not render.differing(), "python benchmarks/render.py"


def test_every_study_has_a_page_in_the_table_with_its_plan() -> None:
    studies = render.studies()
    assert {path.stem for path in (render.RESULTS / "data").glob("*.json")} <= set(studies)
    for name in studies:
        page = render.RESULTS / f"{name}.md"
        assert "## What was fixed before the runs" in page.read_text(encoding="utf-8")
        assert render.fixed_command(page)


def strings(value: Any) -> Iterator[str]:
    """All keys and texts of a record."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value


@pytest.mark.parametrize("path", sorted((render.RESULTS / "data").glob("*.json")), ids=str)
def test_what_is_kept_is_small_and_names_no_place(path: Path) -> None:
    assert path.stat().st_size < 100_000
    for text in strings(render.read(path)):
        assert not re.search(r"(^|\s)/\w|\b[0-9a-f]{16}", text), text


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The work folder of a study: two classifiers and their report."""
    work = tmp_path / "work"
    run(work / "gan-0", "train-cls")
    run(work / "gan-1", "train-cls")
    report = run(work / "report", "evaluate-classifiers")
    (report / "comparison.csv").write_text(HEAD + ROWS)
    (report / "report.md").write_text(REPORT)
    return work


def run(folder: Path, stage: str, number: int = 0) -> Path:
    """A finished run directory."""
    folder.mkdir(parents=True)
    number = number or render.today()[stage]
    made = {
        "argv": ["/home/me/cxr"],
        "versions": {"torch": "2"},
        "cores": 2,
        "started": "2026-12-01T10:00:00",
    }
    record = {"identity": {"stage": stage, "format": [1, number]}, "provenance": made}
    summary = {"answer": "Evidence.", "images": 3, "labels": ["Edema", "Fracture"]}
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "result.json").write_text(json.dumps({"summary": summary, "seconds": 60}))
    return folder


def test_a_finished_study_becomes_a_page(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = render.collect("dose", study)
    assert data["runs"] == {"evaluate-classifiers": 1, "train-cls": 2}
    assert "/home" not in json.dumps(data)
    row = render.primary(data, "gan minus duplicate", "auroc")
    assert row is not None
    assert render.interval(row) == "+0.020 [+0.010, +0.030]"
    figures: dict[Path, str] = {}
    monkeypatch.setattr(render, "kept", lambda _: data)
    text = render.study_of("dose", figures)
    assert "| gan minus duplicate (primary) | +0.020 [+0.010, +0.030] | 0.001 |" in text
    assert "| gan | 5 | .9 [.8, 1] |" in text
    assert "Fracture" not in text
    assert [path.name for path in figures] == ["dose.svg"]

    data["formats"]["train-cls"] -= 1  # as if it had been raised since
    text = render.study_of("dose", {})
    assert text.startswith("*To be run again")
    assert "0.020" not in text
    assert "**to be run again**" in render.front()


def test_runs_of_two_formats_are_not_collected(study: Path) -> None:
    run(study / "old", "train-cls", number=1)
    with pytest.raises(render.ResultsError, match="several FORMATs of train-cls"):
        render.collect("dose", study)


def test_a_study_without_a_plan_or_without_its_end_is_not_collected(study: Path) -> None:
    with pytest.raises(render.ResultsError, match="write down there what the study compares"):
        render.collect("never-planned", study)
    (study / "report" / "result.json").unlink()
    with pytest.raises(render.ResultsError, match="no finished report"):
        render.collect("dose", study)


def test_a_hand_written_figure_of_an_older_stage_is_refused() -> None:
    now = render.today()["train-gan"]
    assert "has changed up to" in render.measured(["2026-12-01", "abc", f"train-gan={now}"])
    with pytest.raises(render.ResultsError, match="drop them"):
        render.measured(["2026-12-01", "abc", f"train-gan={now - 1}"])
