"""The configuration of the Snakemake workflow: patterns, names, what is refused."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import REPOSITORY


def load() -> ModuleType:
    """examples/ is no package."""
    path = REPOSITORY / "examples" / "workflow" / "study.py"
    spec = importlib.util.spec_from_file_location("workflow_study", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


STUDY = load()


def given(**changed: Any) -> dict[str, Any]:
    """A study of two CLIPs and two edits each."""
    base: dict[str, Any] = {
        "source": "",
        "prepare": "--format phantom",
        "folds": 0,
        "regimens": [0.1, 1],
        "seeds": [0, 3],
        "generators": {"style": "--kimg 1"},
        "clips": {"a": "--text a", "b": "--text b"},
        "edits": {
            "{clip}+": {"generator": "style", "clip": "{clip}", "options": "--sign + --for {clip}"},
            "{clip}-": {"generator": "style", "clip": "{clip}", "options": "--sign -"},
        },
        "sets": {
            "plain": {"generator": "style", "options": "--balance 4"},
            "{edit}": {"generator": "style", "edits": ["{edit}"], "options": ""},
            "both": {"generator": "style", "edits": ["a+", "b-"], "options": ""},
        },
        "arms": {"none": "--arm none", "with-{set}": {"set": "{set}", "options": "--arm gan"}},
        "classifier": "",
        "grid": {"lr": [0.1], "batch": [2], "optimizer": ["sgd"]},
        "reports": {"report": "--seed 1", "edited": {"arms": ["none", "with-?+"]}},
        "run": "-q",
        "threads": 1,
        "resources": {},
    }
    return {**base, **changed}


def test_patterns_stand_for_one_entry_each() -> None:
    study = STUDY.Study.read(given())
    assert list(study.edits) == ["a+", "b+", "a-", "b-"]
    assert study.edits["b+"] == STUDY.Edit("style", "b", "--sign + --for b")
    assert list(study.sets) == ["plain", "a+", "b+", "a-", "b-", "both"]
    assert study.sets["b-"].edits == ("b-",)
    assert study.sets["both"].edits == ("a+", "b-")
    assert list(study.arms) == ["none", *(f"with-{name}" for name in study.sets)]
    assert study.arms["with-both"].set == "both"
    assert study.arms["none"].set == ""


def test_runs_of_a_report() -> None:
    study = STUDY.Study.read(given())
    assert study.cells == ["f0.1", "f1"]
    assert study.runs("edited") == [
        *("f0.1-none-0", "f0.1-none-3", "f0.1-with-a+-0", "f0.1-with-a+-3"),
        *("f0.1-with-b+-0", "f0.1-with-b+-3", "f1-none-0", "f1-none-3"),
        *("f1-with-a+-0", "f1-with-a+-3", "f1-with-b+-0", "f1-with-b+-3"),
    ]
    assert len(study.runs("report")) == 2 * 7 * 2


def test_sets_go_by_their_names_where_a_report_has_several() -> None:
    study = STUDY.Study.read(given(one_generator=True))
    assert study.called("edited") == [
        *(("f0.1-synth-a+", "a+"), ("f0.1-synth-b+", "b+")),
        *(("f1-synth-a+", "a+"), ("f1-synth-b+", "b+")),
    ]
    study = STUDY.Study.read(given(regimens=[1]))
    assert study.called("edited") == [
        *(("f1-synth-a+-0", "a+"), ("f1-synth-a+-3", "a+")),
        *(("f1-synth-b+-0", "b+"), ("f1-synth-b+-3", "b+")),
    ]
    arms = {"none": "", "gan": {"set": "plain", "options": ""}}
    study = STUDY.Study.read(given(arms=arms, reports={"report": ""}))
    assert study.called("report") == []


@pytest.mark.parametrize(
    ("one", "owners"),
    [(True, [""]), ("true", [""]), (False, ["-0", "-3"]), ("False", ["-0", "-3"])],
)
def test_a_generator_a_seed_or_one_for_all(one: Any, owners: list[str]) -> None:
    study = STUDY.Study.read(given(one_generator=one))
    assert study.owners == owners
    folders = set(study.folders())
    assert len(folders) == len(study.folders())
    for name in ("gan-style", "edit-a+", "synth-both"):
        assert {f"f1-{name}{own}" for own in owners} <= folders
    assert "f1-clip-a" in folders, "texts are not the generator's"
    for own in owners:
        assert re.fullmatch(study.constraints["own"], own)


def test_cells_of_folds(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path\n")
    study = STUDY.Study.read(given(source=str(table), folds=2))
    assert study.cells == ["fold1-f0.1", "fold1-f1", "fold2-f0.1", "fold2-f1"]
    assert study.cells[study.shown] == "fold1-f1"


def test_tables_find_the_printed_numbers() -> None:
    words = 'pr_auc_table.py report a --printed printed/x.csv --title "2: b"'
    study = STUDY.Study.read(given(tables=[words]))
    assert study.tables_in(Path("/e")) == [
        "pr_auc_table.py report a --printed /e/printed/x.csv --title '2: b'"
    ]
    study = STUDY.Study.read(given(tables=["printed_table.py edited {names} --metric auroc"]))
    assert study.tables_in(Path("/e")) == [
        "printed_table.py edited 0.1/none 0.1/with-a+ 0.1/with-b+ 1/none 1/with-a+ 1/with-b+"
        " --metric auroc"
    ]
    study = STUDY.Study.read(given(tables=["printed_table.py rapport {names}"]))
    with pytest.raises(STUDY.StudyError, match="rapport is none of report, edited"):
        study.tables_in(Path("/e"))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"gan": ""}, "unknown keys: gan"),
        ({"source": "here"}, "source: here must be the absolute path"),
        ({"folds": 3}, "folds need a table"),
        ({"seeds": []}, "seeds: a list"),
        ({"regimens": 1.0}, "regimens: a list"),
        ({"seeds": [0, "a"]}, "seeds: a whole number is needed, not 'a'"),
        ({"one_generator": "5"}, "one_generator: true or false is needed, not '5'"),
        ({"generators": {"style": "--kimg 1 --seed 2"}}, "generators: style: --seed is that of"),
        (
            {"sets": {"{edit}": {"generator": "style", "options": "--seed=2"}}},
            "sets: a+: --seed is that of the study's seeds",
        ),
        ({"folds": "two"}, "folds: a whole number is needed, not 'two'"),
        ({"sets": {"x": ["a"]}}, "sets: x: the parts are generator, options, edits"),
        ({"generators": "--kimg 1"}, "generators: names with options"),
        ({"generators": {"a/b": ""}}, "generators: a/b cannot be part of a folder's name"),
        (
            {"sets": {"x": {"generator": "other", "options": ""}}},
            "sets: x: generator: other is none of style",
        ),
        (
            {"sets": {"x": {"gan": "style", "options": ""}}},
            "sets: x: the parts are generator, options, edits",
        ),
        ({"sets": {"x": ""}}, "sets: x: the parts are generator, options, edits"),
        (
            {"edits": {"x": {"generator": "style", "clip": "c", "options": ""}}},
            "edits: x: clip: c is none of a, b",
        ),
        (
            {"sets": {"x": {"generator": "style", "edits": ["y+"], "options": ""}}},
            "sets: x: edits: y+ is none of a+, b+, a-, b-",
        ),
        ({"arms": {"x": {"set": "y", "options": ""}}}, "arms: x: set: y is none of plain"),
        ({"arms": {"none": "", "only-{set}": ""}}, "reports: edited: no arm is called with-?+"),
        ({"images": "x"}, "images: x is none of plain"),
        ({"reports": {}}, "reports: name one"),
        ({"reports": {"data": ""}}, "two runs would be called data"),
        (
            {
                "sets": {
                    "plain": {"generator": "style", "options": ""},
                    "{edit}": {"generator": "style", "options": ""},
                    "a+": {"generator": "style", "options": ""},
                }
            },
            "sets: a+ twice",
        ),
        (
            {"texts": "--texts rules", "single_label": "--rule exactly-one"},
            "texts and single_label",
        ),
    ],
)
def test_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(STUDY.StudyError) as refused:
        STUDY.Study.read(given(**changed))
    assert str(refused.value).startswith(said)


def test_keys_that_are_missing() -> None:
    study = given()
    del study["arms"], study["run"]
    with pytest.raises(STUDY.StudyError, match="lacks these keys: arms, run"):
        STUDY.Study.read(study)
    with pytest.raises(STUDY.StudyError, match="which study"):
        STUDY.Study.read({})


def test_an_arm_that_has_the_name_of_another_run() -> None:
    arms = {"gan-style": "--arm none", "none": "", "with-{set}": {"set": "{set}", "options": ""}}
    generators = {"style": "", "style-0": ""}
    with pytest.raises(STUDY.StudyError, match=r"two runs would be called f0\.1-gan-style-0"):
        STUDY.Study.read(given(arms=arms, generators=generators))
