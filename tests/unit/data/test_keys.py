"""The leak guard: the same patient and the same image are found, strangers are not."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrtool.core.errors import GateError, InputError
from cxrtool.core.runs import Run
from cxrtool.data.columns import FORMAT_NAMESPACES
from cxrtool.data.keys import (
    Seen,
    find_overlap,
    keyed_namespace,
    patient_keys,
    read_secret,
    refuse_overlap,
    seen_images,
    seen_rows,
)
from cxrtool.data.manifest import Dataset, load_dataset
from cxrtool.data.schema import UNNAMED


@pytest.fixture
def make(make_dataset: Callable[..., Path]) -> Callable[..., Dataset]:
    def make(people: list[str], keys: list[str], name: str, **info: Any) -> Dataset:
        table = {"patient_id": people, "pixel_key": keys}
        return load_dataset(make_dataset(table, size=None, name=name, **info))

    return make


def test_keys_depend_on_patient_namespace_and_secret() -> None:
    one = patient_keys(["1", "2", "1", ""], "a")
    assert one[0] == one[2] != one[1]
    assert one[3] == ""
    assert len(one[0]) == 16
    others = [patient_keys(["1"], "b"), patient_keys(["1"], "a", b"s" * 16)]
    assert len({one[0], *(o[0] for o in others)}) == 3
    assert keyed_namespace("a", None) == "a"
    assert keyed_namespace("a", b"s" * 16) != keyed_namespace("a", b"t" * 16) != "a"


def test_overlap_by_patient_and_by_pixels_is_refused(make: Callable[..., Dataset]) -> None:
    train = make(["p", "q"], ["k1", "k2"], "train")
    seen = Seen.of(train)
    same_patient = make(["p", "x"], ["k8", "k9"], "a")
    with pytest.raises(GateError, match=r"1 of 2 test images .* the GAN \(1 by patient\)") as error:
        refuse_overlap(seen, same_patient, None, who="the GAN", what="test")
    assert error.value.exit_code == 5
    renamed = make(["y", "x"], ["k9", "k1"], "b")
    with pytest.raises(GateError, match="1 by identical pixels"):
        refuse_overlap(seen, renamed, None, who="the GAN", what="test")
    strangers = make(["y", "x"], ["k8", "k9"], "c")
    found = refuse_overlap(seen, strangers, None, who="the GAN", what="test")
    assert found.images == 0
    assert found.comparable
    assert refuse_overlap(seen, same_patient, np.array([1]), who="", what="").of == 1


def test_other_namespaces_are_compared_by_pixels_and_said_so(
    make: Callable[..., Dataset], capsys: pytest.CaptureFixture[str]
) -> None:
    seen = Seen.of(make(["p"], ["k1"], "train"))
    other = make(["p"], ["k2"], "other", namespace="elsewhere")
    found = refuse_overlap(seen, other, None, who="the GAN", what="test")
    assert not found.comparable
    assert "cannot be compared by id" in found.note
    assert "cannot be compared by id" in capsys.readouterr().err
    copied = make(["z"], ["k1"], "copied", namespace="elsewhere")
    with pytest.raises(GateError, match="pixels"):
        refuse_overlap(seen, copied, None, who="the GAN", what="test")


FORMAT_NAMES = ["table", "folder", "dicom", "table+0a1b2c3d"]


@pytest.mark.parametrize("namespace", FORMAT_NAMES)
def test_equal_ids_under_the_name_of_a_format_are_a_caution(
    make: Callable[..., Dataset], capsys: pytest.CaptureFixture[str], namespace: str
) -> None:
    one = make(["1", "2", "3"], ["k1", "k2", "k3"], "one", namespace=namespace)
    other = make(["1", "2", "9"], ["k4", "k5", "k6"], "other", namespace=namespace)
    found = refuse_overlap(Seen.of(one), other, None, who="the GAN", what="test")
    assert (found.images, found.doubtful, found.comparable) == (0, 2, False)
    assert "2 of 3 have the id" in found.note
    assert "--namespace" in capsys.readouterr().err
    assert not seen_rows(Seen.of(one), other).any()
    # An image of one patient in both says whose ids these are: then all of them count.
    other.table["pixel_key"] = ["k1", "k5", "k6"]
    with pytest.raises(GateError, match="2 by patient and 1 by identical pixels"):
        refuse_overlap(Seen.of(one), other, None, who="the GAN", what="test")
    # The same image under another id says nothing about the ids.
    other.table["pixel_key"] = ["k4", "k5", "k1"]
    with pytest.raises(GateError, match=r"leak: 1 of 3 .*\(1 by identical pixels\)"):
        refuse_overlap(Seen.of(one), other, None, who="the GAN", what="test")


@pytest.mark.parametrize("namespace", ["st-mary", "chexpert", "tables", "nih+0a1b2c3d"])
def test_equal_ids_of_a_named_hospital_are_a_leak(
    make: Callable[..., Dataset], namespace: str
) -> None:
    one = make(["1", "2", "3"], ["k1", "k2", "k3"], "one", namespace=namespace)
    other = make(["1", "2", "9"], ["k4", "k5", "k6"], "other", namespace=namespace)
    with pytest.raises(GateError, match="2 by patient"):
        refuse_overlap(Seen.of(one), other, None, who="the GAN", what="test")


@pytest.mark.parametrize("namespace", ["table", "st-mary"])
def test_what_two_networks_share(namespace: str) -> None:
    def seen(people: str, pixels: str) -> Seen:
        return Seen({namespace: frozenset(people)}, frozenset(pixels))

    sure = namespace == "st-mary"
    assert seen("ab", "x").shared(seen("bc", "y")) == ((1, 0, 0) if sure else (0, 0, 1))
    assert seen("ab", "x").shared(seen("bc", "xy")) == (1, 1, 0)
    assert seen("ab", "x").shared(seen("bc", "y"), same_people=True) == (1, 0, 0)
    assert seen("a", "x").shared(seen("b", "y")) == (0, 0, 0)


@pytest.mark.parametrize("form", sorted(FORMAT_NAMESPACES))
def test_the_name_of_a_format_is_the_default_of_its_reader(form: str) -> None:
    module = importlib.import_module(f"cxrtool.data.sources.{form}")
    assert f'namespace="{form}"' in inspect.getsource(module)


def test_without_patient_ids_disjointness_is_not_shown(make: Callable[..., Dataset]) -> None:
    seen = Seen.of(make(["", ""], ["k1", "k2"], "train", patients=False))
    assert seen.patients == {}
    data = make([""], ["k3"], "test", patients=False)
    assert "not shown" in find_overlap(seen, data).note


def in_part(people: list[str]) -> dict[str, Any]:
    """What ``dataset.json`` says of a set in which some images have no patient id."""
    return {"patients": False, "notes": {UNNAMED: people.count("")}}


@pytest.mark.parametrize(
    ("trained", "tested", "said"),
    [
        (["p", "q"], ["r", ""], "1 of 2 have no patient id"),
        (["p", ""], ["r", "s"], "some training images have no patient id"),
        (["p", ""], ["r", ""], "1 of 2 have no patient id"),
        (["p", "q"], ["r", "s"], ""),
    ],
)
def test_where_some_images_have_no_patient_id_the_others_are_compared_by_it(
    make: Callable[..., Dataset], tmp_path: Path, trained: list[str], tested: list[str], said: str
) -> None:
    def dataset(people: list[str], name: str, same: str = "") -> Dataset:
        ids = [same or people[0], *people[1:]]
        return make(ids, [name + "1", name + "2"], name, **in_part(ids) if "" in ids else {})

    run = Run.for_test(tmp_path / "run")
    Seen.of(dataset(trained, "a")).save(run)
    seen = Seen.load(run.dir)
    assert seen.merge(Seen()) == Seen().merge(seen) == seen
    overlap = find_overlap(seen, dataset(tested, "b"))
    assert (overlap.images, overlap.in_part) == (0, bool(said))
    assert overlap.note.startswith(said)
    assert bool(overlap.note) == bool(said)
    with pytest.raises(GateError, match=r"1 by patient"):
        refuse_overlap(seen, dataset(tested, "c", same="p"), None, who="the GAN", what="test")


def test_blank_keys_match_nothing(make: Callable[..., Dataset]) -> None:
    seen = Seen.of(make([""], [""], "train"))
    assert seen.pixels == frozenset()
    assert find_overlap(seen, make([""], [""], "test")).images == 0


def test_rows_are_seen_by_patient_by_pixels_and_by_what_belongs_to_them(
    make: Callable[..., Dataset],
) -> None:
    data = make(["p", "q", "", "", "", ""], ["k1", "k2", "k3", "k4", "k5", ""], "data")
    by_patient = Seen.of(make(["p"], ["k9"], "a"))
    assert seen_rows(by_patient, data).tolist() == [True] + [False] * 5
    by_pixels = Seen.of(make(["z"], ["k2"], "b"))
    assert seen_rows(by_pixels, data).tolist() == [False, True] + [False] * 4
    assert seen_rows(by_pixels, data, np.array([2, 1])).tolist() == [False, True]
    assert seen_images(by_pixels, data).tolist() == [False, True] + [False] * 4
    assert not seen_images(by_patient, data).any()
    data.table["study_id"] = ["", "", "s", "s", "t", "t"]
    of_study = Seen(pixels=frozenset({"k4"}))
    assert seen_rows(of_study, data).tolist() == [False, False, True, True, False, False]
    assert seen_images(of_study, data).tolist() == [False] * 3 + [True] + [False] * 2
    found = find_overlap(of_study, data, np.array([2, 4, 5]))
    assert (found.images, found.by_patient, found.by_pixels, found.by_study) == (1, 0, 0, 1)
    with pytest.raises(
        GateError, match=r"1 of 3 test .*\(1 by the study or the copies of an image"
    ):
        refuse_overlap(of_study, data, np.array([2, 4, 5]), who="the GAN", what="test")


@pytest.mark.parametrize("column", ["pixel_key", "prepared_key"])
@pytest.mark.parametrize("kind", ["pixels", "prepared"])
def test_either_key_of_an_image_is_compared_with_either_key_that_was_seen(
    make: Callable[..., Dataset], column: str, kind: str
) -> None:
    data = make(["p", "q"], ["k1", "k2"], "data")
    data.table["prepared_key"] = ["q1", "q2"]
    key = data.table[column].iloc[1]
    keys: dict[str, Any] = {kind: frozenset({key})}
    assert seen_rows(Seen(**keys), data).tolist() == [False, True]
    assert Seen.of(data).looks == {"k1", "k2", "q1", "q2"}
    assert Seen.of(data, np.array([0])).prepared == {"q1"}


def test_a_file_of_an_earlier_version_knows_no_prepared_pixels(
    make: Callable[..., Dataset], tmp_path: Path
) -> None:
    (tmp_path / "seen.json").write_text('{"format": 1, "patients": {"n": ["a"]}, "pixels": ["b"]}')
    assert Seen.load(tmp_path) == Seen({"n": frozenset("a")}, frozenset("b"))


def test_seen_is_saved_sorted_merged_and_loaded(
    make: Callable[..., Dataset], tmp_path: Path
) -> None:
    one = Seen.of(make(["q", "p"], ["k2", "k1"], "one"))
    two = Seen.of(make(["r"], ["k3"], "two", namespace="elsewhere"))
    both = one.merge(two)
    run = Run.for_test(tmp_path / "run")
    both.save(run)
    assert Seen.load(run.dir) == both == two.merge(one)
    record = json.loads((run.dir / "seen.json").read_text())
    assert record["pixels"] == ["k1", "k2", "k3"]
    assert record["patients"]["test"] == sorted(record["patients"]["test"])


def test_rows_that_chose_a_checkpoint_are_not_rows_that_were_fitted(
    make: Callable[..., Dataset], tmp_path: Path
) -> None:
    clip = Seen.of(make(["a"], ["k1"], "clip")).merge(
        Seen.choosing(make(["b", "c"], ["k2", "k3"], "held"), np.arange(2))
    )
    assert clip.pixels == {"k1", "k2", "k3"}, "nobody may be tested on them"
    assert clip.fitted().pixels == {"k1"}
    run = Run.for_test(tmp_path / "run")
    clip.save(run)
    assert Seen.load(run.dir) == clip
    teacher = Seen.of(make(["b"], ["k2"], "teacher"))
    both = clip.merge(teacher)
    assert both == teacher.merge(clip)
    assert both.fitted().pixels == {"k1", "k2"}, "another network was fitted to one of them"
    assert both.chosen_by is not None
    assert both.chosen_by.pixels == {"k3"}
    assert len(both.fitted().patients["test"]) == 2
    every = both.merge(Seen.of(make(["c"], ["k3"], "more")))
    assert every.chosen_by is None


def test_seen_of_many_patients_is_compact(tmp_path: Path) -> None:
    keys = frozenset(patient_keys([str(i) for i in range(5000)], "n").tolist())
    run = Run.for_test(tmp_path / "run")
    Seen({"n": keys}, keys).save(run)
    assert (run.dir / "seen.json").stat().st_size < 20 * 2 * 5000


def test_missing_and_damaged_seen(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not known"):
        Seen.load(tmp_path)
    (tmp_path / "seen.json").write_text('{"format": 1}')
    with pytest.raises(InputError, match="damaged"):
        Seen.load(tmp_path)
    (tmp_path / "seen.json").write_text('{"format": 3}')
    with pytest.raises(InputError, match="format 3"):
        Seen.load(tmp_path)


def test_secret_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"0123456789abcdef\n")
    assert read_secret(file) == b"0123456789abcdef"
    file.write_bytes(b"short")
    with pytest.raises(InputError, match="fewer than 16"):
        read_secret(file)
