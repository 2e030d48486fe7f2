"""Sides, places, severities, sizes and changes of findings, and the file that names them."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from cxrtool.core.errors import InputError
from cxrtool.reports import Labeler, label
from cxrtool.reports.attribute_rules import (
    NAMES,
    AttributeRule,
    default_attributes,
    load_attributes,
)
from cxrtool.reports.examples import failures, load_rules
from cxrtool.reports.ruleset import read_rules

GOLDEN = tomllib.loads(
    (Path(__file__).parents[2] / "golden" / "report_attributes.toml").read_text(encoding="utf-8")
)
LABELER = Labeler()


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


@pytest.mark.parametrize("rule", default_attributes().rules, ids=lambda r: r.id)
def test_examples_of_attributes(rule: AttributeRule) -> None:
    assert rule.match
    assert rule.miss
    assert list(failures(LABELER, rule)) == []


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


MINE = '[[attribute]]\nid = "location.mine"\nattribute = "location"\nvalue = "juxtaphrenic"\n'


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        (MINE + 'phrases = ["apex"]\nmatch = "Opacity."\nmiss = "Edema."\n', 6, "not described"),
        (
            MINE + 'phrases = ["apex"]\nmatch = "At the apex."\nmiss = "Edema."\n',
            6,
            "names no finding",
        ),
        (
            MINE + 'phrases = ["apex"]\nmatch = "Opacity at the apex."\nmiss = "Apex opacity."\n',
            7,
            "must not be",
        ),
        (
            MINE + 'phrases = ["apex-like"]\nmatch = "Opacity."\nmiss = "Edema."\n',
            5,
            "is read as",
        ),
        (MINE + 'phrases = ["apex^"]\nmatch = "Opacity."\nmiss = "Edema."\n', 5, "regular"),
    ],
)
def test_examples_of_a_user_are_tried(tmp_path: Path, body: str, line: int, message: str) -> None:
    (tmp_path / "attributes.toml").write_text(body, encoding="utf-8")
    with pytest.raises(InputError, match=f"line {line}:.*{message}"):
        load_rules(tmp_path)


def test_words_that_are_no_attribute_have_examples_too(tmp_path: Path) -> None:
    head = '[[attribute]]\nid = "mine"\nattribute = "none"\nvalue = ""\nphrases = ["left over"]\n'
    path = tmp_path / "attributes.toml"
    path.write_text(head + 'match = "Left over edema."\nmiss = "Left edema."\n', encoding="utf-8")
    labels = Labeler(load_rules(tmp_path)).label("Left over edema.")
    assert labels.evidence[0].attributes == ()
    path.write_text(head + 'match = "Left edema."\nmiss = "Edema."\n', encoding="utf-8")
    with pytest.raises(InputError, match="line 6:"):
        load_rules(tmp_path)
