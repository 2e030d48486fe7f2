"""Rule files: the ones that ship are sound, and mistakes are named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cxrtool.errors import InputError
from cxrtool.reports import Labeler
from cxrtool.reports.ruleset import RULES, default_rules, load_rules


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RULES, tmp_path / "rules"))


def test_shipped_rules_cover_every_observation() -> None:
    rules = default_rules()
    mentioned = {n for r in rules.rules if r.kind in ("finding", "entity") for n in r.observations}
    assert mentioned == set(rules.observations) - {rules.no_finding}
    assert {c.role for c in rules.cues} >= {"negation", "uncertain", "termination", "pseudo"}
    assert len({o.id for o in rules.owners}) == len(rules.rules) + len(rules.cues)


def test_an_observation_can_be_added_without_code(folder: Path) -> None:
    base = folder / "observations.toml"
    text = base.read_text(encoding="utf-8")
    base.write_text(
        text.replace('  "Support Devices",', '  "Support Devices",\n  "Hernia",'), "utf-8"
    )
    (folder / "mine.toml").write_text(
        '[[rule]]\nid = "hernia"\nobservation = "Hernia"\nphrases = ["hiatal hernia*"]\n', "utf-8"
    )
    labels = Labeler(load_rules(folder)).label("No hiatal hernia. Large effusion.")
    assert labels["Hernia"] == 0
    assert labels["Pleural Effusion"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[rule]\n", "not a TOML file"),
        ('[[rule]]\nphrases = ["a"]\n', "no id"),
        ('[[rule]]\nid = "x"\nobservation = "Edema"\n', "no 'phrases'"),
        ('[[rule]]\nid = "x"\nphrases = ["a"]\n', "no 'observation'"),
        ('[[rule]]\nid = "x"\nobservation = "Fever"\nphrases = ["a"]\n', "unknown observation"),
        ('[[rule]]\nid = "x"\nobservation = "Edema"\nphrases = ["(a"]\n', "'x'.*without"),
        ('[[rule]]\nid = "x"\nobservation = "Edema"\nphrases = [1]\n', "text or a list"),
        ('[[rule]]\nid = "x"\nkind = "y"\nobservation = "Edema"\nphrases = ["a"]\n', "kind"),
        ('[[rule]]\nid = "x"\nfoo = 1\nobservation = "Edema"\nphrases = ["a"]\n', "unknown key"),
        ('[[rule]]\nid = "edema"\nobservation = "Edema"\nphrases = ["a"]\n', "used twice"),
        ('[[cue]]\nid = "x"\nrole = "y"\nphrases = ["a"]\n', "role"),
    ],
)
def test_mistakes_name_the_file_and_the_rule(folder: Path, text: str, message: str) -> None:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        load_rules(folder)
    assert str(path) in str(caught.value)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such rules file"):
        load_rules(tmp_path)
