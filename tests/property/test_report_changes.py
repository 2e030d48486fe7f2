"""What changes the look of a report and not its meaning changes no label.

Each change of `tests.report_changes` is tried on 300 reports. `python -m tests.report_changes`
prints the shares, and with the name of a change its examples.
"""

from __future__ import annotations

import functools
import re

import pytest

from tests.report_changes import CHANGES, Reader, open_i_archive, outcome, parts, reports, write

#: Changes under which more labels differ than may. What is mended has to leave this set.
OPEN: frozenset[str] = frozenset()
#: Without Open-i's reports a share is another one.
STRICT = open_i_archive() is not None


@functools.cache
def texts() -> tuple[str, ...]:
    return tuple(reports())


@functools.cache
def reader() -> Reader:
    return Reader()


def _open(name: str) -> list[pytest.MarkDecorator]:
    if name not in OPEN:
        return []
    return [pytest.mark.xfail(strict=STRICT, raises=AssertionError, reason="not mended yet")]


@pytest.mark.parametrize("name", [pytest.param(name, marks=_open(name)) for name in CHANGES])
def test_a_change_that_keeps_the_meaning_keeps_the_labels(name: str) -> None:
    change = CHANGES[name]
    found = outcome(change.apply, texts(), reader())
    examples = "\n".join(found.examples())
    assert found.share <= change.budget, (
        f"{name}: the labels of {len(found.differences)} of {found.applied} reports differ "
        f"({found.share:.1%}, at most {change.budget:.0%} may; {found.skipped} are left as they "
        f"are)\n{examples}"
    )


def test_there_are_300_reports_and_their_labels_are_of_all_values() -> None:
    assert len(texts()) == len(set(texts())) == 300
    values = {value for text in texts() for value in reader()(text).values()}
    assert values == {1, 0, -1, None}
    assert CHANGES.keys() >= OPEN


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_applies_to_many_reports_and_depends_on_the_text_alone(name: str) -> None:
    apply = CHANGES[name].apply
    changed = [apply(text) for text in texts()]
    assert changed == [apply(text) for text in texts()]
    assert sum(new != old for new, old in zip(changed, texts())) >= 40


def test_the_parts_of_a_report_hold_all_of_its_words() -> None:
    for text in texts():
        assert re.findall(r"[^\W\d]{2,}", write(parts(text))) == re.findall(r"[^\W\d]{2,}", text)
