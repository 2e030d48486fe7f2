"""Sides, places, severities, sizes and changes of findings, and the file that names them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from cxrtool.errors import InputError
from cxrtool.reports import Labeler, label
from cxrtool.reports.attribute_rules import (
    NAMES,
    NONE,
    AttributeRule,
    default_attributes,
    load_attributes,
)
from cxrtool.reports.attributes import AttributeFinder
from cxrtool.reports.ruleset import read_rules

GOLDEN = tomllib.loads(
    (Path(__file__).parents[2] / "golden" / "report_attributes.toml").read_text(encoding="utf-8")
)
FINDER = AttributeFinder()


@pytest.mark.parametrize(("text", "finding", "wanted"), GOLDEN["cases"])
def test_sentence(text: str, finding: str, wanted: str) -> None:
    found = [e for e in label(text).evidence if e.text == finding]
    assert found, label(text).evidence
    for evidence in found:
        said = dict.fromkeys(f"{a.name}={a.value}" for a in evidence.attributes)
        assert ";".join(said) == wanted


def test_the_goldens_cover_every_attribute() -> None:
    assert len(GOLDEN["cases"]) >= 80
    named = {pair.split("=")[0] for _, _, all_ in GOLDEN["cases"] for pair in all_.split(";")}
    assert named >= set(NAMES)


def ids_in(text: str) -> set[str]:
    """Ids of the entries behind the attributes of all findings of a sentence."""
    words = text.lower().replace("-", " ").replace(".", " .").replace(",", " ,").split()
    spans = [
        (i, i + 1)
        for i, word in enumerate(words)
        if any(e.text.lower().split()[-1] == word for e in label(text).evidence)
    ]
    return {a.rule.id for found in FINDER.find(words, spans) for a in found}


@pytest.mark.parametrize("rule", default_attributes().rules, ids=lambda r: r.id)
def test_examples_of_attributes(rule: AttributeRule) -> None:
    for text in rule.match:
        if rule.attribute == NONE:
            assert any(rule.id == owner.id for owner in matched(text)), text
        else:
            assert rule.id in ids_in(text), text
    for text in rule.miss:
        assert rule.id not in ids_in(text), text
        assert rule.attribute != NONE or rule not in matched(text), text


def matched(text: str) -> set[AttributeRule]:
    rules = default_attributes()
    words = text.lower().replace("-", " ").replace(".", " .").replace(",", " ,").split()
    kinds = [rules.automaton.kind("0" if word.isdigit() else word) for word in words]
    return {rules.owners[n] for _, _, n in rules.automaton.find(kinds, 0, len(kinds))}


def test_only_attributes_that_are_there_are_written() -> None:
    small, plain = label("Small left effusion. Cardiomegaly.").evidence
    assert small.to_json()["attributes"] == {"size": ["small"], "laterality": ["left"]}
    assert "attributes" not in plain.to_json()
    json.dumps(small.to_json())


def test_an_attribute_never_changes_a_label() -> None:
    for text, _, _ in GOLDEN["cases"]:
        assert label(text).values.keys() == label("").values.keys()
        assert label(text).evidence


def test_a_finding_has_one_set_of_attributes_whatever_stands_in_other_sentences() -> None:
    alone = label("Small left effusion.").evidence[0].to_json()["attributes"]
    text = "Right opacity. Small left effusion. New severe edema."
    among = next(e for e in label(text).evidence if e.text == "effusion")
    assert among.to_json()["attributes"] == alone
    assert [text[a.start : a.end] for a in among.attributes] == ["Small", "left"]


SOUND = 'value = "a"\nphrases = ["a"]\nmatch = "a"\nmiss = "b"\n'


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("[[attribute]\n", "line .*not a TOML file"),
        ("[attribute]\nid = 'x'\n", "two brackets"),
        ("[[attribute]]\n" + SOUND, "line .*no id"),
        ('[[attribute]]\nid = "x"\nattribute = "colour"\n' + SOUND, "'colour'"),
        ('[[attribute]]\nid = "x"\nattribute = "size"\nfoo = 1\n' + SOUND, "unknown key 'foo'"),
        ('[[attribute]]\nid = "x"\nattribute = "size"\nside = "up"\n' + SOUND, "side is 'up'"),
        ('[[attribute]]\nid = "x"\nattribute = "size"\n', "'value' is missing"),
        ('[[attribute]]\nid = "x"\nattribute = "size"\nvalue = ""\n', "'phrases' is missing"),
        (
            '[[attribute]]\nid = "x"\nattribute = "size"\n' + SOUND.replace('["a"]', '["(a"]'),
            "line .*without",
        ),
        ('[[attribute]]\nid = "size.small"\nattribute = "size"\n' + SOUND, "used twice"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, entry: str, message: str) -> None:
    path = tmp_path / "attributes.toml"
    twice = '[[attribute]]\nid = "size.small"\nattribute = "size"\n' + SOUND
    path.write_text(twice + entry if "size.small" in entry else entry, encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        load_attributes(path)
    assert str(path) in str(caught.value)


def test_the_line_is_that_of_the_entry(tmp_path: Path) -> None:
    path = tmp_path / "attributes.toml"
    path.write_text("# mine\n\n" + '[[attribute]]\nid = "x"\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 3:"):
        load_attributes(path)


@pytest.mark.parametrize(
    "text", ["[classes]\nbe = 1\n", '[classes]\nbe = ["a b"]\n', "[complete]\na = 1\n", "x = 1\n"]
)
def test_wrong_tables(tmp_path: Path, text: str) -> None:
    path = tmp_path / "attributes.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"attributes\.toml: line \d"):
        load_attributes(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        load_attributes(tmp_path / "missing.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(InputError, match="UTF-8"):
        load_attributes(tmp_path / "latin.toml")


def test_attributes_of_a_user_go_over_those_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "attributes.toml").write_text(
        '[classes]\nlink = ["beside"]\n'
        '[[attribute]]\nid = "location.mine"\nattribute = "location"\nvalue = "juxtaphrenic"\n'
        'phrases = ["juxtaphrenic zone"]\nmatch = "Opacity in the juxtaphrenic zone."\n'
        'miss = "Opacity."\n'
        '[[attribute]]\nid = "size.tiny"\nattribute = "size"\nvalue = "minute"\n'
        'phrases = ["tiny"]\nmatch = "Tiny effusion."\nmiss = "Effusion."\n',
        encoding="utf-8",
    )
    labeler = Labeler(read_rules(tmp_path)[0])
    found = labeler.label("Tiny left opacity in the juxtaphrenic zone.").evidence[0].to_json()
    assert found["attributes"] == {
        "size": ["minute"],
        "laterality": ["left"],
        "location": ["juxtaphrenic"],
    }
