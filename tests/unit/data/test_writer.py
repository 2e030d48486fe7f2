"""`DatasetWriter`: resumed runs, strangers in the folder, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrtool.core.errors import InputError
from cxrtool.core.files import sha256_file
from cxrtool.core.runs import Run
from cxrtool.data.images import KERNEL
from cxrtool.data.manifest import DatasetInfo, DatasetWriter, load_dataset

INFO = DatasetInfo(
    labels=("Edema",),
    covered=(True,),
    size=8,
    fit="crop",
    kernel=KERNEL,
    namespace="test",
    patients=True,
    source="test",
)
NAMES = [f"images/{i}.png" for i in range(3)]


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 8), np.uint8)


def table(names: list[str] = NAMES) -> pd.DataFrame:
    return pd.DataFrame({"image": names, "Edema": "1", "source": "real"}, dtype=str)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.for_test(tmp_path / "out")


def test_a_resumed_run_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    whole = Run.for_test(tmp_path / "whole")
    first = DatasetWriter(whole, INFO)
    for index, name in enumerate(NAMES):
        first.add_image(name, pixels(index), text={"seed": str(index)})
    first.finish(table())

    killed = DatasetWriter(run, INFO)
    killed.add_image(NAMES[0], pixels(0), text={"seed": "0"})
    second = DatasetWriter(run, INFO)
    assert [second.have(name) for name in NAMES] == [True, False, False]
    for index, name in enumerate(NAMES):
        if not second.have(name):
            second.add_image(name, pixels(index), text={"seed": str(index)})
    second.finish(table())
    for name in (*NAMES, "files.tsv", "manifest.csv", "dataset.json"):
        assert (run.dir / name).read_bytes() == (whole.dir / name).read_bytes()
    with Image.open(run.dir / NAMES[2]) as image:
        assert image.info == {"seed": "2"}


def test_a_file_that_was_cut_short_is_not_had(run: Run) -> None:
    writer = DatasetWriter(run, INFO)
    writer.add_image(NAMES[0], pixels(0))
    path = run.dir / NAMES[0]
    path.write_bytes(path.read_bytes()[:-1])
    assert not DatasetWriter(run, INFO).have(NAMES[0])
    path.write_bytes(b"")
    assert not DatasetWriter(run, INFO).have(NAMES[0])


def test_an_image_that_is_there_is_replaced_whole_and_not_written_through_its_links(
    run: Run, tmp_path: Path
) -> None:
    writer = DatasetWriter(run, INFO)
    writer.add_image(NAMES[0], pixels(0))
    path, link = run.dir / NAMES[0], tmp_path / "link.png"
    link.hardlink_to(path)
    before = path.read_bytes()
    writer.add_image(NAMES[0], pixels(1))
    assert link.read_bytes() == before != path.read_bytes()


def test_images_that_the_table_does_not_name_go(run: Run) -> None:
    writer = DatasetWriter(run, INFO)
    for index, name in enumerate(NAMES):
        writer.add_image(name, pixels(index))
    writer.finish(table(NAMES[:2]))
    assert sorted(p.name for p in (run.dir / "images").iterdir()) == ["0.png", "1.png"]
    assert len((run.dir / "files.tsv").read_text().splitlines()) == 2


def test_a_named_image_that_was_never_written(run: Run) -> None:
    writer = DatasetWriter(run, INFO)
    writer.add_image(NAMES[0], pixels(0))
    with pytest.raises(InputError, match="never written"):
        writer.finish(table())
    assert not (run.dir / "dataset.json").exists()


def test_wrong_size_and_name(run: Run) -> None:
    writer = DatasetWriter(run, INFO)
    with pytest.raises(ValueError, match="8 x 8"):
        writer.add_image(NAMES[0], np.zeros((9, 9), np.uint8))
    with pytest.raises(ValueError, match="leaves the folder"):
        writer.add_image("../x.png", pixels(0))


def test_encoded_images_are_copied_as_they_are(run: Run, tmp_path: Path) -> None:
    source = DatasetWriter(Run.for_test(tmp_path / "source"), INFO)
    digest = source.add_image(NAMES[0], pixels(0))
    data = (tmp_path / "source" / NAMES[0]).read_bytes()
    writer = DatasetWriter(run, INFO)
    assert writer.add_bytes(NAMES[0], data) == digest == sha256_file(run.dir / NAMES[0])
    writer.finish(table(NAMES[:1]))
    assert len(load_dataset(run.dir)) == 1


def test_parts_give_the_bytes_of_the_whole(run: Run, tmp_path: Path) -> None:
    whole = Run.for_test(tmp_path / "whole")
    names = [f"images/{i // 2}/{i}.png" for i in range(5)]
    for one in (whole, run):
        writer = DatasetWriter(one, INFO)
        for i in (3, 0, 4, 2, 1):
            writer.add_image(names[i], pixels(i))
        writer.add_image("images/1/9.png", pixels(9))  # a stranger
        if one is whole:
            digest = writer.finish(table(names))
        else:
            parts = (table(names[a:b]) for a, b in ((0, 1), (1, 1), (1, 4), (4, 5)))
            assert writer.finish_parts(parts) == digest
    for name in ("files.tsv", "manifest.csv", "dataset.json"):
        assert (run.dir / name).read_bytes() == (whole.dir / name).read_bytes()
    assert not (run.dir / "images/1/9.png").exists()


@pytest.mark.parametrize("ends", [[], [(0, 2), (1, 3)], [(2, 3), (0, 2)]])
def test_parts_out_of_order_are_refused(run: Run, ends: list[tuple[int, int]]) -> None:
    writer = DatasetWriter(run, INFO)
    for index, name in enumerate(NAMES):
        writer.add_image(name, pixels(index))
    with pytest.raises(ValueError, match=r"no parts|comes after"):
        writer.finish_parts(table(NAMES[a:b]) for a, b in ends)
    assert not (run.dir / "manifest.csv").exists()


def test_memory_does_not_grow_with_the_parts(tmp_path: Path) -> None:
    import gc
    import tracemalloc
    from dataclasses import replace

    info = replace(INFO, size=None, fit=None, kernel=None, patients=False)

    def peak(n_parts: int) -> int:
        writer = DatasetWriter(Run.for_test(tmp_path / str(n_parts)), info)
        names = (f"{part:03d}/{i:04d}" for part in range(n_parts) for i in range(200))

        def parts() -> Iterator[pd.DataFrame]:
            for _ in range(n_parts):
                gc.collect()  # what pandas leaves in cycles waits for it
                yield table([next(names) for _ in range(200)])

        tracemalloc.start()
        writer.finish_parts(parts())
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(2)  # imports and caches of pandas
    assert peak(10) < 1.2 * peak(2)
