"""From labels that occur together to one label per image."""

from __future__ import annotations

import numpy as np
import pytest

from cxrtool.core.errors import InputError, UsageError
from cxrtool.generators.conditions import RULES, reduce_labels, require_single

#: Labels A, B, C and another one that is not asked for.
ROWS = "1000 0100 0010 1100 0110 0101 0000 0001"
TABLE = np.array([[int(cell) for cell in row] for row in ROWS.split()], np.float32)
NAMES, COLUMNS = ("A", "B", "C"), (0, 1, 2)


@pytest.mark.parametrize(
    ("rule", "rows", "classes"),
    [
        ("exactly-one", [0, 1, 2], "ABC"),
        ("one-of-chosen", [0, 1, 2, 5], "ABCB"),
        ("rarest", [0, 1, 2, 3, 4, 5], "ABCACB"),  # A and C are two each, B is four
    ],
)
def test_rules(rule: str, rows: list[int], classes: str) -> None:
    found = reduce_labels(TABLE, NAMES, COLUMNS, rule, "data")
    assert found.rows.tolist() == rows
    assert "".join(NAMES[k] for k in found.values.argmax(axis=1)) == classes
    assert (found.values.sum(axis=1) == 1).all()
    assert found.dropped == len(TABLE) - len(rows)


def test_a_class_that_loses_all_its_rows_is_named() -> None:
    with pytest.raises(InputError, match="exactly-one leaves no row of 'A'") as caught:
        reduce_labels(TABLE[[1, 2, 3]], NAMES, COLUMNS, "exactly-one", "data")
    assert all(rule in str(caught.value.hint) for rule in RULES)


def test_a_rule_is_asked_for_only_where_labels_occur_together() -> None:
    values = TABLE[:, :3]
    with pytest.raises(UsageError, match=r"\(4 of 8 training rows have none or several\)"):
        require_single("multilabel", values, values >= 0, None, "bagan")
    require_single("multilabel", values, values >= 0, "rarest", "bagan")
    require_single("single", values, values >= 0, None, "bagan")
