"""Slots, blocks, the threads that write, the record of a plan, what a generator says of itself."""

from __future__ import annotations

import errno
import json
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.runs import Run
from cxrtool.data.keys import Seen
from cxrtool.data.labels import LabelPolicy
from cxrtool.data.manifest import load_dataset
from cxrtool.data.options import SelectionOptions
from cxrtool.data.schema import DatasetInfo
from cxrtool.data.select import select_rows
from cxrtool.data.writer import DatasetWriter
from cxrtool.synthesis.accounts import Accounts
from cxrtool.synthesis.arrays import IntArray
from cxrtool.synthesis.generators import GeneratorCard, choose_policy
from cxrtool.synthesis.planner import Plan, make_plan
from cxrtool.synthesis.record import (
    COLUMNS,
    fallen_below,
    plan_record,
    slots_digest,
    table_rows,
    title,
    write_slots,
)
from cxrtool.synthesis.sampler import BlockSampler, one_ahead
from cxrtool.synthesis.slots import completed, latents, slot_seed
from cxrtool.synthesis.targets import LabelTable, Request
from cxrtool.synthesis.writer import ImageWriter, slot_image, slot_of
from tests.unit.synthesis.conftest import SIZE, ToyGenerator, write_generator

CPU = torch.device("cpu")


def test_seeds_are_fixed_for_ever_and_apart() -> None:
    """Images of past runs are remade from these: a change here breaks every replay."""
    assert slot_seed(0, 0) == 2933415243424122387
    drawn = {slot_seed(s, i, k) for s in range(3) for i in range(200) for k in range(3)}
    assert len(drawn) == 1800
    assert all(0 <= seed < 2**63 for seed in drawn)


def test_latents_are_normal_and_independent_of_company() -> None:
    seeds = [slot_seed(0, i) for i in range(2000)]
    z = latents(seeds, 8)
    assert abs(float(z.mean())) < 0.02
    assert abs(float(z.std()) - 1) < 0.02
    assert np.array_equal(latents(seeds[7:8], 8)[0], z[7])


def test_batches_always_have_one_size_and_place_does_not_need_company() -> None:
    torch.set_num_threads(1)
    network = ToyGenerator()
    sampler = BlockSampler(network, block=16, truncation=1.0, device=CPU)
    seeds = [slot_seed(0, i) for i in range(16)]
    labels = np.random.default_rng(0).integers(0, 2, (16, 4)).astype(np.float32)
    together = sampler.images(seeds, labels, np.arange(16))
    for i in (0, 5, 15):
        alone = sampler.images(seeds[i : i + 1], labels[i : i + 1], np.array([i]))
        assert np.array_equal(alone[0], together[i])
    assert set(network.calls) == {16}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_blocks_on_their_way_do_not_mix_on_a_gpu() -> None:
    device = torch.device("cuda")
    network = ToyGenerator()
    network.first, network.second = network.first.to(device), network.second.to(device)
    sampler = BlockSampler(network, block=16, truncation=1.0, device=device)
    labels = np.random.default_rng(0).integers(0, 2, (16, 4)).astype(np.float32)
    blocks = [[slot_seed(0, 16 * b + i) for i in range(16)] for b in range(6)]
    following = partial(next, iter(blocks), None)
    ahead = one_ahead(following, lambda seeds: sampler.launch(seeds, labels, np.arange(16)))
    overlapped = [launched.wait()[0] for _, launched in ahead]
    for seeds, images in zip(blocks, overlapped, strict=True):
        assert np.array_equal(sampler.images(seeds, labels, np.arange(16)), images)


def test_colour_networks_are_refused() -> None:
    network = ToyGenerator()
    network.channels = 3
    with pytest.raises(InputError, match="3 channels"):
        BlockSampler(network, block=4, truncation=1.0, device=CPU)


def test_one_ahead_starts_the_next_before_handing_on() -> None:
    log: list[str] = []

    def start(i: int) -> int:
        log.append(f"start {i}")
        return 10 * i

    for item, result in one_ahead(partial(next, iter(range(3)), None), start):
        assert result == 10 * item
        log.append(f"use {item}")
    assert log == ["start 0", "start 1", "use 0", "start 2", "use 1", "use 2"]


def test_label_vectors_go_by_name() -> None:
    values = np.array([[1, 0, 1], [0, 1, 1]], dtype=np.uint8)
    table = LabelTable(np.arange(len(values)), ("A", "B", "C"), values, (True, True, False))
    vectors = table.vectors(("C", "X", "A"))
    assert vectors.tolist() == [[0, 0, 1], [0, 0, 0]]  # C is not covered: its 1 is no label


def test_names_hold_the_slot() -> None:
    assert slot_of(slot_image(123_456)) == 123_456
    for name in ("images/00000/1.png", "images/00001/00000001.png", "x.png"):
        with pytest.raises(ValueError, match=r".*"):
            slot_of(name)


def info_of(size: int) -> DatasetInfo:
    return DatasetInfo(
        labels=(),
        covered=(),
        size=size,
        fit="crop",
        kernel="k",
        namespace="n",
        patients=False,
        source="s",
    )


class TestImageWriter:
    def test_writes_everything_before_it_ends(self, tmp_path: Path) -> None:
        run = Run.for_test(tmp_path)
        images = np.zeros((5, SIZE, SIZE), dtype=np.uint8)
        with ImageWriter(DatasetWriter(run, info_of(SIZE)), workers=2) as writer:
            for b in range(30):
                names = [slot_image(5 * b + i) for i in range(5)]
                writer.put(names, images, [{"synthetic": "true"}] * 5)
        assert len(list(tmp_path.rglob("*.png"))) == 150

    def test_a_full_disk_stops_the_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written: list[str] = []

        def full(self: DatasetWriter, name: str, array: np.ndarray, text: object = None) -> str:
            if len(written) >= 12:
                raise OSError(errno.ENOSPC, "No space left on device")
            written.append(name)
            return ""

        monkeypatch.setattr(DatasetWriter, "add_image", full)
        images = np.zeros((5, SIZE, SIZE), dtype=np.uint8)
        queued = 0
        run = Run.for_test(tmp_path)
        with (
            pytest.raises(OSError, match="No space left"),
            ImageWriter(DatasetWriter(run, info_of(SIZE)), workers=1) as writer,
        ):
            for b in range(100):
                writer.put([slot_image(5 * b + i) for i in range(5)], images, [{}] * 5)
                queued += 1
        assert queued < 10  # it did not go on queueing

    def test_memory_is_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import threading

        gate = threading.Event()
        monkeypatch.setattr(DatasetWriter, "add_image", lambda *a, **k: gate.wait(10))
        images = np.zeros((1, SIZE, SIZE), dtype=np.uint8)
        run = Run.for_test(tmp_path)
        with ImageWriter(DatasetWriter(run, info_of(SIZE)), workers=2) as writer:
            done: list[int] = []

            def feed() -> None:
                for b in range(20):
                    writer.put([slot_image(b)], images, [{}])
                    done.append(b)

            thread = threading.Thread(target=feed)
            thread.start()
            thread.join(0.3)
            assert len(done) == 4  # two threads, twice as many blocks
            gate.set()
            thread.join()
        assert len(done) == 20


def test_unknown_labels_are_drawn_as_often_as_known_ones_have_them() -> None:
    """By the image's own seed and the label's name, whatever stands beside it."""
    names = ("A", "B")
    vectors = np.tile(np.array([[np.nan, 1.0]], np.float32), (4000, 1))
    seeds = list(range(4000))
    out = completed(vectors, seeds, names, {"A": 0.3})
    assert (out[:, 1] == 1).all()
    assert set(out[:, 0]) == {0.0, 1.0}
    assert abs(out[:, 0].mean() - 0.3) < 0.03
    part = completed(vectors[100:103, ::-1], seeds[100:103], names[::-1], {"A": 0.3})
    assert np.array_equal(part[:, 1], out[100:103, 0])


class TestRecord:
    def plan_and_record(self) -> tuple[Plan, IntArray, dict[str, Any]]:
        values = np.zeros((1000, 3), dtype=np.uint8)
        values[:50, 0] = values[:500:2, 1] = 1
        request = Request(("A, or B",), (0,), shares=(Fraction("0.15"),))
        labels = ("A, or B", "Other", "Uncovered")
        plan = make_plan(values, labels, request, seed=0)
        rows = plan.source_rows + 7
        record = plan_record(plan, rows, usable=(True, True, False), seed=0, settings={"x": 1})
        return plan, rows, record

    def test_numbers(self) -> None:
        plan, _, record = self.plan_and_record()
        assert record["n_real"] == 1000
        assert record["n_synthetic"] == 118
        assert record["lp_optimum"] == pytest.approx(117.647)
        assert record["gap"] == pytest.approx(118 / (100 / 0.85) - 1)
        target = record["targets"]["A, or B"]
        assert target["share_before"] == 0.05
        assert target["share_after"] == 168 / 1118
        assert target["drawn"] == 118
        assert set(record["drift"]) == {"Other"}
        other = 250 + int(plan.drawn_positives[1])
        assert record["drift"]["Other"] == pytest.approx(other / 1118 - 0.25)

    def test_table_shows_all_of_it(self) -> None:
        _, _, record = self.plan_and_record()
        rows = table_rows(record)
        assert all(len(row) == len(COLUMNS) for row in rows)
        assert rows[0][:4] == ("A, or B", 50, "5.00 %", "15.00 %")
        assert rows[0][-1] == "118"
        assert rows[1][0] == "Other"
        assert "117.6" in title(record)
        assert "+0.4 (+0.30 %)" in title(record)

    def test_a_label_that_is_diluted_below_the_share_is_named(self) -> None:
        _, _, record = self.plan_and_record()
        assert fallen_below(record) == []
        record["shares"]["Other"] = {"before": 0.151, "after": 0.149}
        assert fallen_below(record) == ["Other"]
        record["targets"]["A, or B"]["share_wanted"] = None
        assert fallen_below(record) == []

    def test_slots_and_their_digest(self, tmp_path: Path) -> None:
        plan, rows, _ = self.plan_and_record()
        write_slots(Run.for_test(tmp_path), plan, rows)
        lines = (tmp_path / "slots.csv").read_text().splitlines()
        assert lines[0] == "slot,class,source_row"
        assert lines[1] == f'0,"A, or B",{rows[0]}'
        assert len(lines) == 119
        other = rows.copy()
        other[5] += 1
        assert slots_digest(plan, rows) != slots_digest(plan, other)


class TestGeneratorCard:
    def test_not_a_generator(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no finished generator"):
            GeneratorCard.open(tmp_path)
        write_generator(tmp_path, kind="classifier")
        with pytest.raises(InputError, match="this is a classifier"):
            GeneratorCard.open(tmp_path)

    def test_policy_is_inherited_or_must_agree(self, tmp_path: Path) -> None:
        zeros = {"uncertain": "zeros", "blank": "zeros"}
        card = GeneratorCard.open(write_generator(tmp_path, policy=zeros))
        assert choose_policy(None, None, None) == LabelPolicy("ones", "zeros")
        assert choose_policy("ignore", "ignore", None) == LabelPolicy("ignore", "ignore")
        assert choose_policy(None, None, card) == LabelPolicy("zeros", "zeros")
        assert choose_policy("zeros", None, card) == LabelPolicy("zeros", "zeros")
        with pytest.raises(UsageError, match="--uncertain ones against zeros"):
            choose_policy("ones", None, card)
        with pytest.raises(UsageError, match="--blank ignore against zeros"):
            choose_policy(None, "ignore", card)

    def test_more_patients_than_the_plan_counts(
        self, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = write_generator(tmp_path / "g")
        card, dataset = GeneratorCard.open(folder), load_dataset(data)
        half = select_rows(dataset, SelectionOptions(leave_out="1/2"))
        some = select_rows(dataset, SelectionOptions(leave_out="1/2", fraction=0.5))
        seen = Seen.of(dataset, half)
        record = {"toy": sorted(seen.patients["toy"])}
        (folder / "seen.json").write_text(
            json.dumps({"format": 1, "patients": record, "pixels": []})
        )
        card.refuse_unfair_use(dataset, half, view="frontal")
        card.refuse_unfair_use(dataset, np.arange(180), view="frontal")
        assert "flattered" not in capsys.readouterr().err
        card.refuse_unfair_use(dataset, some, view="frontal")
        n = len(seen.patients["toy"] - Seen.of(dataset, some).patients["toy"])
        assert f"trained on {n} patients that this plan leaves out" in capsys.readouterr().err
        others = select_rows(dataset, SelectionOptions(leave_out="2/2"))
        card.refuse_unfair_use(dataset, others, view="frontal")
        assert "flattered" in capsys.readouterr().err

    def test_pixels_that_do_not_join(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        card = GeneratorCard.open(write_generator(tmp_path))
        card.warn_of_other_pixels(info_of(16), info_of(16))
        assert capsys.readouterr().err == ""
        card.warn_of_other_pixels(info_of(32), info_of(16))
        assert "size 16, the real ones 32" in capsys.readouterr().err


def test_filters_csv_is_written_in_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    def peak(n: int) -> int:
        accounts = Accounts(n, ("class",), ("class", "nn_distance"))
        for slot in range(n):
            accounts.accept(slot, slot % 3, np.array([slot, 0.1], dtype=np.float32))
        slots, run = np.arange(n), Run.for_test(tmp_path / str(n))
        streams = np.zeros(n, dtype=np.int64)
        tracemalloc.start()
        accounts.write_table(run, slots, streams, ("Fracture",))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        again = Accounts(n, ("class",), ("class", "nn_distance"))
        again.read_table(tmp_path / str(n) / "filters.csv")
        assert (again.tries == accounts.tries).all()
        assert (again.kept == accounts.kept).all()
        return most

    peak(100)  # imports
    assert peak(4000) < 1.3 * peak(1000)
