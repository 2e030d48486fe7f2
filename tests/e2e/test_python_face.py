"""The package as a library: the page of its documentation, run as it stands, and quick imports."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import cxrtool
from tests.e2e.chain import Chain

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "python.md"


def test_the_page_on_python_is_true(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {
        "data": "extract-reports",
        "gan": "train-gan",
        "clip": "finetune-clip",
        "cls": "train-cls",
    }
    for name, stage in names.items():
        (tmp_path / name).symlink_to(chain.out(stage))
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    found = doctest.testfile(str(PAGE), module_relative=False, optionflags=flags)
    assert found.attempted > 20
    assert found.failed == 0


def test_the_import_is_quick_because_it_loads_nothing() -> None:
    code = "import sys, cxrtool; print(sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "numpy", "pandas", "typer", "spacy"} & set(eval(done.stdout))


def test_the_face_is_what_it_says() -> None:
    assert set(cxrtool.__all__) <= set(dir(cxrtool))
    for name in cxrtool.__all__:
        assert getattr(cxrtool, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'load_dataste'"):
        cxrtool.load_dataste  # noqa: B018
