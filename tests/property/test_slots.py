"""Whatever the filters refuse: shards give the union, replay the image, counts stay exact."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from cxrtool.core.runs import Run
from cxrtool.data.manifest import Dataset, DatasetInfo, load_dataset
from cxrtool.data.writer import DatasetWriter
from cxrtool.synthesis.arrays import FloatArray, IntArray
from cxrtool.synthesis.generate import Job, fill, slots_of, write_set
from cxrtool.synthesis.panel import Panel, Sight
from cxrtool.synthesis.planner import make_plan
from cxrtool.synthesis.replay import recipe, remake
from cxrtool.synthesis.targets import LabelTable, Request
from cxrtool.synthesis.writer import synthetic_info
from tests.unit.synthesis.conftest import SIZE, ToyGenerator

SOME = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
LABELS = ("Fracture", "Edema")


@dataclass(frozen=True)
class Picky:
    """Refuses images whose brightness, to a few digits, is not to its liking."""

    part: float
    name: str = "picky"

    def scores(self, sight: Sight) -> Tensor:
        return (sight.x.mean(dim=(1, 2, 3)) * 1e4).remainder(1.0)

    def accepts(self, scores: FloatArray, streams: IntArray) -> Any:
        return np.asarray(scores < self.part)

    def record(self) -> dict[str, Any]:
        return {}


def job_of(rng: np.random.Generator, counts: tuple[int, int], block: int, part: float) -> Job:
    """A plan on a random table, and a filter that keeps about `part`."""
    torch.set_num_threads(1)
    n = 40
    values = (rng.random((n, 2)) < 0.4).astype(np.uint8)
    values[0] = 1
    info = DatasetInfo(
        labels=LABELS,
        covered=(True, True),
        size=SIZE,
        fit="crop",
        kernel="k",
        namespace="n",
        patients=False,
        source="toy",
    )
    real = Dataset(Path("none"), info, pd.DataFrame(index=range(n)))
    table = LabelTable(np.arange(n), LABELS, values, (True, True))
    plan = make_plan(values, LABELS, Request(LABELS, (0, 1), counts=counts), seed=3)
    notes = {"block": block}
    made = synthetic_info(
        real.info, claimed=(True, True), preprocessing={"size": SIZE}, notes=notes
    )
    return Job(
        real,
        table,
        plan,
        ToyGenerator(),
        made,
        "g",
        5,
        1.0,
        block,
        torch.device("cpu"),
        panel=Panel((Picky(part),)) if part < 1 else Panel(),
        most_tries=10_000,
    )


def make_part(folder: Path, job: Job, i: int, n: int) -> Path:
    run, accounts = Run.for_test(folder), job.accounts()
    writer, slots = DatasetWriter(run, job.info), slots_of(job.plan, job.block, i, n)
    fill(run, job, writer, accounts, slots)
    write_set(run, job, writer, accounts, slots)
    return folder


@SOME
@given(
    st.integers(0, 10**6),
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
    st.integers(1, 19),
    st.sampled_from([1.0, 0.7, 0.2]),
    st.integers(1, 8),
    st.integers(0, 10**6),
)
def test_the_union_of_shards_and_any_replayed_image(
    seed: int, counts: tuple[int, int], block: int, part: float, n: int, which: int
) -> None:
    job = job_of(np.random.default_rng(seed), counts, block, part)
    with tempfile.TemporaryDirectory() as name:
        whole = make_part(Path(name) / "whole", job, 0, 1)
        table = load_dataset(whole).table
        assert len(table) == sum(counts)
        assert (table["Fracture"].tolist()[: counts[0]]) == ["1"] * counts[0]
        met: list[str] = []
        for i in range(n):
            shard = load_dataset(make_part(Path(name) / f"s{i}", job, i, n))
            rows = table[table["image"].isin(shard.table["image"])].reset_index(drop=True)
            assert shard.table.equals(rows)
            for image in shard.table["image"]:
                assert (shard.path / image).read_bytes() == (whole / image).read_bytes()
                met.append(image)
        assert sorted(met) == table["image"].tolist()
        if len(table):
            row = which % len(table)
            again = Run.for_test(Path(name) / "again")
            dataset = load_dataset(whole)
            found = remake(
                again, dataset, [recipe(dataset, row, "g")], job.network, torch.device("cpu"), {}
            )
            assert found["identical"] == found["compared"] == 1


def test_a_filter_that_refuses_all_but_a_few_still_gives_every_slot_its_image() -> None:
    job = job_of(np.random.default_rng(0), (30, 0), 8, 0.03)
    with tempfile.TemporaryDirectory() as name:
        run, accounts = Run.for_test(Path(name)), job.accounts()
        slots = slots_of(job.plan, 8)
        made = fill(run, job, DatasetWriter(run, job.info), accounts, slots)
        assert (accounts.tries > 0).all()
        assert made["tries"] == accounts.tries.sum() > 300
        assert (accounts.rejected[:, 0] == accounts.tries - 1).all()
