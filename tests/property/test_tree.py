"""Everything below a folder is listed once, read or with a reason, whatever links there are."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cxrtool.data.sources import tree

FOLDERS = st.sampled_from(("a", "b", ".h", "a/c", "b/d", "b/.i", ".h/e", "a/c/f"))
FILES = st.tuples(FOLDERS, st.sampled_from(("1.png", "2.PNG", ".x", "n.txt", "z.zip")))
#: A link: the folder that it lies in, its name, and what it leads to.
LINKS = st.tuples(
    FOLDERS,
    st.sampled_from(("l", "k", ".m", "l.png")),
    st.sampled_from((".", "a", "b", ".h", ".h/e", "a/1.png", "../out", "../out/o.png", "nowhere")),
)


@settings(max_examples=150, deadline=None)
@example({(".h/e", "1.png")}, [("a", "l", ".h/e"), ("b", "l", ".h")])  # the inner folder first
@given(st.sets(FILES, max_size=12), st.lists(LINKS, max_size=6))
def test_each_file_is_listed_once(
    files: set[tuple[str, str]], links: list[tuple[str, str, str]]
) -> None:
    home = Path(tempfile.mkdtemp())
    try:
        root = home / "root"
        for folder in ("root", "out"):
            (home / folder).mkdir()
        (home / "out/o.png").touch()
        for folder, name in files:
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / name).touch()
        for folder, name, target in links:
            (root / folder).mkdir(parents=True, exist_ok=True)
            if not os.path.lexists(root / folder / name):
                (root / folder / name).symlink_to(root / target)
        listed = list(tree.entries(root))
        refs = [ref for ref, _ in listed]
        assert len(refs) == len(set(refs))
        # All that is no real folder, by its own name: listed, or a link that was followed.
        leaves = {
            os.path.relpath(os.path.join(folder, name), root)
            for folder, folders, names in os.walk(root)
            for name in (*names, *(n for n in folders if os.path.islink(os.path.join(folder, n))))
        }
        followed = {leaf for leaf in leaves if any(ref.startswith(leaf + "/") for ref in refs)}
        assert leaves - followed <= set(refs) | {
            leaf for leaf in leaves if (root / leaf).is_dir() and not any((root / leaf).iterdir())
        }
        # What may be read is a file inside, none behind two folders, and all that is not hidden.
        read = [ref for ref, why in listed if not why]
        inside = os.path.realpath(root) + os.sep
        real = [os.path.realpath(root / ref) for ref in read]
        assert all(path.startswith(inside) and os.path.isfile(path) for path in real)
        plain = [ref for ref in read if not (root / ref).is_symlink()]
        assert len({os.path.realpath(root / ref) for ref in plain}) == len(plain)
        visible = {
            os.path.realpath(root / leaf)
            for leaf in leaves
            if not any(part.startswith(".") for part in leaf.split("/"))
            and not (root / leaf).is_symlink()
        }
        assert visible <= set(real)
    finally:
        shutil.rmtree(home)


@pytest.mark.parametrize(
    ("link", "target", "reason"),
    [
        ("a/l", "out", tree.LEADS_OUT),
        ("a/l", "root", tree.LEADS_BACK),
        ("a/l", "root/a", tree.LEADS_BACK),
        ("a/l", "root/b", tree.READ_ELSEWHERE),
        ("a/l", "root/none", tree.BROKEN),
        ("a/l.png", "out/o.png", tree.LEADS_OUT),
        (".l", "root/b", tree.IS_HIDDEN),
        ("a/l", "root/.h", ""),
        ("a/l", "root/b/1.png", ""),
    ],
)
def test_reasons_of_links(tmp_path: Path, link: str, target: str, reason: str) -> None:
    for name in ("root/a/1.png", "root/b/1.png", "root/.h/1.png", "out/o.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "root" / link).symlink_to(tmp_path / target)
    listed = dict(tree.entries(tmp_path / "root"))
    if target == "root/.h":
        assert (listed["a/l/1.png"], listed[".h/1.png"]) == ("", tree.IS_HIDDEN)
    else:
        assert listed[link] == reason


@pytest.mark.parametrize(
    ("ref", "reason"),
    [
        ("a/b.tar.gz", tree.ARCHIVE),
        ("x.csv.gz", "a table that is not read"),
        ("X.CSV", "a table that is not read"),
        ("x.PNG", "an image of no row"),
        ("x.dcm", "a DICOM file (--format dicom reads them)"),
        ("x.txt", "no image (.txt)"),
        ("x", "no image (without an ending)"),
        ("1.2.840.113", "no image (without an ending)"),
    ],
)
def test_what_a_name_says(ref: str, reason: str) -> None:
    assert tree.no_image(ref, "table") == reason


def test_counts_are_sorted_and_have_an_example() -> None:
    assert tree.counted([("a", "x"), ("b", "y"), ("c", "y")]) == {"y": (2, "b"), "x": (1, "a")}
