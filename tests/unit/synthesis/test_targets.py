"""Shares, counts and class names as they are typed."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from cxrtool.core.errors import CxrError, InputError, UsageError
from cxrtool.synthesis.targets import LabelTable, Request, parse_count, parse_share, read_request

LABELS = ("No Finding", "Edema", "Pleural Other", "Fracture", "Rarest")
VALUES = np.array(
    [[1, 0, 0, 0, 0]] * 2 + [[0, 1, 1, 0, 0]] * 3 + [[0, 1, 0, 1, 0]] * 1 + [[0, 1, 0, 0, 0]] * 14,
    dtype=np.uint8,
)


def ask(**options: Any) -> Request:
    labels, usable = options.pop("labels", LABELS), options.pop("usable", (True,) * 5)
    table = LabelTable(np.arange(len(VALUES)), labels, VALUES, usable)
    wish: dict[str, Any] = dict.fromkeys(("target_frac", "counts", "classes", "balance"))
    return read_request(table, where="D", **{**wish, **options})


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.15", "3/20"), ("3/20", "3/20"), ("0.07", "7/100"), ("1e-2", "1/100"), (" .5 ", "1/2")],
)
def test_shares_are_exact(text: str, value: str) -> None:
    assert parse_share(text) == Fraction(value)


@pytest.mark.parametrize("text", ["0", "1", "1.5", "-0.1", "nan", "inf", "abc", "", "15%", "1/0"])
def test_shares_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse_share(text)


@pytest.mark.parametrize("text", ["-1", "1.5", "many", "", "²"])
def test_counts_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse_count(text)


def test_without_classes_all_below_the_share_but_the_normal_ones() -> None:
    request = ask(target_frac="0.2")
    assert request.labels == ("Pleural Other", "Fracture")
    assert request.unavailable == ("Rarest",)
    assert request.columns == (2, 3)
    assert ask(target_frac="0.2", labels=("Normal chest", *LABELS[1:])).labels[0] == "Normal chest"


def test_uncovered_labels_are_not_chosen_and_not_accepted() -> None:
    usable = (True, True, True, False, True)
    assert ask(target_frac="0.2", usable=usable).labels == ("Pleural Other",)
    with pytest.raises(InputError, match="'Fracture' is not covered by D"):
        ask(target_frac="0.2", classes="Fracture", usable=usable)


def test_classes_come_in_the_order_of_the_table() -> None:
    request = ask(target_frac="0.5", classes="Fracture, Edema")
    assert request.labels == ("Edema", "Fracture")
    assert request.shares == (Fraction(1, 2),) * 2


def test_a_share_for_each_class() -> None:
    request = ask(target_frac="Fracture=0.1,Pleural Other=0.15")
    assert request.labels == ("Pleural Other", "Fracture")
    assert request.shares == (Fraction("0.15"), Fraction("0.1"))


def test_counts() -> None:
    assert ask(counts="Fracture=100").counts == (100,)
    request = ask(counts="7", classes="Fracture,Edema")
    assert request.counts == (7, 7)
    assert request.shares == ()


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"target_frac": "0.2", "classes": "Fractures"}, InputError, "unknown class 'Fractures'"),
        ({"target_frac": "0.2", "classes": "Rarest"}, InputError, "no positive row"),
        ({"target_frac": "0.2", "counts": "3"}, UsageError, "either"),
        ({}, UsageError, "either"),
        ({"counts": "3"}, UsageError, "needs --classes"),
        ({"target_frac": "Fracture=0.2,Fracture=0.3"}, UsageError, "twice"),
        ({"target_frac": "Fracture=0.2,0.3"}, UsageError, "NAME=VALUE"),
        ({"target_frac": "Fracture=0.2", "classes": "Edema"}, UsageError, "different classes"),
        ({"target_frac": "0.2", "classes": " , "}, UsageError, "names no label"),
        ({"target_frac": "0.2", "classes": "Edema,Edema"}, UsageError, "twice"),
    ],
)
def test_what_is_refused(options: dict[str, str], kind: type[CxrError], message: str) -> None:
    with pytest.raises(kind, match=message):
        ask(**options)


def test_a_misspelt_class_gets_the_right_one_named() -> None:
    with pytest.raises(InputError) as caught:
        ask(target_frac="0.2", classes="pleural other")
    assert caught.value.hint == "did you mean 'Pleural Other'?"
