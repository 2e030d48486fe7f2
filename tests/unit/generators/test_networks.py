"""Both networks: parameters, conditions, noise, mixing, equalized rates, batch independence."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from cxrtool.generators.stylegan2.choices import choose
from cxrtool.generators.stylegan2.discriminator import Discriminator
from cxrtool.generators.stylegan2.generator import Architecture, Generator, Mixing, Noise
from cxrtool.generators.stylegan2.layers import EqualConv, EqualLinear, StyledConv
from cxrtool.training.rng import Draws
from tests.unit.generators.conftest import micro, request_of


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def new_generator(arch: Architecture, seed: int = 0) -> Generator:
    return Generator(arch, torch.Generator().manual_seed(seed))


def new_discriminator(arch: Architecture, prevalence: torch.Tensor | None = None) -> Discriminator:
    return Discriminator(arch, torch.Generator().manual_seed(1), prevalence)


def drawn_noise(generator: Generator, seed: int) -> Noise:
    return generator.draw_noise(Draws(torch.Generator().manual_seed(seed), 2))


@pytest.mark.parametrize(
    ("size", "preset", "low", "high"), [(32, "tiny", 0.45e6, 0.6e6), (64, "small", 2.5e6, 3.0e6)]
)
def test_presets_have_their_documented_size(
    size: int, preset: str, low: float, high: float
) -> None:
    arch = choose(request_of(size=size, preset=preset, images=100, labels=14)).arch
    assert low < count(new_generator(arch)) < high
    assert low < count(new_discriminator(arch)) < high


@pytest.mark.parametrize("size", [16, 64])
def test_shapes(size: int) -> None:
    generator = new_generator(micro(size))
    image, ws = generator(torch.randn(4, 8), torch.zeros(4, 2))
    assert image.shape == (4, 1, size, size)
    assert ws.shape == (4, generator.num_ws, 8)
    assert generator.num_ws == {16: 6, 64: 10}[size]
    verdict = new_discriminator(micro(size))(image, torch.zeros(4, 2), torch.ones(4, 2).bool())
    assert verdict.score.shape == (4,)
    assert verdict.labels.shape == (4, 2)


def test_signal_keeps_its_scale_at_the_start() -> None:
    arch = micro(64, channel_base=1024, channel_max=64, z_dim=64, w_dim=64)
    generator = new_generator(arch)
    image, _ = generator(torch.randn(32, 64), torch.zeros(32, 2))
    assert 0.3 < image.std() < 5
    score = new_discriminator(arch)(image, torch.zeros(32, 2), torch.ones(32, 2).bool()).score
    assert score.abs().max() < 10


def test_equalized_layers_scale_at_run_time() -> None:
    rng = torch.Generator().manual_seed(0)
    layer = EqualLinear(400, 300, rng=rng, lr_multiplier=0.01, bias_init=2.0)
    assert float(layer.weight.detach().std()) == pytest.approx(100, rel=0.02)
    x = torch.randn(64, 400)
    wanted = x @ (layer.weight * 0.01 / 20).t() + 2
    torch.testing.assert_close(layer(x), wanted)
    assert float((layer(x) - 2).detach().std()) == pytest.approx(1, rel=0.05)
    active = EqualLinear(400, 300, rng=rng, activate=True, bias_init=0.5)
    plain = x @ (active.weight / 20).t() + 0.5
    wanted = nn.functional.leaky_relu(plain, 0.2) * 2**0.5
    torch.testing.assert_close(active(x), wanted)


def test_one_step_of_adam_moves_equalized_layers_alike() -> None:
    # The point of equalized rates: the relative change of the effective weight does not depend on
    # fan-in.
    changes = []
    for fan_in in (4, 1024):
        layer = EqualLinear(fan_in, 8, rng=torch.Generator().manual_seed(0))
        before = layer.weight.detach().clone()
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.01, betas=(0.0, 0.99))
        layer(torch.randn(16, fan_in)).square().sum().backward()
        optimizer.step()
        changes.append(float((layer.weight.detach() - before).norm() / before.norm()))
    assert changes[0] == pytest.approx(changes[1], rel=0.2)


@pytest.mark.parametrize("activate", [False, True])
def test_equalized_convolution(activate: bool) -> None:
    layer = EqualConv(3, 6, 3, rng=torch.Generator().manual_seed(0), activate=activate, gain=0.5)
    if layer.bias is not None:
        nn.init.normal_(layer.bias)
    x = torch.randn(2, 3, 8, 8)
    wanted = nn.functional.conv2d(x, layer.weight / 27**0.5, layer.bias, padding=1)
    if activate:
        wanted = nn.functional.leaky_relu(wanted, 0.2) * 2**0.5
    torch.testing.assert_close(layer(x), wanted * 0.5)


def test_networks_without_noise_have_no_parameter_for_it() -> None:
    with_noise = set(new_generator(micro()).state_dict())
    generator = new_generator(replace(micro(), noise=False))
    dropped = with_noise - set(generator.state_dict())
    assert dropped == {name for name in with_noise if "noise" in name}
    assert dropped
    z, y = torch.randn(2, 8), torch.zeros(2, 2)
    drawn = generator(z, y, drawn_noise(generator, 0))[0]
    torch.testing.assert_close(drawn, generator(z, y, "const")[0], rtol=0, atol=0)


def test_noise_is_constant_on_request_and_none_on_request() -> None:
    generator = new_generator(micro())
    for module in generator.modules():
        if isinstance(module, StyledConv) and module.noise_strength is not None:
            nn.init.constant_(module.noise_strength, 0.5)
    z, y = torch.randn(2, 8), torch.zeros(2, 2)
    const = generator(z, y, "const")[0]
    torch.testing.assert_close(const, generator(z, y, "const")[0], rtol=0, atol=0)
    none = generator(z, y, "none")[0]
    drawn = [generator(z, y, drawn_noise(generator, s))[0] for s in (0, 0, 1)]
    torch.testing.assert_close(drawn[0], drawn[1], rtol=0, atol=0)
    for other in (none, drawn[0]):
        assert (const - other).abs().max() > 0.01
    assert (drawn[0] - drawn[2]).abs().max() > 0.01
    with pytest.raises(ValueError, match="noise must be"):
        generator(z, y, "some")


def test_images_do_not_depend_on_batch_mates() -> None:
    generator = new_generator(micro())
    z, y = torch.randn(6, 8), torch.eye(2).repeat(3, 1)
    together = generator(z, y)[0]
    alone = generator(z[3:4], y[3:4])[0]
    torch.testing.assert_close(together[3:4], alone, rtol=1e-4, atol=1e-5)


def test_style_mixing_switches_at_the_crossover() -> None:
    generator = new_generator(micro())
    z, other, y = torch.randn(3, 8), torch.randn(3, 8), torch.zeros(3, 2)
    crossover = torch.tensor([1, 4, generator.num_ws])
    _, ws = generator(z, y, mixing=Mixing(other, crossover))
    first, second = generator.mapping(z, y), generator.mapping(other, y)
    for n, cut in enumerate(crossover.tolist()):
        for index in range(generator.num_ws):
            torch.testing.assert_close(ws[n, index], (second if index >= cut else first)[n])


def test_style_mixing_is_drawn_with_its_probability() -> None:
    rng = torch.Generator().manual_seed(0)
    assert Mixing.draw(4, 6, 0.0, Draws(rng, 8)) is None
    drawn = Mixing.draw(4, 6, 0.9, Draws(rng, 4000))
    assert drawn is not None
    assert float((drawn.crossover < 6).float().mean()) == pytest.approx(0.9, abs=0.02)
    assert drawn.crossover.min() == 1


def test_styles_reproduce_the_synthesis() -> None:
    generator = new_generator(micro())
    ws = torch.randn(2, generator.num_ws, 8)
    styles = generator.styles(ws)
    assert list(styles)[:4] == ["b4.conv1", "b4.torgb", "b8.conv0", "b8.conv1"]
    torch.testing.assert_close(generator.synthesis_from_styles(styles), generator.synthesis(ws))
    used = [index for _, _, index, _ in generator.layers()]
    assert sorted(set(used)) == list(range(generator.num_ws))


def test_the_label_changes_the_image_and_no_label_is_legal() -> None:
    generator = new_generator(micro())
    z = torch.randn(1, 8).expand(3, 8)
    y = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    image = generator(z, y)[0]
    assert (image[0] - image[1]).abs().max() > 1e-3
    assert (image[1] - image[2]).abs().max() > 1e-3
    image[0].sum().backward()
    embed = generator.mapping.embed
    assert embed is not None
    for parameter in (embed.weight, embed.bias):
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().max() < 1e3  # normalizing the zero vector would blow this up


def test_unconditional_networks_take_empty_labels() -> None:
    arch = micro(labels=0)
    image, _ = new_generator(arch)(torch.randn(4, 8), torch.zeros(4, 0))
    verdict = new_discriminator(arch)(image, torch.zeros(4, 0), torch.zeros(4, 0).bool())
    assert verdict.labels.shape == (4, 0)


def test_unknown_labels_do_not_reach_the_score() -> None:
    judge = new_discriminator(micro(), torch.tensor([0.2, 0.6]))
    x = torch.randn(4, 1, 16, 16)
    mask = torch.tensor([[True, False]]).expand(4, 2)
    y = torch.zeros(4, 2)
    changed = y.clone()
    changed[:, 1] = 1
    torch.testing.assert_close(judge(x, y, mask).score, judge(x, changed, mask).score)
    changed[:, 0] = 1
    assert (judge(x, y, mask).score - judge(x, changed, mask).score).abs().max() > 1e-4


def test_scores_with_the_stored_statistic_do_not_depend_on_batch_mates() -> None:
    judge = new_discriminator(micro())
    judge.std_reference.fill_(0.7)
    x, y, mask = torch.randn(8, 1, 16, 16), torch.zeros(8, 2), torch.ones(8, 2).bool()
    together = judge(x, y, mask, group=0).score
    alone = judge(x[2:3], y[2:3], mask[2:3], group=0).score
    torch.testing.assert_close(together[2:3], alone, rtol=1e-4, atol=1e-5)
    mates = judge(x, y, mask).score
    x[3] += 2
    assert (judge(x, y, mask).score[2] - mates[2]).abs() > 1e-5


def test_label_logits_never_see_the_minibatch() -> None:
    judge = new_discriminator(micro())
    x, y, mask = torch.randn(4, 1, 16, 16), torch.zeros(4, 2), torch.ones(4, 2).bool()
    before = judge(x, y, mask).labels[0].detach()
    x[1:] *= 3
    torch.testing.assert_close(judge(x, y, mask).labels[0], before, rtol=1e-4, atol=1e-5)


def test_weights_depend_on_the_seed_alone_and_leave_global_randomness() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    a, b, c = (new_generator(micro(), seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["const"], c["const"])
    assert torch.equal(torch.get_rng_state(), state)
