"""What is chosen when nothing is asked, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from cxrtool.core.errors import InputError, UsageError
from cxrtool.generators.choices import (
    SIZES,
    choose_batch,
    choose_preset,
    choose_size,
    load_presets,
)
from cxrtool.generators.stylegan2.choices import choose
from tests.unit.generators.conftest import request_of


def test_presets_are_data() -> None:
    assert tuple(load_presets("stylegan2")) == ("tiny", "small", "full")


def test_defaults_follow_size() -> None:
    chosen = choose(request_of(size=32, preset="tiny", images=1000, labels=3))
    assert chosen.batch == 16
    assert chosen.r1_gamma == pytest.approx(0.0002 * 32**2 / 16)
    assert chosen.path_weight == 0  # off at 32 px
    assert chosen.augment == ("color", "translation", "cutout")
    assert chosen.total_nimg == 200_000
    assert chosen.ema_nimg == 5_000
    assert (chosen.style_mixing, chosen.label_weight) == (0.0, 0.1)
    assert chosen.snapshot_nimg == 10_000
    assert choose(request_of(size=64, preset="small", images=99, labels=0)).path_weight == 2


def test_short_runs_have_checkpoints_too() -> None:
    short = choose(request_of(size=32, preset="tiny", images=100, labels=1, kimg=16))
    assert short.snapshot_nimg == 2_000
    tiniest = choose(request_of(size=32, preset="tiny", images=100, labels=1, kimg=0.1))
    assert tiniest.snapshot_nimg == 1_000


def test_full_is_wider_from_512_px() -> None:
    widths = {
        size: choose(request_of(size=size, preset="full", images=99, labels=0)).arch.width(size)
        for size in (256, 512)
    }
    assert widths == {256: 64, 512: 64}


def test_what_is_asked_wins() -> None:
    chosen = choose(
        request_of(
            size=32,
            preset="tiny",
            images=100,
            labels=1,
            batch=16,
            kimg=0.1,
            lr=0.001,
            gamma=0.0,
            augment="none",
            snapshot_kimg=2,
            mirror=True,
            style_mixing=0.5,
            label_weight=0.3,
            d_label_weight=0.7,
            sample="sqrt",
            seed=4,
        )
    )
    assert (chosen.batch, chosen.total_nimg, chosen.lr, chosen.r1_gamma) == (16, 112, 0.001, 0.0)
    assert (chosen.augment, chosen.snapshot_nimg, chosen.mirror) == ((), 2000, True)
    assert (chosen.style_mixing, chosen.label_weight, chosen.seed) == (0.5, 0.3, 4)
    assert (chosen.d_label_weight, chosen.sample) == (0.7, "sqrt")
    assert chosen.ema_nimg == 5000


@pytest.mark.parametrize(("loss", "end"), [("ns-r1", None), ("rp-r1r2", 0.3)])
def test_only_the_relativistic_game_has_a_schedule(loss: str, end: float | None) -> None:
    assert choose(request_of(loss=loss)).augment_end == end


@pytest.mark.parametrize(
    ("options", "share"),
    [
        ({"loss": "ns-r1"}, 0.0),
        ({"loss": "rp-r1r2"}, 0.5),
        ({"loss": "rp-r1r2", "kimg": 3}, 0.5),  # of the preset's length, not of this run's
        ({"loss": "rp-r1r2", "init_from": "run"}, 0.0),
        ({"loss": "rp-r1r2", "burn_in": 0.0}, 0.0),
    ],
)
def test_the_relativistic_game_settles_in_half_of_the_presets_length(
    options: dict[str, Any], share: float
) -> None:
    kimg = choose(request_of()).total_nimg / 1000
    assert choose(request_of(**options)).burn_in_nimg == pytest.approx(1000 * share * kimg)


@pytest.mark.parametrize("augment", ["ada", "diffaugment", "none"])
def test_no_schedule_of_trained_weights_starts_at_zero(augment: str) -> None:
    kind: dict[str, Any] = {"size": 64, "preset": "small", "images": 999, "labels": 1}
    new, old = (
        choose(request_of(**kind, augment=augment, init_from=None if new else "run"))
        for new in (True, False)
    )
    assert (new.ema_ramp, old.ema_ramp) == (0.05, None)
    assert new.augment_nimg == (500_000 if augment == "ada" else 100_000)
    assert old.augment_nimg == 100_000
    differing = {k for k, v in new.to_json().items() if v != old.to_json()[k]}
    assert differing <= {"ema_ramp", "augment_nimg"}


def test_a_ramp_of_the_labels_must_be_over_at_the_end() -> None:
    kind: dict[str, Any] = {
        "size": 32,
        "preset": "tiny",
        "images": 999,
        "labels": 1,
        "where": "x",
        "kimg": 40.0,
    }
    assert choose(request_of(**kind, label_ramp=39.9)).ramp_nimg == 39_900
    with pytest.raises(UsageError, match="--label-ramp 40 is not over before --kimg 40"):
        choose(request_of(**kind, label_ramp=40.0))


def test_size() -> None:
    assert [choose_size(None, native, "x") for native in (16, 48, 64, 1024)] == [16, 32, 64, 64]
    assert choose_size(128, 256, "x") == 128
    for size in (8, 48, 1024):
        with pytest.raises(UsageError, match=f"--size {size}"):
            choose_size(size, 2048, "x")
    with pytest.raises(InputError, match="--size 64 is more than the data's 32 px"):
        choose_size(64, 32, "x")
    with pytest.raises(InputError, match="labels only"):
        choose_size(64, None, "x")
    with pytest.raises(InputError, match="too small"):
        choose_size(None, 12, "x")


def test_preset_by_size() -> None:
    found = {size: choose_preset(None, size) for size in SIZES}
    assert found == {16: "tiny", 32: "tiny", 64: "small", 128: "small", 256: "full", 512: "full"}
    assert choose_preset("full", 32) == "full"


def test_batch() -> None:
    assert choose_batch(None, 32, 1000, "x") == 32
    assert choose_batch(None, 32, 21, "x") == 20
    assert choose_batch(8, 32, 8, "x") == 8
    with pytest.raises(InputError, match="--batch 32 is more than the 10 images"):
        choose_batch(32, 32, 10, "x")
    with pytest.raises(InputError, match="1 image to train on"):
        choose_batch(None, 32, 1, "x")
    with pytest.raises(UsageError, match="multiple of 4"):
        choose_batch(6, 32, 10, "x")


def test_a_batch_must_be_cut_into_whole_groups() -> None:
    good: dict[str, Any] = {"size": 32, "preset": "tiny", "images": 100, "labels": 1}
    assert choose(request_of(**good, batch=16, accumulate=4)).parts == 4
    with pytest.raises(UsageError, match="--accumulate 3") as caught:
        choose(request_of(**good, batch=16, accumulate=3))
    assert caught.value.hint == "use --batch 12"
