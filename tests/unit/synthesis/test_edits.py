"""``--edit`` and ``--ensemble``: which slots are pushed along which way, and how far."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrtool.core.errors import GateError, InputError, UsageError
from cxrtool.core.runs import Run
from cxrtool.data.images import quantize
from cxrtool.data.manifest import load_dataset
from cxrtool.synthesis.edits import parse_cell, parse_shares, take_turns
from cxrtool.synthesis.slots import latents
from cxrtool.training.directions import load_direction, load_directions, save_direction
from tests.unit.synthesis.conftest import SIZE, ToyGenerator
from tests.unit.synthesis.test_filters import pixels_of
from tests.unit.synthesis.test_stage import again, content, join, make

PLAIN = {"counts": "Fracture=12,Pleural Other=9", "block": 8}


class StyleToy(ToyGenerator):
    """With a W space: two w of 96 numbers."""

    w_dim, num_ws = 96, 2

    def mapping(self, z: torch.Tensor, y: torch.Tensor, truncation: float = 1.0) -> torch.Tensor:
        w = torch.tanh(torch.cat([z * truncation, 3 * y], dim=1) @ self.first)
        return w.unsqueeze(1).expand(-1, 2, -1)

    def synthesis(self, w: torch.Tensor, noise: str = "const") -> torch.Tensor:
        return (w.mean(dim=1) @ self.second).reshape(-1, 1, SIZE, SIZE)

    def generate(
        self, z: torch.Tensor, y: torch.Tensor, truncation: float = 1.0, noise: str = "const"
    ) -> torch.Tensor:
        return self.synthesis(self.mapping(z, y, truncation), noise)


@pytest.fixture
def style(monkeypatch: pytest.MonkeyPatch) -> StyleToy:
    import cxrtool.generators

    torch.set_num_threads(1)
    toy = StyleToy()
    monkeypatch.setattr(cxrtool.generators, "load", lambda folder, device="cpu": toy)
    return toy


def write_edit(folder: Path, gan: Path, *labels: str, sign: str = "+", seed: int = 0) -> Path:
    run = Run.for_test(folder)
    way = torch.randn(2, 96, generator=torch.Generator().manual_seed(seed))
    save_direction(run, {"way": way}, target="a text", sign=sign, labels=labels, gan=gan, images=4)
    (folder / "seen.json").write_text('{"format": 1, "patients": {"toy": ["ab"]}, "pixels": []}')
    return folder


def test_images_are_pushed_as_far_as_asked(
    tmp_path: Path, data: Path, gan: Path, style: StyleToy
) -> None:
    edit = write_edit(tmp_path / "e", gan, "Fracture", "Elsewhere")
    out = tmp_path / "o"
    made = make(out, data, gan=gan, edit=(edit,), edit_strength=0.5, **PLAIN)
    found, ways = load_direction(edit)
    way = ways["way"]
    table = load_dataset(out).table
    z = torch.from_numpy(latents([int(seed) for seed in table["seed"]], 24))
    y = torch.zeros(21, 4)
    for j, label in enumerate(("Fracture", "Pleural Other", "Edema")):
        y[:, j] = torch.from_numpy((table[label] == "1").to_numpy().astype(np.float32))
    w = style.mapping(z, y)
    pushed = quantize(style.synthesis(w + 0.5 * way).clamp(-1, 1)).numpy().astype(int)
    plain = quantize(style.synthesis(w).clamp(-1, 1)).numpy().astype(int)
    images = pixels_of(out).astype(int)
    assert abs(images[9:] - pushed[9:]).max() <= 1  # Fracture: the text names it
    assert abs(images[:9] - plain[:9]).max() <= 1
    assert abs(pushed - plain).max() > 20
    assert table["edit"].tolist() == [""] * 9 + [f"+0.5 of {found.fingerprint}"] * 12
    assert load_dataset(out).info.notes["edits"][0]["target"] == "a text"
    assert "ab" in json.loads((out / "seen.json").read_text())["patients"]["toy"]
    assert made.result["summary"]["images"] == 21


def test_replay_needs_the_edit_and_shards_agree(
    tmp_path: Path, data: Path, gan: Path, style: StyleToy
) -> None:
    edits = tuple(
        write_edit(tmp_path / f"e{i}", gan, "Fracture", sign=s, seed=i) for i, s in enumerate("+-")
    )
    options = {"gan": gan, "edit": edits, "ensemble": "2,1", **PLAIN}
    whole = make(tmp_path / "whole", data, **options).folder
    cells = load_dataset(whole).table["edit"].tolist()[9:]
    assert [cell[0] for cell in cells].count("+") == 8
    assert [cell[0] for cell in cells].count("-") == 4
    parts = [make(tmp_path / f"s{i}", data, shard=f"{i}/2", **options).folder for i in (1, 2)]
    merged = join(tmp_path / "m", *parts).folder
    assert content(merged) == content(whole)
    summary = again(tmp_path / "r", whole, gan, edit=edits).result["summary"]
    assert summary["identical"] == summary["compared"] == 21
    assert summary["within_one"] == 1
    with pytest.raises(InputError, match=r"row 11, column 'edit'.*which is not given"):
        again(tmp_path / "n", whole, gan)


def test_a_run_of_several_targets_pushes_each_class_along_its_own(
    tmp_path: Path, data: Path, gan: Path, style: StyleToy
) -> None:
    several, alone = tmp_path / "several", tmp_path / "alone"
    classes = ("Fracture", "Pleural Other")
    for k, label in enumerate(classes):
        write_edit(several / "directions" / f"{k:04}", gan, label, seed=k)
        (several / "directions" / f"{k:04}" / "seen.json").rename(several / "seen.json")
    marks = {d.labels[0]: d.fingerprint for d, _ in load_directions(several)}
    made = make(tmp_path / "o", data, gan=gan, edit=(several,), **PLAIN).folder
    cells = load_dataset(made).table["edit"].tolist()
    assert cells == [f"+1.0 of {marks[c]}" for c in ("Pleural Other",) * 9 + ("Fracture",) * 12]
    assert len(load_dataset(made).info.notes["edits"]) == 2
    replayed = again(tmp_path / "r", made, gan, edit=(several,)).result["summary"]
    assert replayed["identical"] == 21

    # Beside a run of one target its share is that of the run, in each class.
    write_edit(alone, gan, "Fracture", sign="-", seed=7)
    both = {"edit": (several, alone), "ensemble": "3,1"}
    made = make(tmp_path / "b", data, gan=gan, **both, **PLAIN).folder
    cells = load_dataset(made).table["edit"].tolist()
    assert [cell[0] for cell in cells[9:]].count("-") == 3
    assert "-" not in [cell[0] for cell in cells[:9]]


def test_turns_follow_the_shares_at_every_length() -> None:
    shares = parse_shares("0.5, 0.3, 0.2", 3)
    turns = take_turns(shares, [4, 5, 6], 1000)
    for n in range(1, 1001):
        for share, value in zip(shares, (4, 5, 6), strict=True):
            assert abs(int((turns[:n] == value).sum()) - share * n) < 1
    assert parse_shares(None, 4) == (Fraction(1, 4),) * 4


@pytest.mark.parametrize("text", ["1", "1,2,3", "0.5,x", "1,0", "1,-1", ""])
def test_wrong_shares(text: str) -> None:
    with pytest.raises(UsageError, match="--ensemble"):
        parse_shares(text, 2)


@pytest.mark.parametrize("text", ["+", "0.5 of ab", "+x of ab", "+1.0 of "])
def test_damaged_cells(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_cell(text)


def test_refusals(tmp_path: Path, data: Path, gan: Path, style: StyleToy) -> None:
    other = write_edit(tmp_path / "other", tmp_path / "nowhere", "Fracture")
    stranger = write_edit(tmp_path / "stranger", gan, "Edema")
    good = write_edit(tmp_path / "good", gan, "Fracture")
    cases: tuple[tuple[dict[str, Any], type[Exception], str], ...] = (
        ({"edit": (other,)}, InputError, "belongs to the generator ''"),
        ({"edit": (stranger,)}, InputError, "names Edema and no target class"),
        ({"edit": (tmp_path,)}, InputError, "found no direction"),
        ({"ensemble": "1"}, UsageError, "applies only with --edit"),
        ({"edit": (good,), "ensemble": "1,2"}, UsageError, "not 1 positive"),
    )
    for i, (options, kind, message) in enumerate(cases):
        with pytest.raises(kind, match=message):
            make(tmp_path / f"o{i}", data, gan=gan, **options, **PLAIN)
    (good / "direction.safetensors").write_bytes(
        (stranger / "direction.safetensors").read_bytes()[:-1] + b"x"
    )
    with pytest.raises(InputError, match=r"direction"):
        make(tmp_path / "p", data, gan=gan, edit=(good,), **PLAIN)


def test_a_generator_without_w(
    tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
) -> None:
    edit = write_edit(tmp_path / "e", gan, "Fracture")
    with pytest.raises(InputError, match="no W space"):
        make(tmp_path / "o", data, gan=gan, edit=(edit,), **PLAIN)


def test_an_edit_that_saw_test_patients(
    tmp_path: Path, data: Path, gan: Path, style: StyleToy
) -> None:
    from cxrtool.data.keys import Seen

    edit = write_edit(tmp_path / "e", gan, "Fracture")
    seen = Seen.of(load_dataset(data), np.array([190]))
    patients = {k: sorted(v) for k, v in seen.patients.items()}
    (edit / "seen.json").write_text(json.dumps({"format": 1, "patients": patients, "pixels": []}))
    with pytest.raises(GateError, match="leak: "):
        make(tmp_path / "o", data, gan=gan, edit=(edit,), **PLAIN)
