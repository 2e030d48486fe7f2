"""Flags: where each applies, one meaning each, how they are shown, and what became of old ones."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from cxrtool import cli
from cxrtool.core import config as configs
from cxrtool.core.config.records import from_record, load_file, result_options, to_plan, to_record
from cxrtool.core.config.values import refuse_what_does_not_apply, resolve
from cxrtool.core.errors import UsageError

MODULES = cli.COMMANDS
#: Flags of several commands -> what they mean in all of them.
SHARED = {
    "--arch": "architecture of the network",
    "--augment": "how training images are changed at random",
    "--batch": "examples per step",
    "--bits": "bits of 16-bit values",
    "--block": "images computed at once",
    "--blank": "what a blank cell means",
    "--bootstrap": "patient resamples behind the intervals",
    "--column": "what a column of a table is called",
    "--classes": "labels, separated by commas, that the command is about",
    "--clip": "an output of finetune-clip",
    "--data": "a dataset directory",
    "--device": "the device to compute on",
    "--edit": "outputs of edit along which images are pushed",
    "--epochs": "length in passes",
    "--explain": "show how the input is read",
    "--features": "an output of train-cls in whose features images are compared",
    "--fraction": "share of the patients",
    "--gan": "an output of train-gan",
    "--guidance": "weight of the labels in the images of a flow",
    "--guidance-interval": "times between which guidance acts",
    "--include-ids": "name images, patients and studies",
    "--init-from": "weights to start from",
    "--join-labels": "what labels of reports do to those that are there",
    "--label-guidance": "weights of single labels in the images of a flow",
    "--label-table": "a table of labels",
    "--labels": "labels, by name, that are used",
    "--leave-out": "patients held back",
    "--loss": "the loss",
    "--lr": "peak learning rate",
    "--map-labels": "other names for labels",
    "--min-patients": "patients that something needs to be named in an output",
    "--n": "number of images to make",
    "--precision": "precision of the networks",
    "--seed": "seed of what is drawn",
    "--size": "side of the images in pixels",
    "--skip-bad": "go on after bad rows",
    "--split": "part of a data set",
    "--steps": "length in optimizer steps",
    "--synth": "an output of synthesize or edit",
    "--teacher": "an output of train-cls that reads images",
    "--text": "column of the texts",
    "--threads": "CPU threads",
    "--truncation": "truncation psi of generated images",
    "--uncertain": "what -1 means",
    "--view": "views that are used",
    "--workers": "what runs in parallel beside the work",
    "--max-tries": "tries for one image of a plan",
    "--json": "the result as JSON",
    "--quiet": "errors only",
    "--verbose": "more is said",
    "--debug": "everything is said",
}
#: Command, flag of earlier versions, flag of today.
RENAMED = [
    ("train-gan", "--keep", "--checkpoint"),
    ("synthesize", "--keep", "--keep-share"),
    ("edit", "--keep", "--feature-weight"),
    ("edit", "--features", "--feature-maps"),
    ("edit", "--batch", "--relevance-batch"),
    ("prepare", "--labels", "--join-labels"),
    ("prepare", "--split", "--split-by"),
    ("extract-reports", "--labels", "--join-labels"),
    ("finetune-clip", "--targets", "--positives"),
    ("evaluate classifiers", "--images", "--image-report"),
    ("evaluate classifiers", "--include-text", "--include-ids"),
    ("evaluate labels", "--blank", "--blank-as"),
]


def options() -> Iterator[tuple[tuple[str, ...], type, configs.Field]]:
    """Every option of every command: its words, the Config and the field."""
    for words, module in MODULES.items():
        for field in configs.fields_of(module.Config):
            if not field.meta.positional:
                yield words, module.Config, field


def another(field: configs.Field) -> Any:
    """A value that is not the default, as `resolve` gives it."""
    meta: Any = field.meta
    if field.kind is bool:
        return not field.default
    if field.kind in (int, float):
        low = 0 if meta.min is None else meta.min
        high = low + 2 if meta.max is None else meta.max
        one = next(field.kind(v) for v in (high, low + 1, low) if field.kind(v) != field.default)
    else:
        choices = getattr(meta, "choices", None) or ("x",)
        one = next(field.kind(v) for v in choices if v != field.default)
    return (one,) if field.many else one


def setting(field: configs.Field, condition: Any, *, holds: bool) -> dict[str, Any]:
    """A value of a field with which a condition holds, or does not hold."""
    values = condition.values if isinstance(condition, configs.AnyBut) else condition
    choices = getattr(field.meta, "choices", None) or ()
    candidates = [another(field), *values, *choices]
    candidates = candidates if field.required else [field.default, *candidates]
    for value in candidates:
        one = value[0] if isinstance(value, tuple) and value else value
        inside = (one if one != () else None) in values
        if (inside != isinstance(condition, configs.AnyBut)) == holds:
            return {field.name: (value,) if field.many and value == one and one else value}
    raise AssertionError(f"no such value of {field.flag}")


CONDITIONS = [
    pytest.param(words, config, field, other, id=f"{'-'.join(words)} {field.flag} {other}")
    for words, config, field in options()
    for other in getattr(field.meta, "only", {})
]


@pytest.mark.parametrize(("words", "config", "field", "other"), CONDITIONS)
def test_an_option_is_refused_where_it_does_not_apply(
    words: tuple[str, ...], config: Any, field: configs.Field, other: str, capsys: Any
) -> None:
    fields = {f.name: f for f in configs.fields_of(config)}
    only = getattr(field.meta, "only", {})
    given = {f.name: another(f) for f in fields.values() if f.required}
    given[field.name] = another(field)
    for name in only:
        given |= setting(fields[name], only[name], holds=True)
        for deeper, condition in getattr(fields[name].meta, "only", {}).items():
            given |= setting(fields[deeper], condition, holds=True)
    refuse_what_does_not_apply(config(**given))
    # Without what is refused itself beside the other value.
    own = {name for name in only if other in getattr(fields[name].meta, "only", {})}
    wrong = {name: value for name, value in given.items() if name not in own}
    wrong |= setting(fields[other], only[other], holds=False)
    with pytest.raises(UsageError) as caught:
        refuse_what_does_not_apply(config(**wrong))
    # One that it applies beside may be refused first.
    flag, _, _ = caught.value.message.partition(" applies only with")
    assert flag in [fields[name].flag for name in (field.name, *only)]
    assert fields[other].shown in caught.value.message
    argv = [*words, *command_line(fields, wrong), "-o", "never"]
    assert cli.main(argv) == 2
    assert "applies only with" in capsys.readouterr().err
    assert not Path("never").exists()


def command_line(fields: dict[str, configs.Field], values: dict[str, Any]) -> list[str]:
    """Values as a person types them."""
    argv: list[str] = []
    for name, value in values.items():
        field = fields[name]
        for one in value if isinstance(value, tuple) else (value,):
            if field.meta.positional:
                argv[:0] = [] if one is None else [str(one)]
            elif field.kind is bool:
                argv += [field.flag] if one else [f"--no-{field.flag[2:]}"]
            elif one is not None:
                argv += [field.flag, str(one)]
    return argv


def test_a_record_with_defaults_is_no_reason_to_refuse() -> None:
    config = resolve(MODULES["train-gan",].Config, {"data": "x", "arch": "dcgan"})
    record = to_record(config)
    assert record["loss"] == "ns-r1"  # which dcgan has not
    past = from_record(type(config), record)
    assert resolve(type(config), past).arch == "dcgan"


@pytest.mark.parametrize("words", MODULES, ids=" ".join)
def test_conditions_and_old_names_are_those_of_fields(words: tuple[str, ...]) -> None:
    fields = {field.name: field for field in configs.fields_of(MODULES[words].Config)}
    for field in fields.values():
        if not field.meta.positional:
            assert set(field.meta.only) <= set(fields) - {field.name}
            assert field.meta.was not in fields
    several: dict[str, list[configs.Field]] = {}
    for field in fields.values():
        several.setdefault(field.record, []).append(field)
    for one, two in (pair for same in several.values() for pair in combinations(same, 2)):
        conditions = getattr(one.meta, "only", {}), getattr(two.meta, "only", {})
        assert any(
            not set(conditions[0][name]) & set(conditions[1][name])
            for name in conditions[0].keys() & conditions[1].keys()
        ), f"{one.flag} and {two.flag} may be given together, and have one name on record"


def shown(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main([*words, "--help"]) == 0
    text: str = capsys.readouterr().out
    return text


@pytest.mark.parametrize("words", MODULES, ids=" ".join)
def test_help_says_what_a_command_does_and_its_example_runs(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    module: Any = MODULES[words]
    first, *more = re.split(r"\n\s*\n", module.Config.__doc__.strip())
    assert first.endswith(".")
    assert len(more) >= 2, "a sentence, an explanation, an example"
    example = more[-1].strip()
    assert example.startswith("Example: cxr ")
    calls: list[Any] = []
    monkeypatch.setattr(cli, "perform", lambda _, flags, common: calls.append((flags, common.out)))
    monkeypatch.setattr(module, "main", lambda config, stages: calls.append(None), raising=False)
    assert cli.main(shlex.split(example.removeprefix("Example: cxr "))) == 0
    assert len(calls) == 1
    if calls[0] is not None:
        assert resolve(module.Config, calls[0][0])
        assert calls[0][1] is not None


def test_commands_stand_in_groups(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    text = shown((), monkeypatch, capsys)
    groups = [group for group in (cli.STUDY, cli.TOOLS) if f"\n{group}:\n" in text]
    wanted = {command.group for command in cli.COMMANDS.values()}
    assert groups == [group for group in (cli.STUDY, cli.TOOLS) if group in wanted]
    assert text.count("\n  evaluate ") == 1


def test_a_flag_of_several_commands_has_one_meaning() -> None:
    texts: dict[str, dict[str, str]] = {}
    for words, _, field in options():
        texts.setdefault(field.flag, {})[" ".join(words)] = field.meta.help
    several = {flag for flag, help in texts.items() if len(set(help.values())) > 1}
    assert several <= set(SHARED), "give it a name of its own, or say what it means everywhere"


@pytest.mark.parametrize(("command", "old", "new"), RENAMED, ids=lambda word: word)
def test_old_spellings_name_the_new_one(
    command: str, old: str, new: str, tmp_path: Path, capsys: Any
) -> None:
    module: Any = MODULES[tuple(command.split())]
    assert cli.main([*command.split(), "x", old, "1", "-o", str(tmp_path / "out")]) == 2
    assert f"{old} is called {new} now" in capsys.readouterr().err
    study = tmp_path / "study.toml"
    study.write_text(f'[{module.NAME}]\n"{old[2:]}" = "x"\n')
    words = [*command.split(), "x", "--config", str(study), "-o", str(tmp_path / "out")]
    assert cli.main(words) == 2
    assert f"{old} is called {new} now" in capsys.readouterr().err
    (field,) = (f for f in configs.fields_of(module.Config) if f.flag == new)
    record = tmp_path / "run.json"
    value = another(field)
    value = [str(v) for v in value] if field.many else value
    record.write_text(json.dumps({"stage": module.NAME, "config": {field.record: value}}))
    assert field.record == old[2:].replace("-", "_")
    assert load_file(record, module.NAME, module.Config, []) == {field.name: value}


def test_messages_name_only_flags_that_exist() -> None:
    known = {field.flag for _, _, field in options()}
    known |= {f"--no-{flag[2:]}" for flag in known} | {"--no", "--help", "--help-all", "--version"}
    for config in (configs.Common, configs.Talk):
        known |= {field.flag for field in configs.fields_of(config)}
    package = Path(cli.__file__).parent
    for path in sorted(set(package.rglob("*.py")) - {package / "pages/figures.py"}):  # of CSS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", node.value))
                assert flags <= known, f"{path}, line {node.lineno}"


@pytest.mark.parametrize(
    ("argv", "instead"),
    [
        (["synthesize", "a", "b", "--merge"], "cxr merge"),
        (["synthesize", "--replay", "x"], "cxr replay"),
        (["synthesize", "x", "--only", "3"], "cxr replay"),
        (["edit", "x", "--clip", "x", "--strength", "2"], "--alpha [with --method global"),
        (["edit", "x", "--clip", "x", "--keep-others", "2"], "entanglement.csv"),
    ],
)
def test_what_is_gone_or_became_several_says_what_to_do(
    argv: list[str], instead: str, capsys: Any
) -> None:
    assert cli.main([*argv, "-o", "never"]) == 2
    assert instead in capsys.readouterr().err


def test_an_old_record_of_what_became_several_is_read() -> None:
    config = MODULES["edit",].Config
    for method, name in (("latent", "text_weight"), ("global", "alpha")):
        record = {"method": method, "strength": [1.5]}
        past = from_record(config, {"gan": "g", "clip": "c", "n": 1, "target": ["x"], **record})
        assert past[name] == [1.5]
        built = resolve(config, past)
        assert result_options(built)["strength"] == [1.5]
        assert from_record(config, to_record(built))[name] == [1.5]


def test_a_plan_shows_the_names_of_today() -> None:
    values = {"source": "x.csv", "format": "table", "split_by": "none"}
    config = resolve(MODULES["prepare",].Config, values)
    assert to_plan(config)["split_by"] == to_record(config)["split"] == "none"
    assert "split" not in to_plan(config)
