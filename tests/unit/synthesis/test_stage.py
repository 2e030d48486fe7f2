"""The stage on a toy generator: files, accounts, shards, replay, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cxrtool import cli
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import CxrError, GateError, InputError, UsageError
from cxrtool.core.runs.execution import Outcome, execute
from cxrtool.data.manifest import load_dataset
from tests.unit.synthesis.conftest import (
    ToyGenerator,
    some_cells,
    write_dataset,
    write_generator,
)

merge = cli.stages()["merge"]
replay = cli.stages()["replay"]
synthesize = cli.stages()["synthesize"]

RARE = "Pleural Other,Fracture"


def start(stage: Any, out: Path, **options: Any) -> Outcome:
    return execute(stage, resolve(stage.Config, options), out)


def make(out: Path, data: Path, **options: Any) -> Outcome:
    return start(synthesize, out, data=data, **{"threads": 1, **options})


def join(out: Path, *shards: Path, **options: Any) -> Outcome:
    return start(merge, out, shards=shards, **options)


def again(out: Path, synth: Path, gan: Path, **options: Any) -> Outcome:
    return start(replay, out, synth=synth, gan=gan, **{"threads": 1, **options})


def test_a_file_of_options_counts_by_content(tmp_path: Path) -> None:
    from cxrtool.core.config.records import result_options

    file = tmp_path / "uncertain.toml"
    config = synthesize.Config(data=tmp_path, uncertain=str(file))
    found = []
    for default in ("ones", "zeros"):
        file.write_text(f'default = "{default}"\n')
        found.append(result_options(config)["uncertain"])
    assert found[0] != found[1]


def content(folder: Path) -> dict[str, bytes]:
    """Everything that a run made, without the records of the execution."""
    records = {"run.json", "result.json", "metrics.jsonl", "log.txt", "progress.json"}
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name not in records
        and not path.name.startswith(".")
        and ".cache" not in path.parts
    }


class TestPlanOnly:
    def test_needs_no_generator_and_no_pixels(self, tmp_path: Path) -> None:
        data = write_dataset(tmp_path / "labels", some_cells(), size=None, fit=None, kernel=None)
        outcome = make(tmp_path / "plan", data, plan_only=True, target_frac="0.15")
        printed = outcome.as_json()
        plan = json.loads((tmp_path / "plan" / "plan.json").read_text())
        assert printed == {**plan, "folder": str(tmp_path / "plan"), "made": True}
        assert printed["n_real"] == 180  # test rows are not counted
        assert set(printed["targets"]) == {"Pleural Other", "Fracture"}
        assert set(printed["drift"]) == {"No Finding", "Edema"}  # Unread is not covered
        for target in printed["targets"].values():
            assert target["share_after"] >= 0.15 > target["share_before"]
        assert printed["n_synthetic"] == sum(t["drawn"] for t in printed["targets"].values())
        assert printed["gap_images"] == pytest.approx(
            printed["n_synthetic"] - printed["lp_optimum"], abs=1e-3
        )
        assert printed["gap"] == pytest.approx(
            printed["gap_images"] / printed["lp_optimum"], abs=1e-5
        )

    def test_slots_name_rows_of_the_manifest_that_carry_the_class(
        self, tmp_path: Path, data: Path
    ) -> None:
        import csv

        make(tmp_path / "plan", data, plan_only=True, target_frac="0.15", classes=RARE)
        table = load_dataset(data).table
        with open(tmp_path / "plan" / "slots.csv", newline="") as stream:
            slots = list(csv.DictReader(stream))
        assert [int(slot["slot"]) for slot in slots] == list(range(len(slots)))
        for slot in slots:
            row = table.iloc[int(slot["source_row"])]
            assert row[slot["class"]] == "1"
            assert row["split"] == "train"

    def test_policy_decides_what_counts(self, tmp_path: Path, data: Path) -> None:
        shares = []
        for policy in ("ones", "zeros"):
            outcome = make(
                tmp_path / policy, data, plan_only=True, counts="Fracture=1", uncertain=policy
            )
            shares.append(outcome.as_json()["shares"]["Edema"]["before"])
        assert shares[0] > shares[1]

    def test_unknown_cells_count_in_no_share(
        self, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        plan = make(
            tmp_path / "o", data, plan_only=True, target_frac="Edema=0.5", uncertain="ignore"
        ).as_json()
        cells = load_dataset(data).table[lambda t: t["split"] == "train"]["Edema"]
        ones, known = int((cells == "1").sum()), int((cells != "-1").sum())
        assert plan["unknown"] == {"Edema": len(cells) - known}
        assert plan["shares"]["Edema"]["before"] == ones / known
        n = plan["n_synthetic"]
        assert (ones + n) / (known + n) >= 0.5 > (ones + n - 1) / (known + n - 1)
        assert (
            f"unknown in so many of 180 rows: Edema {len(cells) - known}" in capsys.readouterr().err
        )

    def test_fewest(self, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
        wish = {"plan_only": True, "target_frac": "Pleural Other=0.2,Edema=0.5"}
        drawn = make(tmp_path / "a", data, **wish).as_json()
        capsys.readouterr()
        fewest = make(tmp_path / "b", data, fewest=True, **wish).as_json()
        assert fewest["n_synthetic"] < drawn["n_synthetic"]
        rows = pd.read_csv(tmp_path / "b" / "slots.csv")["source_row"].tolist()
        assert fewest["lenders"] == len(set(rows))
        most = max(rows.count(row) for row in set(rows))
        assert fewest["most_from_one_row"] == most
        said = f"all labels come from {len(set(rows))} real rows, those of one row up to {most}"
        assert said in capsys.readouterr().err
        with pytest.raises(UsageError, match="--fewest contradicts --per-class"):
            make(tmp_path / "c", data, fewest=True, per_class=True, **wish)
        with pytest.raises(UsageError, match="--fewest applies only with --target-frac"):
            make(tmp_path / "d", data, plan_only=True, counts="Edema=1", fewest=True)

    def test_selection_and_seed_count(self, tmp_path: Path, data: Path) -> None:
        every = make(tmp_path / "a", data, plan_only=True, target_frac="0.15", split="all")
        assert every.as_json()["n_real"] == 200
        one = make(tmp_path / "b", data, plan_only=True, target_frac="0.15", seed=1).as_json()
        two = make(tmp_path / "c", data, plan_only=True, target_frac="0.15", seed=2).as_json()
        assert one["slots_sha256"] != two["slots_sha256"]
        half = make(tmp_path / "d", data, plan_only=True, target_frac="0.15", fraction=0.5)
        assert half.as_json()["n_real"] == 90

    def test_a_dry_run_writes_nothing(self, tmp_path: Path, data: Path) -> None:
        config = resolve(
            synthesize.Config, {"data": data, "plan_only": True, "target_frac": "0.15"}
        )
        outcome = execute(synthesize, config, tmp_path / "o", dry_run=True)
        assert outcome.result["plan"]["n_real"] == 180
        assert not (tmp_path / "o").exists()
        config = resolve(synthesize.Config, {"data": data, "target_frac": "0.15"})
        outcome = execute(synthesize, config, tmp_path / "o", dry_run=True)
        assert outcome.result["plan"]["n_synthetic"] > 0  # no generator is needed to look


class TestImages:
    def test_every_image_is_accounted_for(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        out = tmp_path / "synth"
        outcome = make(out, data, gan=gan, target_frac="0.15", classes=RARE, truncation=0.7)
        real, made = load_dataset(data), load_dataset(out)
        plan = json.loads((out / "plan.json").read_text())
        assert len(made) == plan["n_synthetic"] == outcome.result["counts"]["images"] > 0
        assert made.info.synthetic
        assert not made.info.patients
        assert made.info.covered == (False, True, True, True, False)
        assert set(made.table["split"]) == {"train"}
        assert set(made.table["source"]) == {"synthetic"}
        assert set(made.table["truncation"]) == {"0.7"}
        assert (made.table[["patient_id", "sex", "age"]] == "").all().all()
        for _, row in made.table.iterrows():
            source = real.table.iloc[int(row["source_row"])]
            for label in ("Edema", "Pleural Other", "Fracture"):
                assert row[label] == {"-1": "1"}.get(source[label], source[label])
            assert row["No Finding"] == row["Unread"] == ""  # the generator does not know them
            assert row["view"] == source["view"]
            with Image.open(out / row["image"]) as image:
                assert image.mode == "L"
                assert image.info["synthetic"] == "true"
                assert row["generator"] in image.info["Comment"]
                assert f"seed={row['seed']}" in image.info["Comment"]
        shares = {
            label: ((real.table["split"] == "train") & (real.table[label] == "1")).sum()
            + (made.table[label] == "1").sum()
            for label in ("Pleural Other", "Fracture")
        }
        assert min(shares.values()) >= 0.15 * (180 + len(made))

    def test_labels_reach_the_network_in_its_own_order(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        out = tmp_path / "synth"
        make(out, data, gan=gan, counts="Fracture=5", block=16)
        import torch

        from cxrtool.data.images import to_uint8
        from cxrtool.synthesis.slots import latents

        made = load_dataset(out)
        rows = made.table
        y = np.zeros((16, 4), dtype=np.float32)
        for j, label in enumerate(ToyGenerator.labels[:3]):
            y[:5, j] = rows[label] == "1"
        z = np.zeros((16, 24), dtype=np.float32)
        z[:5] = latents([int(seed) for seed in rows["seed"]], 24)
        expected = to_uint8(network.generate(torch.from_numpy(z), torch.from_numpy(y)))[:5]
        for name, image in zip(rows["image"], expected):
            assert np.array_equal(np.asarray(Image.open(out / name)), image)
        assert set(network.calls) == {16}

    def test_options_change_the_images(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        changes: dict[str, dict[str, Any]] = {
            "plain": {},
            "seed": {"seed": 1},
            "psi": {"truncation": 0.5},
        }
        made = {
            key: content(make(tmp_path / key, data, gan=gan, counts="Fracture=3", **options).folder)
            for key, options in changes.items()
        }
        first = "images/00000/00000000.png"
        assert len({files[first] for files in made.values()}) == 3
        make(tmp_path / "block", data, gan=gan, counts="Fracture=3", block=5)
        assert network.calls[-1] == 5
        assert load_dataset(tmp_path / "block").info.notes["block"] == 5

    def test_device_and_threads_do_not_change_the_run(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        out = tmp_path / "o"
        make(out, data, gan=gan, counts="Fracture=3")
        rerun = make(out, data, gan=gan, counts="Fracture=3", workers=1, device="cpu")
        assert rerun.state == "up-to-date"
        with pytest.raises(CxrError, match="--seed: 0 -> 1"):
            make(out, data, gan=gan, counts="Fracture=3", seed=1)

    def test_sheets_show_real_beside_synthetic(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        out = tmp_path / "o"
        outcome = make(out, data, gan=gan, counts="Fracture=3,Pleural Other=2")
        assert outcome.result["summary"]["sheets"] == [
            "samples/pleural-other.png",
            "samples/fracture.png",
        ]
        with Image.open(out / "samples" / "fracture.png") as sheet:
            pixels = np.asarray(sheet)
        row = int(load_dataset(out).table["source_row"].iloc[2])
        real = np.asarray(Image.open(load_dataset(data).image_path(row)))
        shown = pixels[2 : 2 + 128 : 8, 2 : 2 + 128 : 8]  # enlarged 8 times
        assert np.array_equal(shown, real)

    def test_nothing_to_make_is_a_success(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator, capsys: Any
    ) -> None:
        out = tmp_path / "o"
        outcome = make(out, data, gan=gan, target_frac="0.01", classes="Edema")
        assert outcome.state == "done"
        told = capsys.readouterr().err
        assert "nothing to make" in told
        assert "Edema has its share already: nothing is made for it" in told
        assert len(load_dataset(out)) == 0
        assert network.calls == []

    def test_seen_goes_along(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        (gan / "seen.json").write_text(
            '{"format": 1, "patients": {"toy": ["00ff"]}, "pixels": ["aa"]}'
        )
        make(tmp_path / "o", data, gan=gan, counts="Fracture=1")
        seen = json.loads((tmp_path / "o" / "seen.json").read_text())
        assert seen["patients"] == {"toy": ["00ff"]}
        assert seen["pixels"] == ["aa"]


class TestResume:
    @pytest.mark.parametrize("blocks_done", [0, 1, 3])
    def test_complete_images_are_not_made_again(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator, blocks_done: int
    ) -> None:
        options = {"gan": gan, "counts": "Fracture=40,Pleural Other=30", "block": 16, "workers": 1}
        whole = content(make(tmp_path / "whole", data, **options).folder)
        n_blocks = len(network.calls)
        assert n_blocks == 5
        network.calls.clear()
        network.fail_after = blocks_done
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "killed", data, **options)
        left = list((tmp_path / "killed").rglob("*.png"))
        if left:  # one image of a finished block is lost, and one is cut short
            left[0].unlink()
        before = {p: p.stat().st_mtime_ns for p in left[1:]}
        if len(left) > 20:
            left[-1].write_bytes(left[-1].read_bytes()[:40])
        network.calls.clear()
        network.fail_after = None
        assert content(make(tmp_path / "killed", data, **options).folder) == whole
        assert len(network.calls) <= n_blocks
        if len(left) > 20:
            assert len(network.calls) < n_blocks
            kept = sum(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
            assert kept >= len(left) - 32

    def test_a_full_disk_keeps_what_is_complete(
        self,
        tmp_path: Path,
        data: Path,
        gan: Path,
        network: ToyGenerator,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        import errno

        from cxrtool.data.writer import DatasetWriter

        options = {"gan": gan, "counts": "Fracture=90", "workers": 1}
        whole = make(tmp_path / "whole", data, **options)
        plain = DatasetWriter.add_image
        written: list[str] = []

        def full(self: DatasetWriter, name: str, *args: Any, **kwargs: Any) -> str:
            if len(written) == 40:
                raise OSError(errno.ENOSPC, "No space left on device")
            written.append(name)
            return plain(self, name, *args, **kwargs)

        monkeypatch.setattr(DatasetWriter, "add_image", full)
        with pytest.raises(OSError, match="No space"):
            make(tmp_path / "o", data, **options)
        monkeypatch.setattr(DatasetWriter, "add_image", plain)
        stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "o").rglob("0*.png")}
        assert len(stamps) == 40
        rerun = make(tmp_path / "o", data, **options)
        assert content(rerun.folder) == content(whole.folder)
        assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items())

    def test_a_signal_stops_between_blocks(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        import os
        import signal

        from cxrtool.core.errors import InterruptedRunError

        plain = network.generate

        def interrupted(*args: Any, **kwargs: Any) -> Any:
            if len(network.calls) == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            return plain(*args, **kwargs)

        network.generate = interrupted  # type: ignore[method-assign]
        options = {"gan": gan, "counts": "Fracture=100", "block": 16}
        with pytest.raises(InterruptedRunError) as caught:
            make(tmp_path / "o", data, **options)
        assert caught.value.exit_code == 143
        network.generate = plain  # type: ignore[method-assign]
        make(tmp_path / "o", data, **options)
        whole = make(tmp_path / "whole", data, **options)
        assert content(tmp_path / "o") == content(whole.folder)


class TestShards:
    @pytest.mark.parametrize("n", [1, 2, 3, 7])
    def test_the_union_is_the_same_to_the_byte(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator, n: int
    ) -> None:
        options = {"gan": gan, "counts": "Fracture=30,Pleural Other=21", "block": 8}
        whole = content(make(tmp_path / "whole", data, **options).folder)
        shards = [
            make(tmp_path / f"s{i}", data, shard=f"{i}/{n}", **options).folder
            for i in range(1, n + 1)
        ]
        assert sum(len(load_dataset(shard)) for shard in shards) == 51
        merged = content(join(tmp_path / "merged", *reversed(shards)).folder)
        assert merged == whole
        assert {name for name in whole if name.startswith("samples/")} == {
            "samples/fracture.png",
            "samples/pleural-other.png",
        }

    def test_without_the_real_set_a_shard_s_own_sheets_do(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        options = {"gan": gan, "counts": "Fracture=30", "block": 8}
        here = shutil.copytree(data, tmp_path / "here")
        shards = [make(tmp_path / f"s{i}", here, shard=f"{i}/2", **options).folder for i in (1, 2)]
        here.rename(tmp_path / "elsewhere")
        outcome = join(tmp_path / "merged", *shards)
        assert outcome.result["summary"]["sheets"] == ["samples/fracture.png"]
        sheet = (outcome.folder / "samples/fracture.png").read_bytes()
        assert sheet == (shards[0] / "samples/fracture.png").read_bytes()

    def test_shards_that_do_not_belong_together(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        a = make(tmp_path / "a", data, gan=gan, counts="Fracture=30", shard="1/2").folder
        b = make(tmp_path / "b", data, gan=gan, counts="Fracture=31", shard="2/2").folder
        c = make(tmp_path / "c", data, gan=gan, counts="Fracture=30", shard="2/3").folder
        d = make(tmp_path / "d", data, gan=gan, counts="Fracture=30").folder
        cases = (
            ((a, b), r"another plan than .*--counts: Fracture=30 -> Fracture=31"),
            ((a, c), "one of 3 shards"),
            ((a, a), "given twice"),
            ((a,), "2/2 missing"),
            ((d,), "no shard"),
            ((data,), "not the output folder"),
        )
        for i, (shards, message) in enumerate(cases):
            with pytest.raises(InputError, match=message):
                join(tmp_path / f"m{i}", *shards)

    @pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2"])
    def test_wrong_shards(self, tmp_path: Path, data: Path, gan: Path, text: str) -> None:
        with pytest.raises(UsageError, match="shard"):
            make(tmp_path / "o", data, gan=gan, counts="Fracture=1", shard=text)


class TestReplay:
    def test_any_single_image_comes_out_again(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        made = make(
            tmp_path / "o", data, gan=gan, counts="Fracture=20,Edema=17", truncation=0.8
        ).folder
        for only in ("0", "21", "00000036", "images/00000/00000009.png"):
            out = tmp_path / f"r{only[-6:]}"
            outcome = again(out, made / "manifest.csv", gan, only=(only,))
            assert outcome.result["summary"]["identical"] == 1
            assert outcome.result["summary"]["largest_difference"] == 0
            name = load_dataset(out).table["image"].iloc[0]
            assert (out / name).read_bytes() == (made / name).read_bytes()
        every = again(tmp_path / "all", made, gan).folder
        assert (every / "files.tsv").read_bytes() == (made / "files.tsv").read_bytes()

    def test_unknown_labels_stay_open_and_come_out_again(
        self, tmp_path: Path, data: Path, network: ToyGenerator
    ) -> None:
        policy = {"uncertain": "ignore", "blank": "zeros"}
        gan = write_generator(tmp_path / "open", policy=policy)
        made = make(tmp_path / "o", data, gan=gan, counts="Fracture=60").folder
        real, table = load_dataset(data).table, load_dataset(made).table
        wanted = [real["Edema"].iloc[int(row)] for row in table["source_row"]]
        assert table["Edema"].tolist() == wanted
        assert "-1" in wanted
        summary = again(tmp_path / "r", made, gan).result["summary"]
        assert summary["identical"] == summary["images"] == 60

    def test_a_difference_is_measured(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        made = make(tmp_path / "o", data, gan=gan, counts="Fracture=2").folder
        network.second += 0.01
        summary = again(tmp_path / "r", made, gan).result["summary"]
        assert summary["images"] == summary["compared"] == 2
        assert summary["identical"] == 0
        assert summary["largest_difference"] > 0

    def test_another_generator_is_named(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        made = make(tmp_path / "o", data, gan=gan, counts="Fracture=2").folder
        other = write_generator(tmp_path / "other", architecture={"size": 17})
        with pytest.raises(InputError, match="made by the generator"):
            again(tmp_path / "r", made, other)

    def test_unknown_ids_and_other_folders(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        made = make(tmp_path / "o", data, gan=gan, counts="Fracture=2").folder
        with pytest.raises(InputError, match="no image '2'"):
            again(tmp_path / "r", made, gan, only=("2",))
        with pytest.raises(InputError, match="not made by"):
            again(tmp_path / "s", data, gan)


class TestRefusals:
    def test_a_target_that_the_generator_does_not_know(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        with pytest.raises(InputError, match="does not know the target 'No Finding'"):
            make(tmp_path / "o", data, gan=gan, counts="No Finding=3")

    def test_another_policy_names_both(
        self, tmp_path: Path, data: Path, network: ToyGenerator
    ) -> None:
        gan = write_generator(tmp_path / "g", policy={"uncertain": "zeros", "blank": "zeros"})
        with pytest.raises(UsageError, match="--uncertain ones against zeros"):
            make(tmp_path / "o", data, gan=gan, counts="Fracture=3", uncertain="ones")
        inherited = make(tmp_path / "p", data, gan=gan, counts="Fracture=3")
        assert inherited.result["summary"]["settings"]["policy"]["uncertain"] == "zeros"

    def test_another_view_names_both(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        with pytest.raises(UsageError, match=r"--view all.*--view frontal"):
            make(tmp_path / "o", data, gan=gan, counts="Fracture=3", view="all")

    def test_labels_of_test_rows_are_not_drawn(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        with pytest.raises(UsageError, match="validation or test rows are selected"):
            make(tmp_path / "o", data, gan=gan, counts="Fracture=3", split="all")

    @pytest.mark.parametrize("key", ["patient", "pixels"])
    def test_a_generator_that_saw_test_patients(
        self, tmp_path: Path, gan: Path, network: ToyGenerator, key: str
    ) -> None:
        from cxrtool.data.keys import Seen

        cells = some_cells()
        cells["pixel_key"] = [f"{i:016x}" for i in range(200)]
        data = write_dataset(tmp_path / "d", cells)
        seen = Seen.of(load_dataset(data), np.array([150, 195]))
        patients = {k: sorted(v) for k, v in seen.patients.items()} if key == "patient" else {}
        record = {
            "format": 1,
            "patients": patients,
            "pixels": sorted(seen.pixels) if key == "pixels" else [],
        }
        (gan / "seen.json").write_text(json.dumps(record))
        with pytest.raises(GateError, match="leak: "):
            make(tmp_path / "o", data, gan=gan, counts="Fracture=3")
        assert network.calls == []

    def test_synthetic_rows_are_no_real_ones(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        made = make(tmp_path / "o", data, gan=gan, counts="Fracture=9").folder
        with pytest.raises(InputError, match="row 2, column 'source': a row that is not real"):
            make(tmp_path / "p", made, plan_only=True, counts="Fracture=3")

    def test_a_diverged_generator(
        self, tmp_path: Path, data: Path, gan: Path, network: ToyGenerator
    ) -> None:
        network.second[0, 0] = float("nan")
        with pytest.raises(InputError, match="not finite"):
            make(tmp_path / "o", data, gan=gan, counts="Fracture=3")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"target_frac": "0.1"}, "--gan is needed"),
            ({"plan_only": True}, "either --target-frac, --counts or --balance"),
            ({"plan_only": True, "counts": "A=1", "target_frac": "0.1"}, "either --target-frac"),
            ({"counts": "A=1", "per_class": True}, "--per-class applies only with --target-frac"),
            ({"plan_only": True, "counts": "A=1", "shard": "1/2"}, "--shard applies only without"),
            ({"plan_only": True, "counts": "A=1", "block": 3}, "--block applies only without"),
            (
                {"counts": "A=1", "keep_share": 0.5},
                "--keep-share applies only with --filter discriminator",
            ),
            ({"counts": "A=1", "max_tries": 5}, "--max-tries applies only with --filter"),
            ({"counts": "A=1", "edit_strength": 2.0}, "--edit-strength applies only with --edit"),
            ({"plan_only": True, "target_frac": "1"}, "not between 0 and 1"),
            ({"plan_only": True, "target_frac": "0"}, "not between 0 and 1"),
            ({"counts": "A=1", "merge": True}, "no --merge any more"),
            ({"counts": "A=1", "replay": Path("x")}, "no --replay any more"),
            ({"counts": "A=1", "only": ("3",)}, "no --only any more"),
            ({"data": None, "plan_only": True, "counts": "A=1"}, "missing DATA"),
        ],
    )
    def test_options_without_effect(
        self, tmp_path: Path, data: Path, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            start(synthesize, tmp_path / "o", **{"data": data, **options})
