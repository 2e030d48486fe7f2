"""Verdicts of whole runs: targets that mean nothing to the CLIP are never a success."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cxrtool import cli, clip
from cxrtool.core import console
from cxrtool.core.errors import UsageError
from cxrtool.core.runs import Run
from cxrtool.core.runs.execution import execute
from cxrtool.data.keys import Seen

from .test_edit_stage import _Clip, _config, _edits, runs

edit = cli.stages()["edit"]

__all__ = ["runs"]

NONSENSE = [
    "blorp", "흉수", "grosses Herz", "zzz zzz", "qwertz uiop", "a table by the window", "Пневмония",
    "scoliosis", "COPD with hyperinflation", "tachycardia", "headache", "blue sky", "lorem ipsum",
    "the quick brown fox", "hemoglobin 7", "épanchement", "cat", "stock market crash", "diabetes",
    "moon over water",
]  # fmt: skip


class _Knowing(_Clip):
    """A CLIP that says which words it has met."""

    def __init__(self, *known: str, pretrained: bool = False) -> None:
        super().__init__()
        words = {"least_patients": 5, "known": list(known), "pretrained": pretrained}
        self.meta = {**self.meta, "words": words}


def _knowing(monkeypatch: pytest.MonkeyPatch, *known: str, pretrained: bool = False) -> None:
    monkeypatch.setattr(clip, "load", lambda *_: _Knowing(*known, pretrained=pretrained))


@pytest.fixture
def second(runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second CLIP of other weights, of the first one's patients."""
    folder = tmp_path / "second"
    Seen({"x": frozenset("bc")}, frozenset("bc")).save(Run.for_test(folder))
    other = _Clip()
    other.network = torch.nn.Linear(2, 1)
    monkeypatch.setattr(clip, "load", lambda path, *_: other if path == folder else _Clip())
    return folder


@pytest.mark.parametrize("pretrained", [True, False])
def test_nonsense_is_never_a_success(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pretrained: bool
) -> None:
    _knowing(monkeypatch, "left", "right", pretrained=pretrained)
    options: dict[str, Any] = {"n": 3, "steps": 3, "teacher": runs["teacher"]}
    if not pretrained:  # refused, one by one
        for text in NONSENSE:
            with pytest.raises(UsageError, match="hold none of its words"):
                execute(edit, _config(runs, target=text, **options), tmp_path / "out")
        return
    config = _config(runs, target=tuple(NONSENSE), **options)
    result = execute(edit, config, tmp_path / "out").result
    assert result["counts"]["not_judged"] == 20
    assert "confirmed" not in result["counts"]
    assert {e["verdict"] for e in result["summary"]["edits"]} == {"not judged"}


def test_what_the_teacher_sees_beyond_the_control_is_confirmed(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "say", said.append)
    config = _config(runs, teacher=runs["teacher"])
    summary = execute(edit, config, tmp_path / "out").result["summary"]
    assert summary["verdict"] == "confirmed"
    (effect,) = summary["effects"]
    assert effect["beyond"] == pytest.approx(effect["change"] - effect["control"])
    assert 0 < effect["low"] < effect["beyond"] < effect["high"]
    assert (effect["images"], effect["patients"], effect["ahead"]) == (6, 6, 6)
    rows = _edits(tmp_path / "out")
    assert rows["Left judged"].mean() == pytest.approx(effect["change"], abs=1e-5)
    assert rows["Left control"].mean() == pytest.approx(effect["control"], abs=1e-5)
    line = next(text for text in said if "strength 1:" in text)
    assert "confirmed by the teacher in 6 images. Left moved as asked by" in line
    assert "6 of 6 images moved further than by their control." in line
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Columns of edits.csv" in page
    assert "the CLIP that steered" in page


def test_no_steps_are_not_confirmed(runs: dict[str, Path], tmp_path: Path) -> None:
    config = _config(runs, teacher=runs["teacher"], steps=0)
    result = execute(edit, config, tmp_path / "out").result
    assert result["summary"]["verdict"] == "not confirmed"


def test_without_a_judge_both_moves_are_said(
    runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "say", said.append)
    summary = execute(edit, _config(runs, control_n=2), tmp_path / "out").result["summary"]
    line = next(text for text in said if "strength 1:" in text)
    assert "not judged in 6 images (no --teacher and no --judge)" in line
    assert "The CLIP that steered it moved by" in line
    assert f"by 2 controls (“{summary['control']['texts'][0]}”, …)" in line
    assert summary["control"]["images"] == 2
    assert _edits(tmp_path / "out")["clip_control"].notna().sum() == 2
    config = _config(runs, control_n=0, teacher=runs["teacher"])
    summary = execute(edit, config, tmp_path / "none").result["summary"]
    assert summary["not_judged"] == "nothing to compare it with (--control-n 0)"


@pytest.mark.parametrize(("patients", "images"), [("a", ""), ("c", ""), ("", "b")])
def test_a_teacher_that_knows_the_others_patients_reads_and_does_not_judge(
    runs: dict[str, Path], tmp_path: Path, patients: str, images: str
) -> None:
    seen = Seen({"x": frozenset("d" + patients)}, frozenset("d" + images))
    seen.save(Run.for_test(runs["teacher"]))
    config = _config(runs, teacher=runs["teacher"])
    summary = execute(edit, config, tmp_path / "out").result["summary"]
    assert summary["verdict"] == "not judged"
    assert "it has learned from 1 " in summary["not_judged"]
    assert summary["accepted"] is not None


def test_a_second_clip_judges(runs: dict[str, Path], second: Path, tmp_path: Path) -> None:
    summary = execute(edit, _config(runs, judge=second), tmp_path / "out").result["summary"]
    assert summary["verdict"] == "confirmed"
    assert [effect["judge"] for effect in summary["effects"]] == ["the judging CLIP"]
    assert Seen.load(tmp_path / "out").pixels == frozenset("abc")


def test_two_judges_are_both_told(runs: dict[str, Path], second: Path, tmp_path: Path) -> None:
    config = _config(runs, judge=second, teacher=runs["teacher"])
    summary = execute(edit, config, tmp_path / "out").result["summary"]
    assert [e["judge"] for e in summary["effects"]] == ["the teacher", "the judging CLIP"]
    rows = _edits(tmp_path / "out")
    assert {"Left judged (the teacher)", "Left control (the judging CLIP)"} <= set(rows.columns)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("confirmed by the teacher and the judging CLIP in 6 images.") == 1


def test_the_clip_that_steers_is_no_second_one(runs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has the weights of --clip") as caught:
        execute(edit, _config(runs, judge=runs["clip"]), tmp_path / "out")
    assert "another --seed" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("known", "pretrained", "text", "says"),
    [
        (("left", "heart"), False, "the left heart", None),
        (("left",), False, "the left blorp", "do not hold 'blorp'"),
        (("left",), True, "blorp", "do not hold 'blorp', only the texts before them may"),
        (None, False, "left", "does not say which words"),
    ],
)
def test_words_that_the_clip_has_not_met(
    runs: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    known: tuple[str, ...] | None,
    pretrained: bool,
    text: str,
    says: str | None,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    if known is not None:
        _knowing(monkeypatch, *known, pretrained=pretrained)
    execute(edit, _config(runs, target=text, steps=1, n=2), tmp_path / "out")
    about = [line for line in said if "training texts" in line]
    assert [says in line for line in about] == [True] if says else about == []
