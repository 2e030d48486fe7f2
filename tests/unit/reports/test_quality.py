"""Scores on real text: the Open-i development half and the NegEx kit. Measured, not shipped."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import pytest

from cxrtool.reports import Labeler, assert_mention
from cxrtool.reports.sources import read_reports


@pytest.fixture(scope="module")
def archive() -> Path:
    spec = importlib.util.find_spec("torchxrayvision")
    if spec is None or spec.origin is None:
        pytest.skip("torchxrayvision, whose wheel holds the Open-i reports, is not installed")
    path = Path(spec.origin).parent / "data" / "NLMCXR_reports.tgz"
    if not path.is_file():
        pytest.skip("this torchxrayvision holds no Open-i reports")
    return path


def _stop(error: Exception, study: str) -> None:
    raise error


def test_open_i_development_half(archive: Path, shared_data: Path) -> None:
    path = shared_data / "reports" / "openi_reference.csv"
    reference = {row["uid"]: row for row in csv.DictReader(path.open(encoding="utf-8"))}
    labeler = Labeler()
    counts = {name: [0, 0, 0] for name in labeler.rules.observations}
    n = 0
    for report in read_reports(archive, _stop):
        row = reference.get(report.study)
        if row is None:
            continue
        n += 1
        labels = labeler.label(report.text, evidence=False)
        for name, count in counts.items():
            if row[name]:
                ours, theirs = labels[name] == 1, row[name] == "1"
                count[0] += ours and theirs
                count[1] += ours and not theirs
                count[2] += theirs and not ours
    assert n == len(reference)
    f1 = {k: 2 * tp / (2 * tp + fp + fn) for k, (tp, fp, fn) in counts.items() if tp + fn}
    assert len(f1) == 13
    assert min(f1.values()) >= 0.75, f1
    assert sum(f1.values()) / len(f1) >= 0.92, f1


def test_negex_kit(shared_data: Path) -> None:
    tp = fp = fn = absent = 0
    path = shared_data / "reports" / "negex.csv"
    for row in csv.DictReader(path.open(encoding="utf-8")):
        phrase, sentence = row["phrase"], row["sentence"]
        # Four phrases of the kit run past the end of their sentence.
        if " ".join(phrase.lower().split()) not in " ".join(sentence.lower().split()):
            absent += 1
            fn += row["negation"] == "Negated"
            continue
        ours = assert_mention(sentence, phrase).value == "negative"
        theirs = row["negation"] == "Negated"
        tp, fp, fn = tp + (ours and theirs), fp + (ours and not theirs), fn + (theirs and not ours)
    assert absent == 4
    assert 2 * tp / (2 * tp + fp + fn) >= 0.97
