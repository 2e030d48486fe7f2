"""Every file of a source is used or counted by a reason, whatever else lies there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrtool.data import inventory
from cxrtool.data.sources import tree
from cxrtool.data.sources.base import SourceOptions, read_source

FOLDERS = st.sampled_from(("A", "B", "A/deep", ".h", "B/.h"))
NAMES = st.sampled_from(
    ("1.png", "2.PNG", "3.jpeg", "n.txt", "x.zip", "y.tar.gz", "t.csv", "d.dcm", "no", ".DS_Store")
)
LINKS = st.tuples(
    FOLDERS,
    st.sampled_from(("l", "m.png")),
    st.sampled_from((".", "A", "B", ".h", "A/1.png", "../out", "../out/o.png", "nowhere")),
)


def leaves(root: Path) -> set[str]:
    """All that is no real folder."""
    return {
        os.path.relpath(os.path.join(folder, name), root)
        for folder, folders, names in os.walk(root)
        for name in (*names, *(n for n in folders if os.path.islink(os.path.join(folder, n))))
    }


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.tuples(FOLDERS, NAMES), max_size=14),
    st.lists(LINKS, max_size=4),
    st.sampled_from(("folder", "table")),
    st.sets(st.integers(0, 30), max_size=6),
)
def test_used_and_left_out_are_all(
    files: set[tuple[str, str]], links: list[tuple[str, str, str]], form: str, rows: set[int]
) -> None:
    home = Path(tempfile.mkdtemp())
    try:
        root = home / "root"
        for folder in ("root/A", "root/B", "out"):
            (home / folder).mkdir(parents=True)
        for name in ("root/A/a.png", "root/B/b.png", "out/o.png"):
            (home / name).touch()
        for folder, name in sorted(files):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / name).touch()
        for folder, name, target in links:
            (root / folder).mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(root / folder / name):
                (root / folder / name).symlink_to(root / target)
        if form == "table":
            there = sorted(leaf for leaf in leaves(root) if (root / leaf).is_file())
            named = sorted({there[row % len(there)] for row in rows} | {"A/a.png"})
            lines = [f"{name},{i % 2}" for i, name in enumerate(named)]
            (root / "labels.csv").write_text("\n".join(["path,Edema", *lines]) + "\n")
        source = read_source(form, root, SourceOptions(skip_bad=True))
        refused = [ref for ref, _ in source.rejected]
        stock = inventory.take_stock([root], form, source, refused)
        assert stock.used + sum(number for number, _ in stock.left.values()) == stock.files
        assert stock.files == len(list(tree.entries(root)))
        images = {os.path.realpath(root / ref) for ref in source.table["image_ref"]}
        assert stock.used >= len({path for path in images if path.startswith(str(root))})
        for _, example in stock.left.values():
            assert os.path.lexists(root / example)
    finally:
        shutil.rmtree(home)


@pytest.mark.parametrize("link", [False, True])
def test_rows_that_name_images_through_a_linked_folder(tmp_path: Path, link: bool) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "link").symlink_to("store")
    for name in ("1.png", "2.png", "3.png"):
        (tmp_path / "store" / name).touch()
    folder = "link" if link else "store"
    (tmp_path / "labels.csv").write_text(f"path,Edema\n{folder}/1.png,1\n{folder}/2.png,0\n")
    source = read_source("table", tmp_path, SourceOptions())
    stock = inventory.take_stock([tmp_path], "table", source)
    assert (stock.files, stock.used) == (5, 3)
    assert stock.left == {
        "a folder that is read under another name": (1, "link"),
        "an image of no row": (1, "store/3.png"),
    }
