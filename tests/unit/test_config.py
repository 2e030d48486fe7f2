"""Options from one declaration: precedence, types, ranges, files, records."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cxrtool import cli
from cxrtool.core import config as configs
from cxrtool.core.config import records
from cxrtool.core.config.records import input_paths, result_options, to_record
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import InputError, UsageError

from .toy_stage import Config


def load_file(path: Path, section: str) -> dict[str, Any]:
    return records.load_file(path, section, Config, cli.stages())


def build(**values: Any) -> Any:
    return resolve(Config, {"source": "a.txt", **values})


def test_precedence_default_file_flag() -> None:
    assert build().scale == 1
    file = {"source": "a.txt", "scale": 2, "rate": 1}
    assert resolve(Config, file, {"scale": None}).scale == 2
    made = resolve(Config, file, {"scale": 3})
    assert (made.scale, made.rate) == (3, 1.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": 0}, "--scale: 0 is less than 1"),
        ({"scale": 101}, "--scale: 101 is more than 100"),
        ({"scale": 1.5}, "--scale: 1.5 is not a whole number"),
        ({"scale": True}, "--scale: True is not a whole number"),
        ({"rate": "fast"}, "--rate: 'fast' is not a number"),
        ({"rate": float("nan")}, "--rate: nan is not a number"),
        ({"mode": "min"}, "--mode: 'min' is not one of sum, max"),
        ({"flip": "yes"}, "--flip: 'yes' is not true or false"),
        ({"scale": 13}, "bad luck"),
        ({"sclae": 2}, "unknown option 'sclae'"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        build(**values)
    assert caught.value.exit_code == 2


def test_closest_name_is_suggested() -> None:
    with pytest.raises(UsageError) as caught:
        build(sclae=2)
    assert caught.value.hint == "did you mean 'scale'?"


def test_missing_argument_is_named() -> None:
    with pytest.raises(UsageError, match="missing SOURCE"):
        resolve(Config, {})


def test_numbers_become_text_where_text_is_wanted() -> None:
    assert build(share=0.15).share == "0.15"


def test_single_values_become_tuples() -> None:
    assert build(tags="a").tags == ("a",)
    assert build(extra=["x", "y"]).extra == (Path("x"), Path("y"))


def test_fingerprint_leaves_provenance_and_inputs_out() -> None:
    options = result_options(build(workers=3, extra=["b.txt"]))
    assert set(options) == {"scale", "rate", "mode", "tags", "share", "flip", "rules"}
    assert input_paths(build(extra=["b.txt"])) == [
        ("source", Path("a.txt")),
        ("extra", Path("b.txt")),
    ]


@dataclass(frozen=True, kw_only=True)
class WithNames:
    """Inputs with names."""

    sets: tuple[str, ...] = configs.option("Sets.", (), role="set", named=True)


@pytest.mark.parametrize(
    ("text", "name", "path"),
    [("south=a/b", "south", "a/b"), (" two words = x", "two words", " x"), ("a=b=c", "a", "b=c")],
)
def test_a_named_input_counts_by_content_and_by_name(text: str, name: str, path: str) -> None:
    config = resolve(WithNames, {"sets": [text]})
    assert input_paths(config) == [("set", Path(path))]
    assert result_options(config) == {"sets": [name]}
    record = to_record(config)
    assert record == {"sets": [f"{name}={Path(path).absolute()}"]}
    again = resolve(WithNames, records.from_record(WithNames, record))
    assert input_paths(again) == [("set", Path(path).absolute())]
    assert result_options(resolve(WithNames, {})) == {"sets": []}


def test_an_option_that_names_a_file_counts_by_content(tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text("a = 1\n")
    before = result_options(build(rules=str(rules)))["rules"]
    assert before != str(rules)
    rules.write_text("a = 2\n")
    assert result_options(build(rules=str(rules)))["rules"] != before
    assert result_options(build(rules="plain"))["rules"] == "plain"


def test_toml_section(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text("[prepare]\nscale = 4\nstop-after = 2\n[train-gan]\nsize = 64\n")
    assert load_file(path, "prepare") == {"scale": 4, "stop_after": 2}
    assert load_file(path, "train-cls") == {}


def test_toml_section_of_evaluate(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text("[evaluate.classifiers]\nbootstrap = 10\n")
    assert load_file(path, "evaluate-classifiers") == {"bootstrap": 10}


def test_every_command_may_have_a_section(tmp_path: Path) -> None:
    for name in cli.stages():
        path = tmp_path / "study.toml"
        path.write_text(f"[{name}]\nscale = 4\n")
        assert load_file(path, name) == {"scale": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[prepar]\nscale = 4\n", r"unknown section \[prepar\]"),
        ("scale = 4\n", "outside a section"),
        ("[prepare\n", "study.toml"),
    ],
)
def test_wrong_toml(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        load_file(path, "prepare")


def test_missing_config_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the config file"):
        load_file(tmp_path / "none.toml", "prepare")


def test_record_round_trip(tmp_path: Path) -> None:
    made = build(scale=7, tags=("x",), source=str(tmp_path / "a.txt"))
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"stage": "prepare", "config": to_record(made)}))
    assert resolve(Config, load_file(path, "prepare")) == made
    with pytest.raises(UsageError, match="records the stage 'prepare', not 'edit'"):
        load_file(path, "edit")
    path.write_text("{}")
    with pytest.raises(UsageError, match=r"no run\.json"):
        load_file(path, "prepare")


def test_a_field_without_a_mark_is_a_mistake() -> None:
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Bare:
        x: int = 0

    with pytest.raises(TypeError, match="is no option or argument"):
        configs.fields_of(Bare)
