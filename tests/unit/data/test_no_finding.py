"""No Finding beside findings: which labels deny it, what is withdrawn, what is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cxrtool.data.labels import Settled, contradictions, findings, join_labels, nothing_found


def join(before: dict[str, str], read: dict[str, str], mode: str = "fill") -> dict[str, str]:
    table = pd.DataFrame({name: [cell] for name, cell in before.items()}, dtype=object)
    cells = {name: np.array([cell], dtype=object) for name, cell in read.items()}
    joined, _ = join_labels(table, cells, np.array([True]), mode)
    found: dict[str, str] = joined.iloc[0].to_dict()
    return found


def test_all_but_devices_are_findings() -> None:
    labels = ("Normal", "No Finding", "Edema", "support_devices", "Own", "Mass")
    assert nothing_found(labels) == ("Normal", "No Finding")
    assert findings(labels) == ("Edema", "Own", "Mass")


NONE = "No Finding"


@pytest.mark.parametrize(
    ("before", "read", "mode", "expected"),
    [
        # The report finds something where the source says that nothing is found; and the reverse.
        ({NONE: "1", "Edema": ""}, {NONE: "", "Edema": "1"}, "fill", ""),
        ({NONE: "", "Edema": "1"}, {NONE: "1", "Edema": ""}, "fill", ""),
        ({NONE: "1", "Edema": ""}, {NONE: "", "Edema": "-1"}, "fill", ""),
        ({NONE: "", "Edema": "-1"}, {NONE: "1", "Edema": "0"}, "fill", ""),
        # What the source denies is not filled, so nothing is there.
        ({NONE: "1", "Edema": "0"}, {NONE: "", "Edema": "1"}, "fill", "1"),
        ({NONE: "", "Edema": "0"}, {NONE: "1", "Edema": "0"}, "fill", "1"),
        # Labels that the report does not know.
        ({NONE: "0", "Mass": "1"}, {NONE: "1", "Edema": "0"}, "replace", "0"),
        ({NONE: "", "Own": "1"}, {NONE: "1"}, "fill", ""),
        ({"Normal": "1"}, {NONE: "", "Edema": "1"}, "fill", ""),
        # Devices are no finding.
        ({NONE: "1", "Support Devices": ""}, {NONE: "", "Support Devices": "1"}, "fill", "1"),
        ({NONE: "1", "Edema": ""}, {"Edema": "1"}, "replace", ""),
        ({NONE: "1", "Edema": "1"}, {NONE: "1", "Edema": "0"}, "replace", "1"),
        # What was read takes the place of what is withdrawn.
        ({NONE: "1", "Edema": "1"}, {NONE: "0"}, "fill", "0"),
    ],
)
def test_cases(before: dict[str, str], read: dict[str, str], mode: str, expected: str) -> None:
    found = join(before, read, mode)
    assert found[NONE if NONE in before else "Normal"] == expected
    assert found.get(NONE) != "1" or "1" not in [v for k, v in found.items() if k in findings([k])]


def test_what_is_said() -> None:
    before = pd.DataFrame(
        {NONE: ["1", "", "", "1", "1"], "Edema": ["", "1", "", "-1", "1"]}, dtype=object
    )
    read = {
        NONE: np.array(["", "1", "1", "", ""], dtype=object),
        "Mass": np.array(["1", "0", "0", "", ""], dtype=object),
    }
    touched = np.array([True] * 4 + [False])
    joined, settled = join_labels(before, read, touched, "fill")
    assert joined[NONE].tolist() == ["", "", "1", "", "1"]  # the last row was not touched
    assert settled == Settled(1, 2, 1, 1, {"Edema": 2, "Mass": 1})
    assert settled.sentences() == [
        "No Finding: 1 filled from reports, 2 withdrawn (1 beside one before too) and 1 not taken"
        " because a finding is 1 or -1 (Edema 2, Mass 1)"
    ]
    assert Settled().sentences() == []
    assert contradictions(joined, (NONE, "Edema", "Mass")) == (
        1,
        "1 image has No Finding 1 beside a finding in the source (Edema 1), which is left as it is",
    )
    assert contradictions(joined, ("Edema", "Mass")) == (0, "")
    assert contradictions(joined, ()) == (0, "")
