"""Rule files: those that ship are sound, those of a user extend them, and mistakes are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrtool.core.errors import InputError, UsageError
from cxrtool.reports import Labeler, label, load_rules
from cxrtool.reports.ruleset import ASIDE, CUE_ROLES, RULE_KINDS, default_rules

HERNIA = """
observations = ["Hernia"]

[[rule]]
id = "hernia"
observation = "Hernia"
phrases = ["@gut hernia*"]
match = "Small hiatal hernia."
miss = "Lumbar disc hernia."

[classes]
gut = ["hiatal", "hiatus"]
"""
GOOD = 'phrases = ["hydrops*"]\nmatch = "Hydrops."\nmiss = "Effusion."\n'
RULE = '[[rule]]\nid = "mine"\nobservation = "Edema"\n'


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


def test_shipped_rules_cover_every_observation_kind_and_role() -> None:
    rules = default_rules()
    mentioned = {n for r in rules.rules if r.kind in ("finding", "entity") for n in r.observations}
    assert mentioned == set(rules.observations) - {rules.no_finding}
    assert {c.role for c in rules.cues} == set(CUE_ROLES)
    assert {r.kind for r in rules.rules} == set(RULE_KINDS)
    assert len({o.id for o in rules.owners}) == len(rules.rules) + len(rules.cues)
    assert set(ASIDE) < set(CUE_ROLES)


def test_an_observation_is_added_as_the_last_column(mine: Path) -> None:
    mine.write_text(HERNIA, "utf-8")
    rules = load_rules(mine.parent)
    assert rules.observations == (*default_rules().observations, "Hernia")
    labeler = Labeler(rules)
    assert labeler.label("No hiatal hernia. Large effusion.")["Hernia"] == 0
    assert labeler.label("Possible hiatus hernia.")["Hernia"] == -1
    assert labeler.label("Large effusion.")["Hernia"] is None
    assert labeler.label("Large hiatal hernia.")["No Finding"] is None
    assert "Hernia" not in label("Large hiatal hernia.").values, "the package keeps its own rules"


def test_the_example_of_the_repository() -> None:
    labeler = Labeler(load_rules(Path(__file__).parents[3] / "examples" / "rules"))
    text = "INDICATION: Hiatal hernia.\nCHEST FINDINGS: "
    assert labeler.label(text + "Paraesophageal hernia.")["Hernia"] == 1
    assert labeler.label(text + "The hiatal hernia has been reduced.")["Hernia"] == 0
    assert labeler.label(text + "Hiatal hernia repair.")["Hernia"] is None


def test_a_rule_of_the_same_id_replaces_that_of_the_package(mine: Path) -> None:
    rule = '[[rule]]\nid = "edema"\nobservation = "Edema"\n'
    mine.write_text(rule + GOOD, "utf-8")
    labeler = Labeler(load_rules(mine.parent))
    assert labeler.label("Hydrops.")["Edema"] == 1
    assert labeler.label("Kerley B lines.")["Edema"] is None
    assert label("Kerley B lines.")["Edema"] == 1


def test_a_rule_can_be_dropped(mine: Path) -> None:
    assert label("Soft tissue edema.")["Edema"] is None
    mine.write_text('[[remove]]\nid = "edema.veto"\n', "utf-8")
    assert Labeler(load_rules(mine.parent)).label("Soft tissue edema.")["Edema"] == 1


def test_cues_headers_and_sentence_starters_can_be_added(mine: Path) -> None:
    mine.write_text(
        'starters = ["Ademas"]\n[sections]\nfindings = ["hallazgos"]\nhistory-es = ["historia"]\n'
        '[[cue]]\nid = "negation.es"\nrole = "negation"\nphrases = ["sin"]\n'
        'match = "Sin edema."\nmiss = "Edema."\n',
        "utf-8",
    )
    rules = load_rules(mine.parent)
    assert "Ademas" in rules.wording.starters
    labels = Labeler(rules).label("HISTORIA: Pneumonia.\nHALLAZGOS: Sin edema.")
    assert (labels["Edema"], labels["Pneumonia"]) == (0, None)
    assert label("HISTORIA: Pneumonia.\nHALLAZGOS: Sin edema.")["Edema"] == 1


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[[rule]\n", 1, "not a TOML file"),
        ('a = 1\nb = "\n', 2, "not a TOML file"),
        ("\n[[rules]]\nid = 'x'\n", 2, "unknown key 'rules'"),
        ("[rule]\nid = 'x'\n", 1, r"write \[\[rule\]\]"),
        ("counted = ['findings']\n", 1, "unknown key 'counted'"),
        ("observations = 3\n", 1, "text or a list"),
        ("[[rule]]\n" + GOOD, 1, "no id"),
        ("[[rule]]\nid = 7\n" + GOOD, 2, "no id"),
        (RULE, 1, "'mine': 'phrases' is missing"),
        ('[[rule]]\nid = "x"\n' + GOOD, 1, "'x': 'observation' is missing"),
        ('[[rule]]\nid = "x"\nobservation = "Fever"\n' + GOOD, 3, "unknown observation 'Fever'"),
        (RULE + GOOD.replace("hydrops*", "(hydrops*"), 4, r"'mine': '\(' without"),
        (RULE + GOOD.replace("hydrops*", "hydrops*)"), 4, r"'mine': '\)' without"),
        (RULE + GOOD.replace("hydrops*", "@lung hydrops*"), 4, "'mine': unknown class '@lung'"),
        (RULE + GOOD.replace("hydrops*", "x-ray"), 4, "'mine': 'x-ray' is read as 'x ray'"),
        (RULE + GOOD.replace("hydrops*", "(a+)+$"), 4, "'mine': 'a\\+' is a regular expression"),
        (RULE + GOOD.replace("hydrops*", "hydrops[ey]"), 4, "is a regular expression"),
        (RULE + GOOD.replace('"hydrops*"', '"hydrops*", "cannot"'), 4, "read as 'can not'"),
        (RULE + GOOD.replace('"hydrops*"', '"hydrops*",\n "a",\n "b)"'), 6, r"'\)' without"),
        (RULE + GOOD.replace('"hydrops*"', "1"), 4, "text or a list"),
        (RULE + GOOD.replace('"hydrops*"', '""'), 4, "empty"),
        (RULE + 'kind = "y"\n' + GOOD, 4, "kind is 'y'"),
        (RULE + "kind = 1\n" + GOOD, 4, "'kind' must be text"),
        (RULE + "abnormal = 0\n" + GOOD, 4, "must be 1 or -1"),
        (RULE + "foo = 1\n" + GOOD, 4, "unknown key 'foo'"),
        (RULE + GOOD + RULE + GOOD, 8, "'mine': the id is used twice"),
        ('[[cue]]\nid = "x"\nrole = "y"\nphrases = ["a"]\n', 3, "role is 'y'"),
        ('[[cue]]\nid = "x"\nphrases = ["a"]\n', 1, "'role' is missing"),
        ('[[cue]]\nid = "x"\nrole = "negation"\ndirection = "up"\n' + GOOD, 4, "direction"),
        (RULE + 'phrases = ["hydrops*"]\nmiss = "Effusion."\n', 1, "'match' is missing"),
        (RULE + 'phrases = ["hydrops*"]\nmatch = "Hydrops."\n', 1, "'miss' is missing"),
        (RULE + GOOD.replace("Hydrops.", "Effusion."), 5, "'Effusion.' is not matched"),
        (
            RULE + GOOD.replace("hydrops*", "edema").replace("Hydrops", "Edema"),
            5,
            "by it, but by edema",
        ),
        (RULE + GOOD.replace('"Effusion."', '["Mass.", "Hydrops."]'), 6, "must not be"),
        ('[[remove]]\nid = "nobody"\n', 2, "'nobody'.*nothing"),
        ('[classes]\ngood = ["well"]\nbad = ["two words"]\n', 3, "class 'bad'.*one word"),
        ('[sections]\nfindings = ["ok", "what?!"]\n', 2, "cannot be a header"),
        ("# ']]'\n'sections' = 3\n", 1, r"write \[sections\]"),
        (RULE + GOOD + 'say = """\n[[rule]]\n"""\n' + 'x = "# y"\n', 10, "unknown key 'x'"),
    ],
)
def test_mistakes_name_file_line_and_rule(mine: Path, text: str, line: int, message: str) -> None:
    mine.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"line {line}: .*{message}") as caught:
        load_rules(mine.parent)
    assert str(mine) in str(caught.value)


@pytest.mark.parametrize(
    "phrase",
    [
        "(" * 40 + "hydrops*" + ")*" * 40,
        "((((hydrops*)*)*)*)*" + " ((((a)*)*)*)*" * 20,
        "a (b c)* " * 900,
    ],
)
def test_phrases_that_explode_are_refused_at_once(mine: Path, phrase: str) -> None:
    mine.write_text(RULE + GOOD.replace("hydrops*", phrase), "utf-8")
    with pytest.raises(InputError, match=r"line 4: rule 'mine': .*(states|deep)"):
        load_rules(mine.parent)


def test_entries_written_as_inline_tables(mine: Path) -> None:
    mine.write_text('\nrule = [{id = "x", phrases = "a", match = "a", miss = "b"}]\n', "utf-8")
    with pytest.raises(InputError, match="line 2: rule 'x': 'observation' is missing"):
        load_rules(mine.parent)


def test_an_id_may_stand_in_one_file_of_a_folder_only(mine: Path) -> None:
    mine.write_text(RULE + GOOD, "utf-8")
    mine.with_name("other.toml").write_text(RULE + GOOD, "utf-8")
    with pytest.raises(InputError, match="used twice") as caught:
        load_rules(mine.parent)
    assert caught.value.hint == "the other stands in mine.toml, line 1"


def test_folders_that_hold_no_rules(mine: Path) -> None:
    with pytest.raises(InputError, match="no rule files"):
        load_rules(mine.parent)
    with pytest.raises(InputError, match="no such folder"):
        load_rules(mine)


def test_rule_files_that_cannot_be_read(mine: Path) -> None:
    mine.write_bytes(b'x = "\xff"')
    with pytest.raises(InputError, match="not UTF-8"):
        load_rules(mine.parent)
    mine.unlink()
    mine.mkdir()
    with pytest.raises(InputError, match="cannot read"):
        load_rules(mine.parent)


TEXT = "HISTORY: Edema.\nFINDINGS: Small effusion.\nIMPRESSION: Pneumonia."


@pytest.mark.parametrize(
    ("names", "positive"),
    [
        (("findings",), {"Pleural Effusion"}),
        (("impression",), {"Pneumonia"}),
        (("findings", "Impression "), {"Pleural Effusion", "Pneumonia"}),
        (("indication",), {"Edema"}),
        (("history",), {"Edema"}),
        (("report",), set()),
    ],
)
def test_the_sections_that_count_can_be_chosen(names: tuple[str, ...], positive: set[str]) -> None:
    labels = Labeler(default_rules().counting(names)).label(TEXT)
    assert {name for name, value in labels.values.items() if value == 1} == positive


@pytest.mark.parametrize("names", [("finding s",), (), ("findings", "")])
def test_unknown_sections_are_refused_with_the_known_ones(names: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        default_rules().counting(names)
    if names:
        assert caught.value.hint is not None
        assert "findings, impression, indication" in caught.value.hint
