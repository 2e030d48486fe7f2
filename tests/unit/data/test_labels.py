"""What 1, 0, -1 and blank mean under every policy, and names of labels and views."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrtool.core.errors import InputError, UsageError
from cxrtool.data.labels import (
    CHEXPERT,
    LabelPolicy,
    are_views,
    label_arrays,
    label_codes,
    label_positions,
)
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.maps import applied, builtin, builtin_names, canonical, load_map
from cxrtool.data.options import PolicyOptions

CELLS = ["1", "0", "-1", ""]


@pytest.fixture
def data(make_dataset: Callable[..., Path]) -> Dataset:
    path = make_dataset(
        {"patient_id": list("abcd"), "Edema": CELLS, "Fracture": CELLS, "Mass": [""] * 4},
        labels=("Edema", "Fracture", "Mass"),
        covered=(True, True, False),
    )
    return load_dataset(path)


@pytest.mark.parametrize(
    ("uncertain", "blank", "values", "mask"),
    [
        ("ones", "zeros", [1, 0, 1, 0], [1, 1, 1, 1]),
        ("zeros", "zeros", [1, 0, 0, 0], [1, 1, 1, 1]),
        ("ignore", "zeros", [1, 0, 0, 0], [1, 1, 0, 1]),
        ("ones", "ignore", [1, 0, 1, 0], [1, 1, 1, 0]),
        ("ignore", "ignore", [1, 0, 0, 0], [1, 1, 0, 0]),
    ],
)
def test_policies(data: Dataset, uncertain: Any, blank: Any, values: Any, mask: Any) -> None:
    got, kept = label_arrays(data, None, LabelPolicy(uncertain, blank))
    assert got.dtype == np.float32
    assert kept.dtype == bool
    for column in (0, 1):
        assert got[:, column].tolist() == values
        assert kept[:, column].tolist() == [bool(m) for m in mask]


def test_uncovered_labels_are_masked_whatever_the_policy(data: Dataset) -> None:
    for uncertain in ("ones", "zeros", "ignore"):
        for blank in ("zeros", "ignore"):
            values, mask = label_arrays(data, None, LabelPolicy(uncertain, blank))
            assert not mask[:, 2].any()
            assert not values[:, 2].any()


def test_rows_are_taken_in_their_order(data: Dataset) -> None:
    values, _ = label_arrays(data, np.array([2, 1]), LabelPolicy())
    assert values[:, 0].tolist() == [1, 0]
    assert label_codes(data, np.array([3, 0]))[:, 0].tolist() == [-2, 1]


def test_policy_for_each_label_from_a_file(data: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('default = "zeros"\n"Fracture" = "ignore"\n')
    policy = LabelPolicy.from_options(PolicyOptions(uncertain=str(file)))
    values, mask = label_arrays(data, None, policy)
    assert values[2].tolist() == [0, 0, 0]
    assert mask[2].tolist() == [True, False, False]
    again = LabelPolicy.from_json(policy.to_json())
    assert again.to_json() == policy.to_json()
    assert policy.difference(again) is None
    assert "--uncertain" in str(policy.difference(LabelPolicy()))
    file.write_text('"Nonsense" = "ones"\n')
    with pytest.raises(InputError, match="Nonsense"):
        label_arrays(data, None, LabelPolicy.from_options(PolicyOptions(uncertain=str(file))))


def test_wrong_policies(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a policy nor a file"):
        LabelPolicy.from_options(PolicyOptions(uncertain="twos"))
    file = tmp_path / "policy.toml"
    file.write_text('Edema = "twos"\n')
    with pytest.raises(InputError, match="'twos' is not a policy") as caught:
        LabelPolicy.from_options(PolicyOptions(uncertain=str(file)))
    assert caught.value.column == "Edema"
    file.write_text("= no toml")
    with pytest.raises(InputError, match="TOML"):
        LabelPolicy.from_options(PolicyOptions(uncertain=str(file)))


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Effusion", "Pleural Effusion"),
        ("pleural_effusion", "Pleural Effusion"),
        ("Pleural_Thickening", "Pleural Thickening"),
        ("LUNG OPACITY", "Lung Opacity"),
        ("glioma", "glioma"),
    ],
)
def test_canonical_names(spelling: str, name: str) -> None:
    assert canonical(spelling) == name


def test_chexpert_names_are_their_own_canonical_form() -> None:
    assert [canonical(name) for name in CHEXPERT] == list(CHEXPERT)


def test_built_in_maps_lead_to_canonical_names() -> None:
    for name in builtin_names():
        for new in builtin(name).values():
            assert canonical(new) == new, (name, new)


def test_map_files(tmp_path: Path) -> None:
    assert load_map("nih")["Effusion"] == "Pleural Effusion"
    file = tmp_path / "map.toml"
    file.write_text('[labels]\n"a" = "b"\n')
    assert load_map(str(file)) == {"a": "b"}
    file.write_text('[labels]\n"a" = 3\n')
    with pytest.raises(InputError, match="no table"):
        load_map(str(file))
    with pytest.raises(UsageError, match="built-in"):
        load_map("nowhere")


def test_label_positions_accept_other_spellings() -> None:
    labels = ("Edema", "Effusion")
    assert label_positions(labels, ["Pleural Effusion", "Edema"]) == [1, 0]
    with pytest.raises(InputError, match="unknown label 'Nonsense'") as caught:
        label_positions(labels, ["Nonsense"])
    assert "Edema, Effusion" in str(caught.value.hint)


def test_views() -> None:
    names = ["PA", "ap", "AP supine", "FRONTAL", "LATERAL", "LL", "", "OBLIQUE"]
    assert are_views(names, "frontal").tolist() == [True] * 4 + [False] * 4
    assert are_views(names, "lateral").tolist() == [False] * 4 + [True] * 2 + [False] * 2


@pytest.mark.parametrize("spell", [str, str.lower, str.upper, lambda name: name.replace(" ", "_")])
def test_a_map_applies_whatever_the_case(spell: Callable[[str], str]) -> None:
    names = load_map("synonyms")
    labels = {spell(old): new for old, new in names.items()}
    assert applied(names, labels) == labels
    assert applied({"mass": "A", "Mass": "B"}, ["Mass", "MASS", "mass", "other"]) == {
        "Mass": "B",
        "MASS": "A",
        "mass": "A",
    }
