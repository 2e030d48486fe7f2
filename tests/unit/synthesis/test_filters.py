"""Filters in the stage: what they refuse, that counts stay exact, shards, kills, caps, copies."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrtool.core.errors import GateError, InputError, UsageError
from cxrtool.data.images import to_float
from cxrtool.data.keys import Seen
from cxrtool.data.manifest import load_dataset
from cxrtool.data.select import parse_fold, select_rows
from cxrtool.synthesis.slots import Lanes
from tests.unit.synthesis.conftest import SIZE, ToyGenerator, some_cells, write_dataset
from tests.unit.synthesis.test_stage import again, content, join, make

PLAIN = {"counts": "Fracture=30,Pleural Other=21", "block": 8}


class ToyJudge:
    """Realness and logits are pixel means: some images pass, some do not."""

    labels = ToyGenerator.labels
    prevalence = torch.tensor([0.08, 0.06, 0.4, 0.5])
    single = False

    def judge(
        self, x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        parts = x.reshape(len(x), 8, -1).mean(dim=2)
        return 10 * parts[:, 0], 10 * parts[:, 1:5] + torch.logit(self.prevalence)


class ToyTeacher:
    """Reads two classes from the lower half of an image."""

    labels = ("Pleural Other", "Fracture")
    size = SIZE
    description: dict[str, Any] = {}  # noqa: RUF012

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        parts = x.reshape(len(x), 8, -1).mean(dim=2)
        return torch.as_tensor(10 * parts[:, 5:7])


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, network: ToyGenerator) -> ToyJudge:
    import cxrtool.generators

    toy = ToyJudge()
    monkeypatch.setattr(cxrtool.generators, "load_judge", lambda folder, device="cpu": toy)
    return toy


def write_teacher(folder: Path, seen: Seen) -> Path:
    """A folder that stands for a finished classifier."""
    folder.mkdir(parents=True)
    patients = {name: sorted(keys) for name, keys in seen.patients.items()}
    record = {"format": 1, "patients": patients, "pixels": sorted(seen.pixels)}
    (folder / "seen.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def teachers(monkeypatch: pytest.MonkeyPatch, data: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Two teachers that saw one half of the training patients each."""
    import cxrtool.classifiers
    from cxrtool.data.options import SelectionOptions

    monkeypatch.setattr(cxrtool.classifiers, "load", lambda folder, device="cpu": ToyTeacher())
    dataset = load_dataset(data)
    halves = [select_rows(dataset, SelectionOptions(leave_out=f"{i}/2")) for i in (1, 2)]
    assert sorted(np.concatenate(halves).tolist()) == list(range(180))
    return tuple(  # type: ignore[return-value]
        write_teacher(tmp_path / f"t{i}", Seen.of(dataset, rows)) for i, rows in enumerate(halves)
    )


def filters_csv(folder: Path) -> list[dict[str, str]]:
    with open(folder / "filters.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def pixels_of(folder: Path) -> np.ndarray:
    from cxrtool.data.cache import pixels

    return np.array(pixels(load_dataset(folder)))


class TestLanes:
    def test_every_slot_once_and_back_in_its_place(self) -> None:
        lanes = Lanes(np.arange(5, 30), block=8)
        met: list[int] = []
        while (batch := lanes.take()) is not None:
            assert (batch.slots % 8 == batch.places).all()
            assert len(set(batch.places.tolist())) == len(batch.places)
            for slot, attempt in zip(batch.slots.tolist(), batch.attempts.tolist()):
                if slot % 3 == 0 and attempt < 4:
                    lanes.again(slot, attempt + 1)
                else:
                    met.append(slot)
        assert sorted(met) == list(range(5, 30))

    def test_blocks_stay_full_while_there_is_fresh_work(self) -> None:
        lanes, sizes, rng = Lanes(np.arange(800), block=8), [], np.random.default_rng(0)
        while (batch := lanes.take()) is not None:
            sizes.append(len(batch.slots))
            for slot, attempt in zip(batch.slots.tolist(), batch.attempts.tolist()):
                if rng.random() < 0.5:
                    lanes.again(slot, attempt + 1)
        assert np.mean(sizes) > 7  # one block at a time would make it 8 / 3.6 tries


class TestVerdicts:
    def test_every_kept_image_passes_and_counts_stay_exact(
        self, tmp_path: Path, data: Path, gan: Path, judge: ToyJudge
    ) -> None:
        out = tmp_path / "o"
        both = ("discriminator", "class")
        summary = make(out, data, gan=gan, filter=both, keep_share=0.5, **PLAIN).result["summary"]
        assert len(load_dataset(out)) == 51
        record = json.loads((out / "filters.json").read_text())["meters"]["discriminator"]
        limits, effects = record["limits"], np.array(record["label_effects"])
        rows = filters_csv(out)
        realness, logits = judge.judge(to_float(pixels_of(out)), torch.zeros(51, 4))
        table = load_dataset(out).table
        for name, effect in zip(judge.labels, effects, strict=True):
            if name in table.columns:  # what the labels alone add is taken out
                realness -= effect * torch.from_numpy((table[name] == "1").to_numpy(np.float32))
            else:
                assert effect == 0
        columns = {"Fracture": 0, "Pleural Other": 1}
        order = list(columns)[::-1]  # streams stand in the order of the label table
        for i, row in enumerate(rows):
            assert float(realness[i]) >= limits[order.index(row["class"])] - 1e-4
            column = columns[row["class"]]
            assert logits[i, column] > torch.logit(judge.prevalence)[column]
            assert float(row["discriminator_kept"]) == pytest.approx(float(realness[i]), abs=1e-3)
        for label, found in summary["filters"].items():
            mine = [row for row in rows if row["class"] == label]
            assert found["images"] == len(mine)
            assert found["tries"] == sum(int(row["tries"]) for row in mine) > len(mine)
            assert found["acceptance"] == pytest.approx(len(mine) / found["tries"], abs=1e-6)
            refused = sum(int(row["discriminator_rejected"]) for row in mine)
            assert found["rejected"]["discriminator"] == refused > 0
            scores = found["scores"]["discriminator"]
            assert scores["shift"] == pytest.approx(scores["kept"] - scores["first"], abs=2e-6)
            assert scores["shift"] > 0
        cell = load_dataset(out).table["filter_score"].iloc[3]
        assert cell.startswith("discriminator=")
        assert ";class=" in cell

    def test_what_a_row_alone_adds_to_a_score_starves_no_slot(
        self,
        tmp_path: Path,
        data: Path,
        gan: Path,
        judge: ToyJudge,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        plain = judge.judge
        likes = torch.tensor([3.0, -2.0, 8.0, 0.0])

        def judged(
            x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor | None = None
        ) -> tuple[torch.Tensor, torch.Tensor]:
            realness, logits = plain(x, y)
            return realness + y @ likes, logits

        monkeypatch.setattr(judge, "judge", judged)
        options = {"gan": gan, "filter": ("discriminator",), "keep_share": 0.8, **PLAIN}
        out = make(tmp_path / "o", data, **{**options, "counts": "Fracture=150"}).folder
        tries = np.array([int(row["tries"]) for row in filters_csv(out)])
        assert len(set(load_dataset(out).table["Edema"])) == 2  # rows that are liked, and others
        assert 0.7 < len(tries) / tries.sum() < 0.9
        assert tries.max() <= 8
        everything = make(tmp_path / "all", data, **{**options, "keep_share": 1.0}).folder
        assert all(row["tries"] == "1" for row in filters_csv(everything))

    def test_single_labels_take_the_greatest(
        self, tmp_path: Path, gan: Path, judge: ToyJudge
    ) -> None:
        rng = np.random.default_rng(0)
        kinds = rng.integers(0, 3, 60)
        names = ("Edema", "Pleural Other", "Fracture")
        cells = {name: ["1" if k == i else "0" for k in kinds] for i, name in enumerate(names)}
        data = write_dataset(tmp_path / "single", cells, names, kind="single")
        out = tmp_path / "o"
        judge.prevalence = torch.full((4,), 0.5)
        make(out, data, gan=gan, filter=("class",), balance=7, block=8)
        _, logits = judge.judge(to_float(pixels_of(out)), torch.zeros(21, 4))
        read = [judge.labels[k] for k in logits.argmax(dim=1).tolist()]
        assert read == [row["class"] for row in filters_csv(out)]
        assert sorted(read) == sorted(7 * list(names))

    def test_without_filters_the_first_try_is_kept(
        self, tmp_path: Path, data: Path, gan: Path, judge: ToyJudge
    ) -> None:
        plain = make(tmp_path / "p", data, gan=gan, nearest=False, **PLAIN).folder
        assert not (plain / "filters.csv").exists()
        kept = make(tmp_path / "k", data, gan=gan, filter=("class",), **PLAIN).folder
        same = [
            (plain / name).read_bytes() == (kept / name).read_bytes()
            for name in load_dataset(kept).table["image"]
        ]
        assert same == [row["tries"] == "1" for row in filters_csv(kept)]
        assert 0 < sum(same) < 51

    def test_a_cap_fails_loudly_and_a_higher_one_goes_on(
        self, tmp_path: Path, data: Path, gan: Path, judge: ToyJudge
    ) -> None:
        options = {"gan": gan, "filter": ("class",), **PLAIN}
        with pytest.raises(GateError, match=r"no acceptable image of '.*' in 2 tries .*class ref"):
            make(tmp_path / "o", data, max_tries=2, **options)
        whole = make(tmp_path / "whole", data, **options)
        more = make(tmp_path / "o", data, max_tries=90, **options)
        assert content(more.folder) == content(whole.folder)

    def test_lines_in_cron_say_rate_acceptance_and_time_left(
        self,
        tmp_path: Path,
        data: Path,
        gan: Path,
        judge: ToyJudge,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:

        monkeypatch.setattr(
            "cxrtool.core.progress.EVERY_S", 0.0
        )  # every block instead of every 30 s
        make(tmp_path / "o", data, gan=gan, filter=("class",), **PLAIN)
        lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("making images")]
        assert len(lines) > 6
        form = r"making images: \d+/51 images \(\d+ %\), [\d.,]+ images/s, \d+:\d+ left, \d+ % acc"
        assert re.match(form, lines[3])
        make(tmp_path / "p", data, gan=gan, **PLAIN)
        assert "accepted" not in capsys.readouterr().err  # nothing can refuse an image


class TestTeachers:
    def test_only_teachers_to_whom_the_patient_is_new_judge(
        self,
        tmp_path: Path,
        data: Path,
        gan: Path,
        network: ToyGenerator,
        teachers: tuple[Path, Path],
    ) -> None:
        with pytest.raises(GateError, match="every teacher was trained on"):
            make(tmp_path / "o", data, gan=gan, teacher=teachers[:1], **PLAIN)
        out = tmp_path / "p"
        options = {"teacher": teachers, "filter": ("teacher",), "teacher_quantile": 0.5}
        summary = make(out, data, gan=gan, **options, **PLAIN).result["summary"]
        limits = json.loads((out / "filters.json").read_text())["meters"]["teacher"]["limits"]
        order = ["Pleural Other", "Fracture"]
        probability = torch.sigmoid(ToyTeacher().logits(to_float(pixels_of(out))))
        for i, row in enumerate(filters_csv(out)):
            k = order.index(row["class"])
            assert float(probability[i, k]) >= limits[k] - 1e-4
        real = load_dataset(data)
        from cxrtool.data.cache import pixels

        for k, label in enumerate(order):
            train = np.flatnonzero(real.table[label].to_numpy()[:180] == "1")
            shown = torch.sigmoid(ToyTeacher().logits(to_float(np.array(pixels(real)[train]))))
            assert limits[k] == pytest.approx(np.quantile(shown[:, k].numpy(), 0.5), abs=2e-3)
            assert summary["filters"][label]["scores"]["teacher"]["shift"] > 0

    def test_a_teacher_alone_measures(
        self,
        tmp_path: Path,
        data: Path,
        gan: Path,
        network: ToyGenerator,
        teachers: tuple[Path, Path],
    ) -> None:
        made = make(tmp_path / "o", data, gan=gan, teacher=teachers, **PLAIN).result["summary"]
        found = made["filters"]["Fracture"]
        assert found["rejected"] == {}
        assert found["acceptance"] == 1
        assert found["scores"]["teacher"]["shift"] == 0

    def test_a_teacher_that_saw_test_patients(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator, teachers: Any
    ) -> None:
        leaky = write_teacher(tmp_path / "leaky", Seen.of(load_dataset(data), np.array([185])))
        with pytest.raises(GateError, match=r"leak: .* test images were seen by the teacher"):
            make(tmp_path / "o", data, gan=gan, teacher=(leaky, *teachers), **PLAIN)

    def test_a_teacher_of_other_classes(
        self,
        tmp_path: Path,
        data: Path,
        gan: Path,
        network: ToyGenerator,
        teachers: tuple[Path, Path],
    ) -> None:
        with pytest.raises(InputError, match="teacher does not read 'Edema'"):
            make(tmp_path / "o", data, gan=gan, teacher=teachers, counts="Edema=3")

    @pytest.mark.parametrize("text", ["0/2", "3/2", "1/1", "1", "a/b"])
    def test_wrong_folds(self, text: str) -> None:
        with pytest.raises(UsageError, match="leave-out"):
            parse_fold(text)


class Copier(ToyGenerator):
    """What an overfitted generator is: training images with a little noise."""

    def __init__(self, images: np.ndarray, copies: float) -> None:
        super().__init__()
        self.images, self.copies = to_float(images), copies

    def generate(
        self, z: torch.Tensor, y: torch.Tensor, truncation: float = 1.0, noise: str = "const"
    ) -> torch.Tensor:
        fresh = super().generate(z, y, truncation, noise)
        pick = (z[:, 0].abs() * 1e4).long() % len(self.images)
        copied = self.images[pick] + 0.05 * z[:, 2:3, None, None] + 0.1 * fresh
        chance = 0.5 * (1 + torch.erf(z[:, 1] / 2**0.5))
        return torch.where(chance[:, None, None, None] < self.copies, copied, fresh)


class TestMemorized:
    @pytest.fixture
    def fifty(self, tmp_path: Path) -> Path:
        """50 training images that share their anatomy, as radiographs do."""
        from cxrtool.core.runs import Run

        folder = write_dataset(tmp_path / "fifty", {"Fracture": ["1"] * 50}, ("Fracture",))
        dataset, rng = load_dataset(folder), np.random.default_rng(3)
        anatomy = np.kron(rng.normal(0, 50, (4, 4)), np.ones((4, 4)))
        from cxrtool.data.writer import DatasetWriter

        writer = DatasetWriter(Run.for_test(folder), dataset.info)
        for name in dataset.table["image"]:
            own = np.kron(rng.normal(0, 25, (8, 8)), np.ones((2, 2)))
            writer.add_image(name, np.clip(128 + anatomy + own, 0, 255).astype(np.uint8))
        writer.finish(dataset.table)
        return folder

    @pytest.mark.parametrize("copies", [0.0, 0.4, 0.8])
    def test_copies_are_dropped_and_counted(
        self,
        tmp_path: Path,
        fifty: Path,
        gan: Path,
        monkeypatch: pytest.MonkeyPatch,
        copies: float,
    ) -> None:
        import cxrtool.generators

        images = pixels_of(fifty)
        network = Copier(images, copies)
        monkeypatch.setattr(cxrtool.generators, "load", lambda folder, device="cpu": network)
        out = tmp_path / "o"
        made = make(out, fifty, gan=gan, balance=200, filter=("memorized",))
        found = made.result["summary"]["filters"]["Fracture"]
        assert found["images"] == 200
        if copies == 0:
            assert found["rejected"]["memorized"] == 0
        else:
            share = found["rejected"]["memorized"] / found["tries"]
            assert share == pytest.approx(copies, abs=0.08)
        distances = load_dataset(out).table["nn_distance"].astype(float)
        assert distances.min() > 0.3  # no copy is left

    def test_distances_are_those_of_brute_force(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        out = make(tmp_path / "o", data, gan=gan, **PLAIN).folder

        def unit(images: np.ndarray) -> np.ndarray:
            flat = images.reshape(len(images), -1).astype(np.float64)
            flat -= flat.mean(axis=1, keepdims=True)
            return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True))

        a, b = unit(pixels_of(out)), unit(pixels_of(data)[:180])
        expected = np.linalg.norm(a[:, None] - b[None], axis=2).min(axis=1)
        told = load_dataset(out).table["nn_distance"].astype(float)
        assert np.allclose(told, expected, atol=1e-4)

    def test_too_few_training_images(
        self, tmp_path: Path, gan: Path, network: ToyGenerator
    ) -> None:
        data = write_dataset(tmp_path / "few", {"Fracture": ["1"] * 6}, ("Fracture",))
        with pytest.raises(InputError, match="compares with 6 training images"):
            make(tmp_path / "o", data, gan=gan, balance=3, filter=("memorized",))


class Repeater(ToyGenerator):
    """Makes one of a few images, so that most of a set would be duplicates."""

    def generate(
        self, z: torch.Tensor, y: torch.Tensor, truncation: float = 1.0, noise: str = "const"
    ) -> torch.Tensor:
        fresh = super().generate(z, y, truncation, noise)
        again = (z[:, 0] < -0.4)[:, None, None, None]
        constant = super().generate(torch.ones_like(z), torch.zeros_like(y), truncation, noise)
        return torch.where(again, constant, fresh)


class TestDuplicates:
    @pytest.fixture
    def repeats(self, monkeypatch: pytest.MonkeyPatch) -> Repeater:
        import cxrtool.generators

        torch.set_num_threads(1)
        network = Repeater()
        monkeypatch.setattr(cxrtool.generators, "load", lambda folder, device="cpu": network)
        monkeypatch.setattr(
            cxrtool.generators, "load_judge", lambda folder, device="cpu": ToyJudge()
        )
        return network

    def test_replaced_by_the_next_try(
        self, tmp_path: Path, data: Path, gan: Path, repeats: Repeater
    ) -> None:
        out = tmp_path / "o"
        made = make(out, data, gan=gan, filter=("duplicate",), **PLAIN).result["summary"]
        images = pixels_of(out).reshape(51, -1)
        assert len(np.unique(images, axis=0)) == 51
        free = make(tmp_path / "free", data, gan=gan, **PLAIN).folder
        doubled = 51 - len(np.unique(pixels_of(free).reshape(51, -1), axis=0))
        assert made["replaced"] == doubled > 5
        rows = filters_csv(out)
        assert sum(int(row["duplicate_rejected"]) for row in rows) >= doubled
        replay = again(tmp_path / "r", out, gan).result["summary"]
        assert replay["identical"] == replay["compared"] == 51

    @pytest.mark.parametrize("n", [2, 3, 7])
    def test_shards_settle_at_the_merge_to_the_same_bytes(
        self, tmp_path: Path, data: Path, gan: Path, repeats: Repeater, n: int
    ) -> None:
        options = {"gan": gan, "filter": ("class", "memorized", "duplicate"), **PLAIN}
        whole = make(tmp_path / "whole", data, **options)
        parts = [
            make(tmp_path / f"s{i}", data, shard=f"{i}/{n}", **options).folder
            for i in range(1, n + 1)
        ]
        merged = join(tmp_path / "m", *reversed(parts), threads=1)
        assert content(merged.folder) == content(whole.folder)
        told, again = whole.result["summary"], merged.result["summary"]
        assert told["replaced"] == again["replaced"] > 0
        assert told["filters"] == again["filters"]

    @pytest.mark.parametrize("calls", [1, 4])
    def test_a_killed_merge_goes_on_to_the_same_bytes(
        self, tmp_path: Path, data: Path, gan: Path, repeats: Repeater, calls: int
    ) -> None:
        options = {"gan": gan, "filter": ("duplicate",), **PLAIN}
        whole = make(tmp_path / "whole", data, **options)
        parts = [make(tmp_path / f"s{i}", data, shard=f"{i}/2", **options).folder for i in (1, 2)]
        repeats.calls.clear()
        repeats.fail_after = calls
        with pytest.raises(KeyboardInterrupt):
            join(tmp_path / "m", *parts, threads=1)
        repeats.fail_after = None
        merged = join(tmp_path / "m", *parts, threads=1)
        assert content(merged.folder) == content(whole.folder)
        assert merged.result["summary"]["filters"] == whole.result["summary"]["filters"]

    def test_a_merge_may_take_more_tries_than_its_shards_were_allowed(
        self, tmp_path: Path, data: Path, gan: Path, repeats: Repeater
    ) -> None:
        options = {"gan": gan, "filter": ("duplicate",), **PLAIN}
        whole = make(tmp_path / "whole", data, **options)
        few = {**options, "max_tries": 1}
        parts = [make(tmp_path / f"s{i}", data, shard=f"{i}/2", **few).folder for i in (1, 2)]
        merged = join(tmp_path / "m", *parts, max_tries=50, threads=1)
        assert content(merged.folder) == content(whole.folder)

    def test_a_merge_needs_the_inputs_of_its_shards(
        self, tmp_path: Path, data: Path, gan: Path, repeats: Repeater
    ) -> None:
        options = {"gan": gan, "filter": ("duplicate",), **PLAIN}
        parts = [make(tmp_path / f"s{i}", data, shard=f"{i}/2", **options).folder for i in (1, 2)]
        gan.rename(tmp_path / "elsewhere")
        with pytest.raises(InputError, match="input 'gan' is gone"):
            join(tmp_path / "m", *parts)

    def test_shards_of_other_limits(
        self, tmp_path: Path, data: Path, gan: Path, repeats: Repeater
    ) -> None:
        options = {"gan": gan, "filter": ("discriminator",), **PLAIN}
        parts = [make(tmp_path / f"s{i}", data, shard=f"{i}/2", **options).folder for i in (1, 2)]
        record = (parts[1] / "filters.json").read_text()
        (parts[1] / "filters.json").write_text(record.replace('"keep": 0.8', '"keep": 0.9'))
        with pytest.raises(InputError, match=r"changed|another plan"):
            join(tmp_path / "m", *parts)


class TestKills:
    @pytest.mark.parametrize("calls", [3, 5, 9, 14])
    def test_a_run_with_every_filter_converges(
        self,
        tmp_path: Path,
        data: Path,
        gan: Path,
        monkeypatch: pytest.MonkeyPatch,
        calls: int,
    ) -> None:
        import cxrtool.generators

        torch.set_num_threads(1)
        network = Repeater()
        monkeypatch.setattr(cxrtool.generators, "load", lambda folder, device="cpu": network)
        monkeypatch.setattr(
            cxrtool.generators, "load_judge", lambda folder, device="cpu": ToyJudge()
        )
        names = ("class", "memorized", "duplicate")
        options = {"gan": gan, "filter": names, "workers": 1, **PLAIN}
        whole = make(tmp_path / "whole", data, **options)
        needed = len(network.calls)
        assert needed > 14
        network.calls.clear()
        network.fail_after = calls * needed // 16
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "o", data, **options)
        network.fail_after = None
        again = make(tmp_path / "o", data, **options)
        assert content(again.folder) == content(whole.folder)
        assert again.result["summary"]["filters"] == whole.result["summary"]["filters"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep_share": 0.5}, "--keep-share applies only with --filter discriminator"),
        ({"max_tries": 5}, "--max-tries applies only with --filter"),
        ({"filter": ("teacher",)}, "--filter teacher needs --teacher"),
        ({"filter": ("class", "class")}, "--filter class is given twice"),
        ({"filter": ("memorized",), "nearest": False}, "--no-nearest contradicts"),
        ({"filter": ("discriminator",), "keep_share": 0.0}, "--keep-share 0 keeps nothing"),
        ({"filter": ("nothing",)}, "not one of"),
        ({"filter": ("class",), "plan_only": True}, "--filter applies only without --plan-only"),
        ({"balance": 3}, "either --target-frac, --counts or --balance"),
    ],
)
def test_filter_options_that_contradict(
    tmp_path: Path, data: Path, gan: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        make(tmp_path / "o", data, gan=gan, **{"counts": "Fracture=2", **options})


def test_balance_takes_every_class_that_has_a_row(tmp_path: Path, network: ToyGenerator) -> None:
    cells = some_cells()
    cells["Pleural Other"] = ["0"] * 200
    data = write_dataset(tmp_path / "d", cells)
    plan = make(tmp_path / "o", data, plan_only=True, balance=9).as_json()
    assert {name: t["drawn"] for name, t in plan["targets"].items()} == {
        "No Finding": 9,
        "Edema": 9,
        "Fracture": 9,
    }
