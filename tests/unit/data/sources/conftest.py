"""Sources in miniature, written as their public forms lie on disk."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxrtool.commands.prepare.options import Config as PrepareConfig
from cxrtool.core.config import fields_of
from cxrtool.core.config.values import applies
from cxrtool.data.sources.base import SourceOptions, SourceTable, read_source

Read = Callable[..., SourceTable]


@pytest.fixture(scope="session")
def xrv_data() -> Path:
    """The label tables and reports inside torchxrayvision's wheel."""
    found = importlib.util.find_spec("torchxrayvision")
    if found is None or not found.submodule_search_locations:
        pytest.skip("torchxrayvision is not installed")
    return Path(found.submodule_search_locations[0]) / "data"


@pytest.fixture
def read() -> Read:
    """Read a source and check what every reader must hold to."""

    def run(form: str, source: Path, **options: Any) -> SourceTable:
        result = read_source(form, source, SourceOptions(**options))
        common = {"seed", "size", "labels_only", "skip_bad", "id_key", "headers"}
        assert set(options) <= common | {
            "columns" if field.name == "column" else field.name
            for field in fields_of(PrepareConfig)
            if "format" in field.meta.only and applies(field, PrepareConfig, {"format": form})
        }
        table = result.table
        assert len(result.covered) == len(result.labels)
        assert table.columns.is_unique
        assert not table.isna().to_numpy().any()
        assert all(isinstance(value, str) for value in table.iloc[:50].to_numpy().ravel())
        assert list(table.index) == list(range(len(table)))
        assert set(result.labels) <= set(table.columns)
        assert {"image_ref", "table_file", "table_row"} <= set(table.columns)
        assert (result.opener is None) == bool(options.get("labels_only"))
        return result

    return run


def write_png(path: Path, shade: int = 100) -> Path:
    """A gray 8 x 8 image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), shade, np.uint8)).save(path)
    return path


def write_text(path: Path, text: str) -> Path:
    """A UTF-8 file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
