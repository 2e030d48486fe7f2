"""Help fits: few options first, all of them on demand, whole words; and errors in our own words."""

from __future__ import annotations

import difflib
import io
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from cxrtool import cli
from cxrtool.core import config as configs
from cxrtool.core.config import RUNNING, helptext
from cxrtool.core.config.helptext import ARGUMENTS, FIRST, SHORT, panels
from cxrtool.core.config.values import resolve
from cxrtool.version import __version__
from tests.conftest import REPOSITORY

EVERY = [pytest.param(words, id=" ".join(words)) for words in cli.COMMANDS]
GROUPS = [(), *((name,) for name in cli.GROUPS)]
OPTION = re.compile(r"^  (-[^ ].*?)(?:  |$)", re.MULTILINE)


@pytest.fixture(params=["utf-8", "ascii"])
def page(request: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The page of a command at 80 columns, in a locale with accents and in one without."""

    def shown(*words: str) -> str:
        raw = io.BytesIO()
        out = io.TextIOWrapper(raw, encoding=request.param)
        monkeypatch.setenv("COLUMNS", "80")
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", out)
            assert cli.main(list(words)) == 0
            out.flush()
        return raw.getvalue().decode(request.param)

    return shown


def joined(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("words", EVERY)
def test_plain_help_is_short_and_says_how_to_see_the_rest(words: Any, page: Any) -> None:
    text = page(*words, "--help")
    shown = OPTION.findall(text)
    assert len(shown) <= SHORT
    every = panels(*cli.options_of(cli.COMMANDS[words]))
    options = [left for name, rows in every.items() if name != ARGUMENTS for left, _ in rows]
    assert set(shown) <= set(options)
    more = len(options) - len(shown)
    line = f"{more} more options, by topic: cxr {' '.join(words)} --help-all"
    assert text.splitlines()[-1].endswith("--help-all" if more else ".")
    assert (line in text.splitlines()) == (more > 0)
    assert not more or {left for left, _ in every[FIRST]} < set(shown)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("words", EVERY)
def test_full_help_has_every_option_in_whole_words(words: Any, page: Any) -> None:
    text = page(*words, "--help-all")
    assert max(map(len, text.splitlines())) <= 80
    letters = "ascii" if text.isascii() else "utf-8"
    every = panels(*cli.options_of(cli.COMMANDS[words]))
    assert list(every)[-1] == RUNNING
    for heading, rows in every.items():
        assert f"\n{heading}:\n" in text
        for left, right in rows:
            # A word that was broken would have a space in it here.
            assert joined(helptext._in_letters_of(letters, f" {left} {right} ")) in joined(text)
    about = cli.COMMANDS[words].Config.__doc__.partition("Example:")[0]
    assert joined(helptext._in_letters_of(letters, about)) in joined(text)
    shown = " ".join(OPTION.findall(text))
    for config in cli.options_of(cli.COMMANDS[words]):
        for field in configs.fields_of(config):
            assert field.meta.positional or re.search(rf"{field.flag}(?![\w-])", shown)


@pytest.mark.parametrize("words", GROUPS, ids=" ".join)
def test_each_command_has_one_line_in_the_order_of_the_pipeline(words: Any, page: Any) -> None:
    text = page(*words, "--help")
    assert max(map(len, text.splitlines())) <= 80
    names = dict.fromkeys(w[len(words)] for w in cli.COMMANDS if w[: len(words)] == words)
    lines = [line for line in text.splitlines() if line.split()[:1] and line.split()[0] in names]
    assert [line.split()[0] for line in lines] == list(names)
    for name, line in zip(names, lines, strict=True):
        command = cli.COMMANDS.get((*words, name))
        about = command.Config.__doc__.partition("\n")[0] if command else cli.GROUPS[name]
        assert line.split(maxsplit=1)[1] == about.removesuffix(".")


def test_examples_name_no_file_of_the_repository() -> None:
    folders = {path.name for path in REPOSITORY.iterdir() if path.is_dir()} - {"data"}
    for command in cli.COMMANDS.values():
        example = command.Config.__doc__.partition("Example: ")[2]
        assert not {word.split("/")[0] for word in example.split() if "/" in word} & folders


@pytest.mark.parametrize("words", [*GROUPS, *cli.COMMANDS], ids=" ".join)
def test_cxr_help_is_the_page_of_a_command(words: Any, capsys: Any) -> None:
    for ask, flag in (([], "--help"), (["--all"], "--help-all")):
        assert cli.main(["help", *words, *ask]) == 0
        text = capsys.readouterr().out
        assert cli.main([*words, flag]) == 0
        assert capsys.readouterr().out == text


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_version(flag: str, capsys: Any) -> None:
    assert cli.main([flag]) == 0
    assert capsys.readouterr().out == f"cxr {__version__}\n"


@pytest.mark.parametrize(
    ("shell", "name"), [("bash", "cxr.bash"), ("zsh", "_cxr"), ("fish", "cxr.fish")]
)
def test_completion_prints_the_script(shell: str, name: str, capsys: Any) -> None:
    assert cli.main(["completion", shell]) == 0
    script = (REPOSITORY / "completions" / name).read_text(encoding="utf-8")
    assert capsys.readouterr().out == script


# --- errors ---------------------------------------------------------------------------------------


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any) -> Any:
    """What is said of a command line whose options are read, and nothing more."""

    def only_read(stage: Any, flags: Any, common: Any) -> None:
        past, origin = cli.past_options(stage, flags, common)
        resolve(stage.Config, past, flags, origin=origin)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "perform", only_read)
    for command in cli.COMMANDS.values():
        if not hasattr(command, "FORMAT"):
            monkeypatch.setattr(command, "main", lambda *_: None, raising=False)

    def said(*argv: str) -> tuple[int, str]:
        code = cli.main(list(argv))
        return code, capsys.readouterr().err

    return said


def typos(word: str) -> str:
    """A word with two letters changed for each other."""
    k = next(k for k in range(len(word) - 2, 0, -1) if word[k] != word[k + 1])
    return word[:k] + word[k + 1] + word[k] + word[k + 2 :]


@pytest.mark.parametrize("words", EVERY)
def test_a_slip_in_a_command_an_option_or_a_choice_names_what_was_meant(
    words: Any, wrong: Any
) -> None:
    *above, last = words
    code, text = wrong(*above, typos(last))
    assert code == 2
    assert f"did you mean {last!r}?" in text
    fields = [
        f for config in cli.options_of(cli.COMMANDS[words]) for f in configs.fields_of(config)
    ]
    flags = [field.flag for field in fields if not field.meta.positional]
    for flag in flags:
        slip = f"--{typos(flag[2:])}" if len(flag) > 5 else ""
        if not slip or slip in flags or difflib.get_close_matches(slip, flags, 1) != [flag]:
            continue
        code, text = wrong(*words, slip, "x")
        assert (code, "error: cxr") == (2, text[:10])
        assert f"did you mean {flag!r}?" in text
    for field in fields:
        choices = field.meta.choices or ()
        for choice in choices:
            slip = typos(choice) if len(choice) > 3 else ""
            if difflib.get_close_matches(slip, choices, 1) != [choice] or slip in choices:
                continue
            code, text = wrong(*words, *([slip] if field.meta.positional else [field.flag, slip]))
            assert code == 2
            assert f"did you mean {choice!r}?" in text, (field.flag, slip)


BAD = ("", "x", "-1", "0", "1.5", "nan", "1e400", "9" * 30, "a=b=c", ",", "::", "/", "\x00", "é=")
#: What libraries say, and a person does not.
FOREIGN = re.compile(
    r"this is a bug|Traceback|Value error|Input should be|unable to parse|Invalid value|No such opt"
    r"|valid (integer|float|boolean)|invalid literal|could not convert|NoneType|pydantic|click"
    r"|argument\(s\)|Error\b|Exception|not enough values|too many values|unpack|subscript"
    r"|embedded null|codec|\bstr\b|\bint\b|\bfloat\b|requires an argument"
)


@pytest.mark.parametrize("words", EVERY)
def test_bad_values_are_refused_in_our_own_words(words: Any, wrong: Any) -> None:
    fields = [
        f for config in cli.options_of(cli.COMMANDS[words]) for f in configs.fields_of(config)
    ]
    given = [(f.meta.choices or ("x",))[0] for f in fields if f.meta.positional]
    for field in fields:
        if field.meta.positional or field.name == "debug":  # which shows all there is
            continue
        lines = [[f"{field.flag}={bad}"] for bad in BAD] if field.kind is not bool else []
        for line in [*lines, [field.flag], [f"{field.flag}=maybe"], [field.flag, "x", "y", "z"]]:
            code, text = wrong(*words, *given, *line)
            assert code in (0, 2, 3), line
            first, *hints = text.splitlines() or [""]
            assert not FOREIGN.search(first), (line, text)
            assert code == 0 or first.startswith("error: "), (line, text)
            assert all(hint.startswith("  hint: ") for hint in hints), (line, text)


def test_a_parser_of_another_kind_is_not_quoted(wrong: Any) -> None:
    code, text = wrong("train-gan", "data", "more", "and more")
    assert code == 2
    assert text.startswith("error: 'more and more' is more than cxr train-gan takes")
    code, text = wrong("train-gan", "data", "--size")
    assert (code, text.splitlines()[0]) == (2, "error: --size needs a value")
    code, text = wrong("train-gan", "data", "--dry-run=1")
    assert (code, text.splitlines()[0]) == (2, "error: --dry-run takes no value")
