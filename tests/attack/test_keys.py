"""Patient keys: what they give away without a secret is said; a secret is given away nowhere."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
from pathlib import Path

import pandas as pd
import pytest

from cxrtool import cli
from cxrtool.core.runs import Run
from cxrtool.data import keys
from cxrtool.data.columns import is_secret
from cxrtool.pages import render
from cxrtool.pages.page import Page

WORD = "reversible"
PHANTOMS = "prepare --format phantom --n 24 --size 16 --labels-only --workers 1"


def cxr(words: str, *more: str | Path) -> int:
    return cli.main([*words.split(), *map(str, more)])


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("house") / "id.key"
    assert cxr("prepare --new-id-key", path) == 0
    return path


@pytest.fixture(scope="module")
def sets(secret: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same patients without and with a secret."""
    folder = tmp_path_factory.mktemp("sets")
    assert cxr(PHANTOMS, "-o", folder / "open") == 0
    assert cxr(PHANTOMS, "--id-key", secret, "-o", folder / "secret") == 0
    return {name: folder / name for name in ("open", "secret")}


def recovered(folder: Path) -> int:
    """Patients that a stranger finds who knows the folder and has a list of ids."""
    namespace = json.loads((folder / "dataset.json").read_text())["namespace"]
    table = pd.read_csv(folder / "manifest.csv", dtype=str, keep_default_na=False)
    ids = sorted(set(table["patient_id"]))
    tried = {key for name in (namespace, namespace.partition("+")[0])
             for key in keys.patient_keys(ids, name)}  # fmt: skip
    return len(tried & set(table["patient_key"]))


def test_keys_are_reversible_only_without_a_secret(sets: dict[str, Path]) -> None:
    assert recovered(sets["open"]) > 5
    assert recovered(sets["secret"]) == 0


@pytest.mark.parametrize(("name", "said"), [("open", True), ("secret", False)])
def test_prepare_and_every_page_say_it(
    name: str, said: bool, sets: dict[str, Path], tmp_path: Path
) -> None:
    assert (WORD in (sets[name] / "log.txt").read_text()) == said
    run = Run.for_test(tmp_path / "run", inputs={"data": sets[name]})
    render.write(run, Page("Title", "Answer.", []), "evaluate", with_markdown=True)
    for page in ("report.html", "report.md"):
        assert (WORD in (run.dir / page).read_text("utf-8")) == said


def test_the_sentence_names_the_namespaces() -> None:
    assert keys.reversible_keys([]) == keys.reversible_keys(["st-mary+0123abcd"]) == ""
    sentence = keys.reversible_keys(["b", "a", "b", "st-mary+0123abcd"])
    assert "'a', 'b'" in sentence
    assert "st-mary" not in sentence


def test_a_secret_is_this_users_alone(secret: Path) -> None:
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert len(base64.b64decode(secret.read_bytes(), validate=False)) == 32
    assert len(keys.read_secret(secret)) >= 32


def test_no_secret_is_overwritten(secret: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = secret.read_bytes()
    assert cxr("prepare --new-id-key", secret) == 3
    assert "is there already" in capsys.readouterr().err
    assert secret.read_bytes() == before
    assert cxr("prepare --new-id-key", secret.parent / "none" / "x") == 3
    assert cxr(PHANTOMS, "--new-id-key", secret.parent / "b", "--id-key", secret) == 2
    assert not (secret.parent / "b").exists()


def test_a_secret_that_others_may_read_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "id.key"
    path.write_bytes(b"0123456789abcdef")
    path.chmod(0o644)
    keys.read_secret(path)
    assert "chmod 600" in capsys.readouterr().err


def test_no_file_holds_a_plain_hash_of_the_secret(secret: Path, sets: dict[str, Path]) -> None:
    content = secret.read_bytes()
    traces = [content.strip()]
    for form in (content, content.strip(), base64.b64decode(content)):
        for kind in ("md5", "sha1", "sha256", "sha512", "blake2b"):
            digest = hashlib.new(kind, form)
            traces += [digest.hexdigest()[:16].encode(), digest.digest()]
    for path in sets["secret"].rglob("*"):
        if path.is_file():
            written = path.read_bytes()
            assert not any(trace in written for trace in traces), path


def test_the_same_secret_is_the_same_run_and_another_one_is_not(
    secret: Path, sets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = tmp_path / "moved.key"
    moved.write_bytes(secret.read_bytes())
    moved.chmod(0o600)
    assert cxr(PHANTOMS, "--id-key", moved, "-o", sets["secret"]) == 0
    assert "up to date" in capsys.readouterr().err
    moved.write_bytes(b"another secret of a house")
    assert cxr(PHANTOMS, "--id-key", moved, "-o", sets["secret"]) == 4
    assert "input id-key" in capsys.readouterr().err


def test_no_namespace_looks_like_one_under_a_secret() -> None:
    assert is_secret(keys.keyed_namespace("st-mary", b"x" * 16))
    assert cxr(PHANTOMS, "--namespace", "st-mary+0123abcd", "-o", "none") == 2
