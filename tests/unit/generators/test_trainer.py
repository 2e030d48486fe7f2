"""Training steps: what they change, lazy regularization, resume bit for bit, divergence."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from cxrtool.core.errors import GateError, InputError, InterruptedRunError, UsageError
from cxrtool.core.runs import Run
from cxrtool.generators.execution import Execution
from cxrtool.generators.feed import Feed
from cxrtool.generators.stylegan2.layers import StyledConv
from cxrtool.generators.stylegan2.trainer import StyleGan2Trainer
from cxrtool.generators.task import COSTS, Views
from tests.unit.generators.conftest import ellipses, micro, micro_choices, train


def flat(state: Any) -> dict[str, Any]:
    """All leaves of a nested state by path."""
    if isinstance(state, dict):
        items = state.items()
    elif isinstance(state, list | tuple):
        items = enumerate(state)  # type: ignore[assignment]
    else:
        return {"": state}
    return {f"{key}/{name}": leaf for key, part in items for name, leaf in flat(part).items()}


def assert_same(a: Any, b: Any) -> None:
    """Equal to the last bit."""
    left, right = flat(a), flat(b)
    assert left.keys() == right.keys()
    for name, value in left.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, right[name]), name
        else:
            assert value == right[name], name


def pictures() -> bytes:
    return b"a picture"


def test_a_step_trains_all_of_both_networks(feed: Feed) -> None:
    trainer = StyleGan2Trainer(micro_choices(), feed)
    before = {
        name: {k: v.clone() for k, v in network.named_parameters()}
        for name, network in (("g", trainer.generator), ("d", trainer.discriminator))
    }
    for _ in range(2):  # noise strengths start at zero; nothing else needs a second step
        trainer.step()
    assert trainer.nimg == 16
    for name, network in (("g", trainer.generator), ("d", trainer.discriminator)):
        for key, parameter in network.named_parameters():
            assert not torch.equal(parameter, before[name][key]), f"{name}.{key} did not move"
    means = trainer.means.read()
    wanted = {
        "g_loss",
        "d_loss",
        "g_label_loss",
        "d_label_loss",
        "r_t",
        "r1_penalty",
        "path_length",
    }
    assert wanted <= means.keys()
    assert {"g_grad_norm", "d_grad_norm", "score_real", "score_fake"} <= means.keys()
    assert -1 <= means["r_t"] <= 1


@pytest.mark.parametrize("loss", ["ns-r1", "rp-r1r2"])
def test_a_step_in_parts_is_the_step_in_one(feed: Feed, loss: str) -> None:
    arch = micro(noise=True)
    one, two = (
        StyleGan2Trainer(micro_choices(arch=arch, loss=loss, parts=parts, path_weight=0.0), feed)
        for parts in (1, 2)
    )
    for trainer in (one, two):
        with torch.no_grad():
            for module in trainer.generator.modules():
                if isinstance(module, StyledConv) and module.noise_strength is not None:
                    module.noise_strength.fill_(0.3)
        trainer.step()
    assert [len(rows) for rows in two.parts(8)] == [4, 4]
    for name, value in one.generator.state_dict().items():
        # Adam's first step has the size of the rate whatever the gradient's: only signs can show.
        torch.testing.assert_close(two.generator.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    for name, value in one.discriminator.state_dict().items():
        if (name, loss) != ("out.bias", "rp-r1r2"):  # which has no gradient but rounding
            other = two.discriminator.state_dict()[name]
            # A gradient of 1e-9, of rounding alone, moves by a tenth of the rate (.0025).
            torch.testing.assert_close(other, value, rtol=1e-3, atol=5e-4)
    first, second = one.means.read(), two.means.read()
    for name in ("g_loss", "d_loss", "g_label_loss", "d_label_loss", "r_t", "r1_penalty"):
        assert second[name] == pytest.approx(first[name], rel=1e-4), name


def test_the_relativistic_game_counts_differences_only(feed: Feed) -> None:
    trainer = StyleGan2Trainer(micro_choices(loss="rp-r1r2"), feed)
    for _ in range(2):
        trainer.step()
    means = trainer.means.read()
    assert means["r1_penalty"] > 0
    assert means["r2_penalty"] > 0
    for group in trainer.d_opt.param_groups:  # no lazy regularizer, so Adam's own rates
        assert (group["lr"], group["betas"]) == (trainer.choices.lr, (0.0, 0.99))

    def loss_after_shift(shift: float) -> list[float]:
        again = StyleGan2Trainer(micro_choices(loss="rp-r1r2", r1_gamma=0.0), feed)
        assert again.discriminator.out.bias is not None
        with torch.no_grad():
            again.discriminator.out.bias.add_(shift / again.discriminator.out.bias_gain)
        again.step()
        now = again.means.read()
        return [now["g_loss"], now["d_loss"], now["r_t"]]

    assert loss_after_shift(3.0) == pytest.approx(loss_after_shift(0.0), rel=1e-5)


def test_labels_gain_influence_over_the_ramp(feed: Feed) -> None:
    trainer = StyleGan2Trainer(micro_choices(ramp_nimg=32.0), feed)
    z = torch.randn(1, trainer.choices.arch.z_dim).expand(2, -1)
    y = torch.eye(trainer.choices.arch.labels)[:2]
    seen = []
    for _ in range(6):
        trainer.step()
        ws = trainer.generator.mapping(z, y).detach()
        seen.append((float(trainer.discriminator.ramp), float((ws[0] - ws[1]).abs().max())))
    assert [ramp for ramp, _ in seen] == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    assert seen[0][1] == 0  # the first step's network cannot tell the labels apart
    assert seen[2][1] > 0
    assert float(trainer.average.mapping.ramp) == 1


def test_regularizers_are_lazy(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    choices = micro_choices(r1_interval=4, path_interval=3)
    trainer, seen = StyleGan2Trainer(choices, feed), []
    for name in ("of_r1", "of_path_length"):
        monkeypatch.setattr(
            trainer, name, lambda *_, n=name: seen.append((trainer.nimg // choices.batch, n))
        )
    for _ in range(9):
        trainer.step()
    assert [step for step, name in seen if name == "of_r1"] == [0, 4, 8]
    assert [step for step, name in seen if name == "of_path_length"] == [0, 3, 6]


def test_adam_is_corrected_for_lazy_steps(feed: Feed) -> None:
    trainer = StyleGan2Trainer(micro_choices(r1_interval=16, path_interval=4), feed)
    d, g = trainer.d_opt.param_groups[0], trainer.g_opt.param_groups[0]
    assert d["lr"] == pytest.approx(0.0025 * 16 / 17)
    assert d["betas"] == (0.0, pytest.approx(0.9906, abs=5e-5))
    assert g["lr"] == pytest.approx(0.0025 * 4 / 5)
    plain = StyleGan2Trainer(micro_choices(r1_gamma=0.0, path_weight=0.0), feed)
    for optimizer in (plain.d_opt, plain.g_opt):
        assert optimizer.param_groups[0]["lr"] == 0.0025
        assert optimizer.param_groups[0]["betas"] == (0.0, 0.99)


@pytest.mark.parametrize(
    "change",
    [
        {"r1_gamma": 5.0},
        {"path_weight": 0.0},
        {"style_mixing": 0.0},
        {"label_weight": 0.0},
        {"d_label_weight": 0.0},
        {"augment": ()},
        {"augment_p": 1.0},
        {"mirror": True},
        {"ema_nimg": 0.1},
        {"loss": "rp-r1r2", "burn_in_nimg": 16.0},
        {"seed": 1},
        {"lr": 0.001},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_choice_has_an_effect(feed: Feed, change: dict[str, Any]) -> None:
    averages = []
    for choices in (micro_choices(), micro_choices(**change)):
        trainer = StyleGan2Trainer(choices, feed)
        for _ in range(3):
            trainer.step()
        averages.append(trainer.average.state_dict()["const"])
    assert not torch.equal(*averages)


def test_unconditional_training(feed: Feed) -> None:
    images, labels = ellipses(48, 16)
    none = labels[:, :0]
    trainer = StyleGan2Trainer(micro_choices(arch=micro(labels=0)), Feed(images, none, none > 0, 0))
    trainer.step()
    means = trainer.means.read()
    assert "g_label_loss" not in means
    assert "d_label_loss" not in means


def test_state_brings_back_every_bit(feed: Feed) -> None:
    straight = StyleGan2Trainer(micro_choices(), feed)
    for _ in range(6):
        straight.step()
    half = StyleGan2Trainer(micro_choices(), feed)
    for _ in range(3):
        half.step()
    images, labels = ellipses(48, 16)
    again = StyleGan2Trainer(micro_choices(), Feed(images, labels, feed.mask.numpy(), seed=0))
    torch.manual_seed(99)  # global randomness must not matter
    again.load_state_dict(half.state_dict())
    for _ in range(3):
        again.step()
    assert_same(straight.state_dict(), again.state_dict())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_loop_stopped_and_killed_ends_with_the_same_bits(
    feed: Feed, tmp_path: Path, precision: str
) -> None:
    choices = micro_choices(total_nimg=96, snapshot_nimg=24.0, tick_nimg=16.0)

    def new() -> StyleGan2Trainer:
        execution = Execution(feed.device, choices.arch.size, precision, "off")
        return StyleGan2Trainer(choices, feed, None, execution)

    straight = new()
    train(straight, Run.for_test(tmp_path / "straight"), Views(pictures))
    assert straight.nimg == 96

    broken = Run.for_test(tmp_path / "broken")

    def stop() -> bytes:
        broken._signal = signal.SIGTERM
        return b"a picture"

    with pytest.raises(InterruptedRunError):
        train(new(), broken, Views(stop))  # at the first snapshot, 24 images
    broken = Run.for_test(tmp_path / "broken")
    killed = new()
    count = 0

    def kill() -> bytes:
        nonlocal count
        count += 1
        if count == 2:  # 72 images: the snapshot is written, the next steps are lost
            killed.step = fail  # type: ignore[method-assign]
        return b"a picture"

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(killed, broken, Views(kill))
    last = new()
    train(last, Run.for_test(tmp_path / "broken"), Views(pictures))
    assert_same(straight.state_dict(), last.state_dict())
    rows = [Run.for_test(tmp_path / name).read_metrics() for name in ("straight", "broken")]
    clean = [[{k: v for k, v in row.items() if k not in COSTS} for row in part] for part in rows]
    assert clean[0] == clean[1]
    assert [row["nimg"] for row in clean[0]] == [16, 32, 48, 64, 80, 96]


def test_divergence_is_a_failed_gate_and_keeps_the_last_checkpoint(
    feed: Feed, tmp_path: Path
) -> None:
    choices = micro_choices(total_nimg=96, snapshot_nimg=24.0, tick_nimg=48.0)
    trainer = StyleGan2Trainer(choices, feed)

    def poison() -> bytes:
        with torch.no_grad():
            trainer.generator.const.fill_(float("nan"))
        return b"a picture"

    run = Run.for_test(tmp_path / "run")
    with pytest.raises(GateError, match="diverged before") as caught:
        train(trainer, run, Views(poison))
    assert caught.value.exit_code == 5
    assert "--lr" in str(caught.value.hint)
    good = StyleGan2Trainer(choices, feed)
    train(good, run, Views(pictures))
    assert good.nimg == 96


@pytest.mark.parametrize(("batch", "hint"), [(8, "--accumulate 2"), (4, "--size")])
def test_too_little_memory_names_what_to_try(
    feed: Feed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int, hint: str
) -> None:
    trainer = StyleGan2Trainer(micro_choices(batch=batch), feed)

    def full() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer, "step", full)
    with pytest.raises(UsageError, match=f"batch of {batch}") as caught:
        train(trainer, Run.for_test(tmp_path / "run"), Views(pictures))
    assert hint in str(caught.value.hint)


def test_checkpoint_of_another_architecture_is_refused(feed: Feed, tmp_path: Path) -> None:
    run = Run.for_test(tmp_path / "run")
    train(StyleGan2Trainer(micro_choices(), feed), run, Views(pictures))
    other = StyleGan2Trainer(micro_choices(arch=micro(channel_max=4)), feed)
    with pytest.raises(InputError, match=r"another architecture \(channel_max differ\)"):
        train(other, run, Views(pictures))


def test_augmentation_follows_the_discriminator(feed: Feed) -> None:
    trainer = StyleGan2Trainer(micro_choices(augment_p=None, augment_nimg=320.0), feed)
    for _ in range(8):
        trainer.step()
    rose = float(trainer.controller.p)
    assert rose in (0.0, pytest.approx(0.1), pytest.approx(0.2))
    assert trainer.discriminator.out.bias is not None
    with torch.no_grad():  # a discriminator that takes everything for real
        trainer.discriminator.out.bias.fill_(50.0)
    for _ in range(8):
        trainer.step()
    assert float(trainer.controller.p) == pytest.approx(rose + 0.2)
    again = StyleGan2Trainer(trainer.choices, feed)
    again.load_state_dict(trainer.state_dict())
    assert_same(again.state_dict(), trainer.state_dict())


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.3), (0.5, 0.3)])
def test_the_relativistic_game_augments_by_a_schedule(feed: Feed, start: float, end: float) -> None:
    choices = micro_choices(loss="rp-r1r2", augment_p=None, augment_nimg=160.0, augment_end=end)
    trainer, seen = StyleGan2Trainer(choices, feed), []
    trainer.controller.p.fill_(start)
    for _ in range(8):
        trainer.step()
        seen.append(float(trainer.controller.p))
    pace = 0.05 if start < end else -0.05  # 8 of 160 images
    wanted = [start + pace * k for k in range(1, 9)]
    assert seen == pytest.approx([min(p, end) if pace > 0 else max(p, end) for p in wanted])
    again = StyleGan2Trainer(choices, feed)
    again.load_state_dict(trainer.state_dict())
    assert_same(again.state_dict(), trainer.state_dict())


def test_the_relativistic_game_settles(feed: Feed) -> None:
    choices = micro_choices(loss="rp-r1r2", r1_gamma=2.0, lr=0.001, burn_in_nimg=64.0)
    trainer, gammas = StyleGan2Trainer(choices, feed), []
    for _ in range(10):
        trainer.step()
        gammas.append(trainer.gamma)
    assert gammas[0] == 2.0
    assert gammas == sorted(gammas, reverse=True)
    assert gammas[4] == pytest.approx(1.1)  # half of the way
    assert gammas[8:] == pytest.approx([0.2, 0.2])
    for optimizer in trainer.optimizers.values():
        (group,) = optimizer.param_groups
        assert group["lr"] == pytest.approx(0.00025)
        assert group["betas"] == pytest.approx((0.0, 0.99))
    again = StyleGan2Trainer(choices, feed)
    again.load_state_dict(trainer.state_dict())
    again.reload()
    again.step()
    assert again.g_opt.param_groups[0]["lr"] == pytest.approx(0.000125)


@pytest.mark.parametrize("parts", [1, 2])
def test_relativistic_pairs_have_one_condition(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    choices = micro_choices(loss="rp-r1r2", parts=parts)
    trainer = StyleGan2Trainer(choices, feed)
    asked: list[tuple[torch.Tensor, torch.Tensor]] = []
    judged: list[tuple[torch.Tensor, torch.Tensor]] = []
    fakes, judge = trainer._fakes, trainer.discriminator.forward

    def note(*args: Any, **how: Any) -> Any:
        found = fakes(*args, **how)
        if how.get("main", True):
            asked.append(found[2:])
        return found

    def read(x: Any, y: torch.Tensor, mask: torch.Tensor, *more: Any) -> Any:
        judged.append((y, mask))
        return judge(x, y, mask, *more)

    monkeypatch.setattr(trainer, "_fakes", note)
    monkeypatch.setattr(trainer.discriminator, "forward", read)
    real = feed.reals(0, 8)
    trainer.step()
    assert len(asked) == 2 * parts
    for k, rows in enumerate([*torch.arange(8).chunk(parts)] * 2):
        y, mask = asked[k]
        assert torch.equal(mask, real.mask[rows])
        assert torch.equal(y[mask], real.y[rows][mask])
    for y, mask in judged[2 * parts :]:  # the discriminator's: both halves in one pass
        (y0, y1), (m0, m1) = y.chunk(2), mask.chunk(2)
        assert torch.equal(m0, m1)
        assert torch.equal(y0[m0], y1[m1])
