"""Measuring while training: what is better scores better, the best is kept, collapse is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cxrtool.core.errors import GateError
from cxrtool.core.runs import Run
from cxrtool.generators.feed import Feed
from cxrtool.generators.quality import Quality
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from cxrtool.generators.task import BEST, Start, Views
from tests.unit.generators.conftest import ellipses, micro_choices, train
from tests.unit.generators.test_trainer import assert_same, pictures


def flat(x: Tensor) -> Tensor:
    return x.flatten(1)


def mean_gap(fakes: np.ndarray, reals: np.ndarray) -> dict[str, float]:
    return {"fd": float(np.square(fakes.mean(axis=0) - reals.mean(axis=0)).sum())}


class Replays:
    """Stands in for a generator: shows given images."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = torch.from_numpy(images).unsqueeze(1).float() / 127.5 - 1
        self.device = self.images.device
        self.z_dim, self.size = micro_choices().arch.z_dim, micro_choices().arch.size
        self.at = 0

    def sample(self, z: Tensor, y: Tensor) -> Tensor:
        part = self.images[self.at : self.at + len(z)]
        self.at += len(z)
        return part


def measured(feed: Feed, images: np.ndarray) -> dict[str, float]:
    return Quality(feed, flat, mean_gap, seed=0).measure(Replays(images))


def test_images_like_the_real_ones_score_better_than_others(feed: Feed) -> None:
    other, _ = ellipses(48, 16, seed=5)
    alike = measured(feed, other)
    darker = measured(feed, (other * 0.7).astype(np.uint8))
    assert alike["fd"] < 0.2 * darker["fd"]
    assert 0.5 < alike["spread"] < 1.5


def test_equal_images_have_no_spread(feed: Feed) -> None:
    same = np.repeat(ellipses(1, 16)[0], 48, axis=0)
    assert measured(feed, same)["spread"] == pytest.approx(0, abs=1e-6)


class Scripted:
    """A quality that says what the test wants."""

    name, told, tolerance, n = Quality.name, Quality.told, Quality.tolerance, 1

    def __init__(self, *rows: dict[str, float]) -> None:
        self.rows = list(rows)
        self.seen: list[dict[str, torch.Tensor]] = []

    def measure(self, trainer: Any) -> dict[str, float]:
        self.seen.append({k: v.clone() for k, v in trainer.average.state_dict().items()})
        return self.rows[min(len(self.seen), len(self.rows)) - 1]


@pytest.mark.parametrize(
    ("fds", "kept"),
    [
        ([5.0, 2.0, 3.0, 4.0], 1),  # the others are clearly worse
        ([5.0, 2.0, 2.4, 4.0], 2),  # as good as the lowest, and newer
        ([5.0, 2.4, 2.0, 2.6], 2),  # not chained: within a quarter of the lowest, not of the last
        ([2.0, float("nan"), 2.2, 2.45], 3),
    ],
)
def test_the_newest_of_the_best_snapshots_is_kept(
    feed: Feed, tmp_path: Path, fds: list[float], kept: int
) -> None:
    choices = micro_choices(total_nimg=64, snapshot_nimg=16.0)
    trainer, run = StyleGan2Trainer(choices, feed), Run.for_test(tmp_path / "run")
    quality = Scripted(*({"fd": fd} for fd in fds))
    train(trainer, run, Views(pictures), quality)
    assert len(quality.seen) == 4
    assert trainer.best == (16 * (kept + 1), fds[kept], 2.0)
    assert_same(trainer.average.state_dict(), quality.seen[kept])
    assert [row["kimg"] for row in run.read_metrics() if "fd" in row] == [
        0.016,
        0.032,
        0.048,
        0.064,
    ]


def test_half_and_the_rest_keep_the_same_best(feed: Feed, tmp_path: Path) -> None:
    choices = micro_choices(total_nimg=64, snapshot_nimg=16.0)

    def quality() -> Quality:
        return Quality(feed, flat, mean_gap, seed=0)

    whole = StyleGan2Trainer(choices, feed)
    train(whole, Run.for_test(tmp_path / "whole"), Views(pictures), quality())
    run = Run.for_test(tmp_path / "parts")

    class KilledError(Exception):
        pass

    def killed() -> bytes:
        raise KilledError

    with pytest.raises(KilledError):
        train(StyleGan2Trainer(choices, feed), run, Views(killed), quality())
    resumed = StyleGan2Trainer(choices, feed)
    train(resumed, run, Views(pictures), quality())
    assert resumed.best == whole.best
    assert_same(resumed.average.state_dict(), whole.average.state_dict())
    assert (run.dir / BEST).exists()


def test_a_collapse_goes_back_once_and_then_stops(feed: Feed, tmp_path: Path) -> None:
    choices = micro_choices(total_nimg=96, snapshot_nimg=16.0)
    good, flat_images = {"fd": 1.0, "spread": 0.9}, {"fd": 1.0, "spread": 0.01}
    trainer, run = StyleGan2Trainer(choices, feed), Run.for_test(tmp_path / "once")
    train(trainer, run, Views(pictures), Scripted(good, flat_images, good))
    assert (trainer.nimg, trainer.reloads) == (96, 1)
    assert trainer.g_opt.param_groups[0]["lr"] < choices.lr * 0.51
    kimgs = [row["nimg"] for row in run.read_metrics() if "fd" in row]
    assert kimgs == sorted(set(kimgs))

    trainer, run = StyleGan2Trainer(choices, feed), Run.for_test(tmp_path / "twice")
    with pytest.raises(GateError, match=r"images of one label vary 1\.0%") as caught:
        train(trainer, run, Views(pictures), Scripted(good, flat_images))
    assert caught.value.exit_code == 5
    assert trainer.reloads == 1


def test_what_follows_a_reload_is_another_training(feed: Feed) -> None:
    one, two = StyleGan2Trainer(micro_choices(), feed), StyleGan2Trainer(micro_choices(), feed)
    two.reload()
    for group, again in zip(one.d_opt.param_groups, two.d_opt.param_groups, strict=True):
        assert again["lr"] == group["lr"] / 2
    one.step()
    two.step()
    assert not torch.equal(one.generator.const, two.generator.const)
    three = StyleGan2Trainer(micro_choices(), feed)
    three.load_state_dict(two.state_dict())
    assert (three.reloads, three.g_opt.param_groups[0]["lr"]) == (
        1,
        two.g_opt.param_groups[0]["lr"],
    )


@pytest.mark.parametrize(
    ("keeps", "fds", "kept"),
    [
        (True, [1.2, 1.06, 1.3, 1.1], -1),  # all worse than the start's 1.0
        (True, [1.2, 1.04, 1.3, 1.1], 1),
        (True, [0.5, 0.6, 0.7, 0.9], 1),  # within a quarter of the lowest, as ever
        (True, [0.9, 1.06, 1.06, 1.04], 3),
        (False, [1.9, 1.8, 2.0, 2.6], 2),  # it lacks a label: it is no candidate
    ],
)
def test_what_a_training_starts_from_is_kept_until_one_is_as_good(
    feed: Feed, tmp_path: Path, keeps: bool, fds: list[float], kept: int
) -> None:
    trainer = StyleGan2Trainer(micro_choices(total_nimg=64, snapshot_nimg=16.0), feed)
    begun = {k: v.clone() for k, v in trainer.average.state_dict().items()}
    run, quality = Run.for_test(tmp_path / "run"), Scripted(*({"fd": fd} for fd in fds))
    start = Start(1.0, "fd", keeps)
    train(trainer, run, Views(pictures), quality, start)
    assert trainer.best is not None
    assert trainer.best.nimg == 16 * (kept + 1)
    assert_same(trainer.average.state_dict(), begun if kept < 0 else quality.seen[kept])
    first = run.read_metrics()[0]
    assert (first["nimg"], first["fd"]) == (0, 1.0)
    assert run.path("samples/fakes-000000000.png").exists()


def test_half_and_the_rest_of_a_started_training(feed: Feed, tmp_path: Path) -> None:
    choices = micro_choices(total_nimg=64, snapshot_nimg=16.0, ema_ramp=None)
    fds = [1.5, 1.6, 1.3, 1.2, 1.01, 1.4, 2.0, 3.0]  # of both averages
    whole = StyleGan2Trainer(choices, feed)
    quality = Scripted(*({"fd": fd} for fd in fds))
    one = Run.for_test(tmp_path / "whole")
    train(whole, one, Views(pictures), quality, Start(1.0, "fd", True))

    class KilledError(Exception):
        pass

    made: list[int] = []

    def grid() -> bytes:
        made.append(1)
        if len(made) == 3:  # the start, and after the first and the second checkpoint
            raise KilledError
        return b"a picture"

    run = Run.for_test(tmp_path / "parts")
    first, rest = (Scripted(*({"fd": fd} for fd in part)) for part in (fds[:4], fds[4:]))
    with pytest.raises(KilledError):
        train(StyleGan2Trainer(choices, feed), run, Views(grid), first, Start(1.0, "fd", True))
    resumed = StyleGan2Trainer(choices, feed)
    train(resumed, run, Views(pictures), rest, Start(1.0, "fd", True))
    assert resumed.best == whole.best == (48, 1.01, 1.0)
    assert_same(resumed.state_dict(), whole.state_dict())
    nimg = [row["nimg"] for row in run.read_metrics() if "fd" in row]
    assert nimg == [row["nimg"] for row in one.read_metrics() if "fd" in row]


def test_nothing_is_kept_while_labels_gain_influence(feed: Feed, tmp_path: Path) -> None:
    """The finished network works with their full influence."""
    trainer = StyleGan2Trainer(
        micro_choices(total_nimg=64, snapshot_nimg=16.0, ramp_nimg=30.0), feed
    )
    run, quality = Run.for_test(tmp_path / "run"), Scripted({"fd": 1.0}, {"fd": 5.0})
    train(trainer, run, Views(pictures), quality)
    assert [row["nimg"] for row in run.read_metrics() if "fd" in row] == [48, 64]
    assert trainer.best == (48, 1.0, 1.0)


def test_of_two_averages_the_better_goes_on(feed: Feed, tmp_path: Path) -> None:
    """On other images the weights that a training started from are soon in the way."""
    choices = micro_choices(total_nimg=64, snapshot_nimg=16.0, ema_ramp=None)
    trainer, run = StyleGan2Trainer(choices, feed), Run.for_test(tmp_path / "run")
    fds = [9.0, 8.0, 3.0, 4.0, 2.0, float("nan"), float("nan"), 1.0]
    quality = Scripted(*({"fd": fd} for fd in fds))
    train(trainer, run, Views(pictures), quality, Start(9.5, "fd", True))
    measured = [row["fd"] for row in run.read_metrics() if "fd" in row]
    assert measured == [9.5, 8.0, 3.0, 2.0, 1.0]
    assert trainer.follower is not None
    assert_same(trainer.average.state_dict(), trainer.follower.state_dict())
    assert_same(trainer.average.state_dict(), quality.seen[7])
    assert StyleGan2Trainer(micro_choices(), feed).follower is None
