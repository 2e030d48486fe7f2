"""extract-reports with rules of a user and other sections, as a person calls it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.e2e.test_reports import cxr, table_of

RULES = """observations = ["Hernia"]

[[rule]]
id = "hernia"
observation = "Hernia"
phrases = ["hiatal hernia*"]
match = "Small hiatal hernia."
miss = "Disc herniation."
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "reports.csv"
    path.write_text(
        'study_id,report\n1,"HISTORY: Edema.\nFINDINGS: Hiatal hernia."\n2,No hiatal hernia.\n',
        "utf-8",
    )
    return path


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "my rules"
    folder.mkdir()
    (folder / "hernia.toml").write_text(RULES, "utf-8")
    return folder


def test_rules_of_a_user_add_a_column_and_belong_to_the_run(
    source: Path, rules: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = cxr("extract-reports", source, "--rules", rules, "-o", out)
    assert done.returncode == 0, done.stderr
    table = table_of(out / "manifest.csv")
    assert [table[study]["Hernia"] for study in "12"] == ["1", "0"]
    header = next(csv.reader((out / "manifest.csv").open(encoding="utf-8")))
    assert header[header.index("Hernia") - 1] == "Support Devices"
    (rules / "hernia.toml").write_text(RULES.replace("Small", "Large"), "utf-8")
    again = cxr("extract-reports", source, "--rules", rules, "-o", out)
    assert again.returncode == 4, "other rules are another run"


def test_a_mistake_in_a_rule_is_one_line(source: Path, rules: Path, tmp_path: Path) -> None:
    (rules / "hernia.toml").write_text(RULES.replace('"hiatal', '"(hiatal'), "utf-8")
    for words in (["-o", tmp_path / "out"], ["-o", "-"], ["-o", tmp_path / "out", "--dry-run"]):
        failed = cxr("extract-reports", source, "--rules", rules, *words)
        assert failed.returncode == 3
        assert "hernia.toml: line 6: rule 'hernia': '(' without ')'" in failed.stderr
        assert "Traceback" not in failed.stderr


def test_sections_can_be_chosen(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = cxr("extract-reports", source, "--sections", "findings,history", "-o", out)
    assert done.returncode == 0, done.stderr
    assert table_of(out / "manifest.csv")["1"]["Edema"] == "1"
    failed = cxr("extract-reports", source, "--sections", "findings,conclsuion", "-o", "-")
    assert failed.returncode == 2
    assert "conclsuion" in failed.stderr
    assert "impression" in failed.stderr
