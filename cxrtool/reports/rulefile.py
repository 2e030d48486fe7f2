"""Reads one rule file, so that a mistake in it can be named with its line.

In: a TOML file. Out: its entries (``[[rule]]``, ``[[cue]]``, ``[[remove]]``) and the other tables,
each with the lines of its keys, which the parser of the standard library does not keep.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxrtool.core.errors import InputError
from cxrtool.core.reading import read_text

ENTRIES = ("rule", "cue", "remove")
ATTRIBUTES = "attributes.toml"  # read by ``attribute_rules``, not with the labeler's rules
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_TOKEN = re.compile(
    r'^[ \t]*(?P<key>[\w-]+|"[^"\n]+")(?=[ \t]*=)'
    r'|(?P<text>"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\')'
    r"|(?P<comment>#[^\n]*)"
    r"|^[ \t]*(?P<head>\[\[?[\w. \t-]+\]\]?)",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Entry:
    """A table of a rule file.

    Attributes:
        table: What the parser read.
        file: The file.
        line: Line of the table's header.
        lines: Key -> the line of the key, then those of its texts in order.
    """

    table: dict[str, Any]
    file: Path
    line: int = 1
    lines: dict[str, list[int]] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id, or what stands for it where it is wrong."""
        name = self.table.get("id")
        return name if isinstance(name, str) else ""

    def error(
        self, message: str, key: str = "", number: int = -1, hint: str | None = None
    ) -> InputError:
        """An error that names file, line and id.

        Args:
            message: What is wrong.
            key: The key that is at fault.
            number: Which text of its list, from 0.
            hint: The next step for the user.
        """
        lines = self.lines.get(key) or [self.line]
        line = lines[number + 1] if number + 1 < len(lines) else lines[0]
        who = f"rule {self.id!r}: " if self.id else ""
        return InputError(f"line {line}: {who}{message}", file=self.file, hint=hint)

    def texts(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        """A text or a list of texts as a tuple.

        Raises:
            InputError: It is something else, an empty text, or missing although required.
        """
        value = self.table.get(key, [])
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise self.error(f"{key!r} must be text or a list of texts", key)
        if required and not value:
            raise self.error(f"{key!r} is missing", key)
        for number, text in enumerate(value):
            if not text.strip():
                raise self.error(f"a text of {key!r} is empty", key, number)
        return tuple(value)

    def text(self, key: str, default: str) -> str:
        """One text.

        Raises:
            InputError: It is something else.
        """
        value = self.table.get(key, default)
        if not isinstance(value, str):
            raise self.error(f"{key!r} must be text", key)
        return value

    def choice(self, key: str, default: str, choices: tuple[str, ...]) -> str:
        """One text of a few.

        Raises:
            InputError: It is none of them.
        """
        value = self.text(key, default)
        if value not in choices:
            what = f"{key} is {value!r}" if value else f"{key!r} is missing"
            raise self.error(what, key, hint=f"known: {', '.join(choices)}")
        return value

    def check_id(self, others: Mapping[str, Entry]) -> None:
        """Refuses an entry without an id, or with that of another one.

        Raises:
            InputError: It is such an entry.
        """
        if not self.id:
            raise self.error("the entry has no id (a text)", "id")
        if other := others.get(self.id):
            where = f"the other stands in {other.file.name}, line {other.line}"
            raise self.error("the id is used twice", "id", hint=where)

    def check_keys(self, keys: tuple[str, ...]) -> None:
        """Refuses keys that mean nothing.

        Raises:
            InputError: There is such a key.
        """
        for key in self.table:
            if key not in keys:
                raise self.error(f"unknown key {key!r}", key, hint=f"known: {', '.join(keys)}")


@dataclass(frozen=True)
class RuleFile:
    """A rule file, taken apart.

    Attributes:
        top: Everything that stands outside the entries.
        tables: The tables of that name, such as ``[classes]``; empty ones where there are none.
        entries: The entries by kind, in order.
    """

    top: Entry
    tables: dict[str, Entry]
    entries: dict[str, list[Entry]]


def read_rule_file(
    path: Path, tables: tuple[str, ...], kinds: tuple[str, ...] = ENTRIES
) -> RuleFile:
    """Reads a file.

    Args:
        path: The file.
        tables: Names of the tables that may stand beside the entries.
        kinds: Names of the entries.

    Raises:
        InputError: It cannot be read, is not TOML, or an entry or a table is something else.
    """
    try:
        text = read_text(path)
        document = tomllib.loads(text)
    except OSError as error:
        raise InputError(f"cannot read the rule file: {error.strerror}", file=path) from error
    except UnicodeDecodeError as error:
        raise InputError("the rule file is not UTF-8 text", file=path) from error
    except tomllib.TOMLDecodeError as error:
        at = _AT_LINE.search(str(error))
        line = at.group(1) if at else text.count("\n") + 1
        reason = _AT_LINE.sub("", str(error)).strip()
        raise InputError(f"line {line}: not a TOML file: {reason}", file=path) from error
    layout = _layout(text)
    top = Entry(document, path, 1, layout[0][2])
    entries = {kind: _entries(document, kind, path, layout, top) for kind in kinds}
    named = {}
    for name in tables:
        if not isinstance(document.get(name, {}), dict):
            raise top.error(f"write [{name}] and its keys below", name)
        place = next((part for part in layout if part[0] == f"[{name}]"), ("", 1, {}))
        named[name] = Entry(document.get(name, {}), path, place[1], place[2])
    return RuleFile(top, named, entries)


_Part = tuple[str, int, dict[str, list[int]]]  # header, its line, lines of the keys


def _layout(text: str) -> list[_Part]:
    """The tables of a TOML text in order, with the lines of their keys and texts."""
    parts: list[_Part] = [("", 1, {})]
    key: list[int] = []
    line, seen = 1, 0
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        start = match.start(kind)
        line += text.count("\n", seen, start)
        seen = start
        if kind == "head":
            parts.append(("".join(match.group(kind).split()), line, {}))
            parts[0][2].setdefault(parts[-1][0].strip("[]"), [line])
            key = []
        elif kind == "key":
            key = parts[-1][2].setdefault(match.group(kind).strip('"'), [])
            key.append(line)
        elif kind == "text":
            key.append(line)
    return parts


def _entries(
    document: dict[str, Any], kind: str, path: Path, layout: list[_Part], top: Entry
) -> list[Entry]:
    value = document.get(kind, [])
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise top.error(f"write [[{kind}]], with two brackets, and its keys below", kind)
    parts = [part for part in layout if part[0] == f"[[{kind}]]"]
    if len(parts) != len(value):  # written as inline tables
        return [Entry(v, path, top.lines.get(kind, [1])[0]) for v in value]
    return [Entry(v, path, part[1], part[2]) for v, part in zip(value, parts)]
