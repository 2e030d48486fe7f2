"""A generator folder is a product: what leaves the house, and what can be done with it there."""

from __future__ import annotations

import getpass
import json
import platform
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrtool import cli, load_generator
from cxrtool.commands.share.command import FILES
from cxrtool.commands.status.command import inspect
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import CxrError, GateError, InputError
from cxrtool.core.files import sha256_file
from cxrtool.core.fingerprints import require_complete
from cxrtool.core.runs.execution import Outcome, execute
from cxrtool.data.keys import Seen
from cxrtool.data.manifest import load_dataset
from cxrtool.data.published import digest_in_header, without_header
from tests.unit.generators.conftest import ellipse_set

HOST, USER, HOUSE = "ward-seven-workstation", "dr.exampleton", "the-house-of-secrets"
QUICK = {"size": 16, "batch": 8, "kimg": 0.04, "checkpoint": "last", "preset": "tiny"}


def start(name: str, out: Path, **options: Any) -> Outcome:
    stage = cli.stages()[name]
    if name != "share":
        options = {"threads": 1, **options}
    return execute(stage, resolve(stage.Config, options), out)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The owner's folder: data, generator, and the copy of it."""
    folder = tmp_path_factory.mktemp(HOUSE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "gethostname", lambda: HOST)
        patch.setattr(platform, "node", lambda: HOST)
        patch.setattr(getpass, "getuser", lambda: USER)
        patch.setenv("USER", USER)
        patch.setattr("sys.argv", ["/opt/secret/cxr", "train-gan", "--secret"])
        data = ellipse_set(folder / "data", 160, val=True)
        start("train-gan", folder / "gan", data=data, arch="flow", **QUICK)
        start("share", folder / "copy", run=folder / "gan", licence="CC BY 4.0, \\1 Hospital")
        yield folder


@pytest.fixture
def copy(house: Path, tmp_path: Path) -> Path:
    """The copy on another machine: nothing else of the house is there."""
    return Path(shutil.copytree(house / "copy", tmp_path / "gift"))


def test_no_file_of_the_copy_tells_where_it_comes_from(house: Path) -> None:
    data = load_dataset(house / "data")
    traces = {HOST, USER, HOUSE, str(house), "/opt/secret", "--secret", "sys.argv"}
    for column in ("patient_id", "patient_key", "pixel_key", "image", "prepared_key"):
        traces |= set(data.column(column)) - {""}
    traces -= {f"p{k}" for k in range(160)}  # two letters stand in any weights
    traces.add(sha256_file(house / "gan" / "seen.json"))
    traces |= {f'"p{k}"' for k in range(160)} | {f"p{k}," for k in range(160)}
    files = [path for path in (house / "copy").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {*FILES, "run.json", "result.json", ".lock"}
    for path in files:
        content = path.read_bytes()
        found = [trace for trace in traces if len(trace) > 4 and trace.encode() in content]
        assert not found, path
        if path.suffix in (".json", ".md", ".csv"):
            words = content.decode().replace('"', " ").replace(",", " ").split()
            assert not traces & set(words), path
    # The same search finds them where they are.
    record = (house / "gan" / "run.json").read_text()
    assert "/opt/secret" in record
    assert HOUSE in record


def test_the_network_is_the_same_and_the_card_says_its_terms(house: Path, copy: Path) -> None:
    for name in set(FILES) - {"model_card.md", "model.safetensors"}:
        assert (copy / name).read_bytes() == (house / "gan" / name).read_bytes()
    ours, theirs = (folder / "model.safetensors" for folder in (house / "gan", copy))
    assert digest_in_header(ours) == sha256_file(house / "gan" / "seen.json")
    assert digest_in_header(theirs) == ""  # a key itself
    assert without_header(ours) == theirs.read_bytes()
    card = (copy / "model_card.md").read_text()
    assert "## Licence\n\nCC BY 4.0, \\1 Hospital\n" in card
    assert "None is given here" not in card
    assert start("share", house / "copy", run=house / "gan", licence="CC BY 4.0, \\1 Hospital")
    other = start("share", copy.parent / "other", run=house / "gan")
    assert "None is given here" in (other.folder / "model_card.md").read_text()


def test_again_is_up_to_date_and_other_terms_are_another_copy(house: Path) -> None:
    again = start("share", house / "copy", run=house / "gan", licence="CC BY 4.0, \\1 Hospital")
    assert again.state == "up-to-date"
    with pytest.raises(CxrError, match="licence"):
        start("share", house / "copy", run=house / "gan")
    assert not (house / "copy" / "log.txt").exists()


def test_the_copy_is_loaded_and_looked_at(copy: Path) -> None:
    images = load_generator(copy).sample({"Large": 1}, 2)
    assert images.shape[0] == 2
    entry = inspect(copy, cli.stages())
    assert (entry["stage"], entry["state"]) == ("share", "complete")
    assert "names no path" in entry["rerun"]
    with pytest.raises(InputError, match="comes from `cxr share`"):
        start("share", copy.parent / "second", run=copy)


def test_a_copy_is_of_unknown_history_wherever_leaks_are_looked_for(
    house: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = house / "data", copy.parent
    synth = out / "synth"
    start("synthesize", synth, data=data, gan=copy, counts="Large=8", block=8)
    assert "of unknown history: generator" in capsys.readouterr().err
    (name,) = Seen.load(synth).unknown  # what it made goes on to say so
    assert name in Seen.load(copy).unknown
    assert json.loads((synth / "seen.json").read_text())["format"] == 2

    start("evaluate-images", out / "report", synth=synth, real=data, gan=copy)
    assert "of unknown history" in capsys.readouterr().err
    for page in ("report.html", "report.md"):
        assert name in (out / "report" / page).read_text()

    steps = {"arch": "small_cnn", "steps": 2, "batch": 8, "eval_every": 2}
    start("train-cls", out / "cls", data=data, synth=(synth,), arm="gan", **steps)
    assert capsys.readouterr().err.count("Of unknown history") == 1
    judged = {"runs": (out / "cls",), "data": (data,), "bootstrap": 100}
    start("evaluate-classifiers", out / "scores", **judged)
    assert name in (out / "scores" / "report.html").read_text()
    with pytest.raises(GateError, match="of unknown history") as caught:
        start("evaluate-classifiers", out / "strict", **judged, strict_regimen=True)
    assert "leave --strict-regimen out" in str(caught.value.hint)


def test_a_folder_without_keys_and_without_a_network_is_still_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not known"):
        Seen.load(tmp_path)


@pytest.mark.parametrize("name", ["label_table.csv", "model_card.md"])
def test_a_generator_of_an_earlier_version_is_refused_with_the_next_step(
    house: Path, tmp_path: Path, name: str
) -> None:
    old = Path(shutil.copytree(house / "gan", tmp_path / "old"))
    (old / name).unlink()
    result = json.loads((old / "result.json").read_text())
    del result["outputs"][name]
    (old / "result.json").write_text(json.dumps(result))
    with pytest.raises(InputError, match=name) as caught:
        start("share", tmp_path / "copy", run=old)
    assert "train it again" in str(caught.value.hint)


def test_weights_that_hold_every_image_stay_in_the_house(house: Path, tmp_path: Path) -> None:
    kept = Path(shutil.copytree(house / "gan", tmp_path / "kept"))
    meta = json.loads((kept / "model.json").read_text())
    (kept / "model.json").write_text(json.dumps({**meta, "arch": "opengan"}))
    (kept / "result.json").write_text(
        json.dumps({**require_complete(kept), "outputs": {}})
    )  # as if it had been made so
    with pytest.raises(InputError, match="every training image"):
        start("share", tmp_path / "copy", run=kept)
    assert not (tmp_path / "copy" / "model.safetensors").exists()


def test_keys_of_unknown_history_join_and_stay() -> None:
    one, two = Seen(unknown=frozenset({"a"})), Seen(pixels=frozenset({"k"}))
    for seen in (one.merge(two), two.merge(one), one.merge(two).fitted(), one.without(two)):
        assert seen.unknown == {"a"}
    assert not two.without(one).unknown
    assert np.all([not Seen().unknown, not two.fitted().unknown])


ATTACK = {"n": 100, "bootstrap": 100, "split": "test", "block": 50}


def test_attacks_are_told_with_n_result_and_what_was_not_tried(house: Path, tmp_path: Path) -> None:
    held = ellipse_set(tmp_path / "held", 400, first=1000)
    out = tmp_path / "privacy"
    summary = start(
        "evaluate-privacy", out, gan=house / "gan", data=house / "data", held_out=held, **ATTACK
    ).result["summary"]
    assert summary["membership"]["training_images"] == 128
    assert summary["membership"]["held_out_images"] == 40
    assert summary["membership"]["tpr_at_1_percent_fpr"] is None  # 40 cannot tell one in a hundred
    assert 0 <= summary["membership"]["low"] <= summary["membership"]["auroc"] <= 1
    assert len(summary["nearness"]) == 2
    for page in ("report.html", "report.md"):
        text = (out / page).read_text()
        for words in ("128 training images", "40 held-out images", "Not tried", "no proof"):
            assert words in text
        assert "the nearest of 40 held-out images does" in text
        assert "of as many real images of others 2.4 would" in text  # 100 / 41
        assert not [word for word in ("anonymous", "safe") if word in text.lower()]
        assert "data:image" not in text  # no picture of a person

    shared = start("share", tmp_path / "copy", run=house / "gan", privacy=out)
    card = (shared.folder / "model_card.md").read_text()
    assert "Membership by its loss: AUROC" in card
    assert "Not tried: " in card
    assert "Not measured: whether" not in card
    assert "label vectors" in card  # the rest of the section stays

    # The copy can be attacked too, by whoever has the data; about another network it says nothing.
    on_copy = tmp_path / "on-copy"
    start(
        "evaluate-privacy",
        on_copy,
        gan=house / "copy",
        data=house / "data",
        held_out=held,
        **ATTACK,
    )
    assert "Of unknown history" in (on_copy / "report.html").read_text()
    other = Path(shutil.copytree(house / "gan", tmp_path / "other"))
    meta = json.loads((other / "model.json").read_text())
    (other / "model.json").write_text(json.dumps({**meta, "nimg": 1}))
    (other / "result.json").write_text(json.dumps({**require_complete(other), "outputs": {}}))
    with pytest.raises(InputError, match="another generator"):
        start("share", tmp_path / "wrong", run=other, privacy=out)


@pytest.mark.parametrize("what", ["seen", "few", "made otherwise"])
def test_an_attack_needs_people_whom_it_has_not_seen(
    house: Path, tmp_path: Path, what: str
) -> None:
    how: dict[str, Any] = {"gan": house / "gan", "data": house / "data", **ATTACK}
    if what == "seen":
        how |= {"held_out": house / "data", "split": "all"}
        error: type[CxrError] = GateError
        match = "leak"
    elif what == "few":
        how |= {"held_out": house / "data"}
        error, match = InputError, "too few to attack"
    else:
        how |= {"held_out": ellipse_set(tmp_path / "held", 400, 32, first=1000)}
        error, match = InputError, "tell the sets"
    with pytest.raises(error, match=match):
        start("evaluate-privacy", tmp_path / "out", **how)
