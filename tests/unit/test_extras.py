"""Hints that name packages to install: of extras that exist, by names that an index has."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from cxrtool.core.extras import install_hint

ROOT = Path(__file__).parents[2]


def test_every_hint_names_the_packages_of_an_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    named = set()
    for path in (ROOT / "cxrtool").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "install 'cxrtool" not in text, path
        named |= set(re.findall(r'install_hint\("(\w+)"\)', text))
    assert named >= {"dicom", "parquet", "xrv", "fid"}
    for extra in named:
        hint = install_hint(extra)
        assert hint.startswith("pip install ")
        assert all(re.split("[<>=]", package)[0] in hint for package in extras[extra])


def test_what_nobody_installed_is_named_by_its_folder() -> None:
    assert install_hint("no-such-extra") == "pip install '.[no-such-extra]'"
