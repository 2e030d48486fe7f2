"""Augmentations: differentiable, right in the mean, drawn a sample."""

from __future__ import annotations

import pytest
import torch

from cxrtool.core.errors import UsageError
from cxrtool.generators.augment import (
    POLICIES,
    SCALE_OCTAVES,
    SHIFT_SD,
    TOLD,
    TOLD_P,
    TURN_SD,
    Controller,
    augment,
    mirror,
    parse_policies,
    told_geometry,
)
from cxrtool.training.rng import Draws


def rng(n: int, seed: int = 0) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), n)


@pytest.mark.parametrize("policy", POLICIES)
def test_gradients_reach_the_input(policy: str) -> None:
    x = torch.randn(3, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: augment(v, (policy,), rng(3)), (x,))
    if policy != "geometry":  # R1 is taken at augmented images, so nothing needs this one twice
        assert torch.autograd.gradgradcheck(lambda v: augment(v, (policy,), rng(3)), (x,))


@pytest.mark.parametrize("policy", POLICIES)
def test_each_image_has_its_own_draw(policy: str) -> None:
    x = torch.randn(1, 1, 16, 16).expand(8, 1, 16, 16)
    out = augment(x, (policy,), rng(len(x)))
    assert out.shape == x.shape
    assert len({tuple(image.flatten().tolist()) for image in out}) > 4
    assert torch.equal(out, augment(x, (policy,), rng(len(x))))
    assert not torch.equal(out, augment(x, (policy,), rng(len(x), 1)))


def test_nothing_is_nothing() -> None:
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(augment(x, (), rng(len(x))), x)
    assert torch.equal(augment(x, POLICIES, rng(len(x)), 0.0), x)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_mean_over_draws_can_be_undone(policy: str) -> None:
    """What the discriminator sees on average determines the images, so nothing need leak."""
    pixels, draws = 36, 3000
    basis = torch.eye(pixels).reshape(pixels, 1, 1, 6, 6).expand(-1, draws, 1, 6, 6)
    x = basis.reshape(-1, 1, 6, 6)
    out = augment(x, (policy,), rng(len(x)), 0.5) - augment(
        torch.zeros_like(x), (policy,), rng(len(x)), 0.5
    )
    mean = out.reshape(pixels, draws, pixels).mean(dim=1)
    assert torch.linalg.svdvals(mean).min() > 0.03


def test_quarter_turns_and_shifts_move_whole_pixels() -> None:
    x = torch.arange(64.0).reshape(1, 1, 8, 8).expand(400, 1, 8, 8)
    out = augment(x, ("blit",), rng(len(x)))
    assert set(out.unique().tolist()) <= set(range(64))
    turned = {k: int((out == torch.rot90(x, k, (2, 3))).flatten(1).all(1).sum()) for k in range(4)}
    assert min(turned.values()) > 5  # shifts of up to one pixel, a ninth of them by nothing


def test_geometry_keeps_a_disc_in_the_middle() -> None:
    y, z = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = (((y - 31.5) ** 2 + (z - 31.5) ** 2).sqrt() < 12).float()
    out = augment(disc.expand(600, 1, 64, 64), ("geometry",), rng(600))
    area = out.sum(dim=(1, 2, 3)) / disc.sum()
    # Areas scale by 4^normal(0, 0.2), shifts keep them unless the disc meets its mirror image.
    assert float(area.median()) == pytest.approx(1.0, abs=0.06)
    assert float(area.log2().quantile(0.84)) == pytest.approx(0.4, abs=0.12)
    assert torch.equal(augment(disc.expand(4, 1, 64, 64), ("geometry",), rng(4), 0.0)[0, 0], disc)


@pytest.mark.parametrize("policy", POLICIES)
def test_p_is_the_share_of_images_touched(policy: str) -> None:
    x = torch.randn(1, 1, 16, 16).expand(4000, 1, 16, 16)
    out = augment(x, (policy,), rng(len(x)), torch.tensor(0.3))
    touched = (out != x).flatten(1).any(dim=1).float().mean()
    nothing = {"translation": 1 / 25, "blit": 0.25}.get(policy, 0)  # a shift or turn by nothing
    wanted = 0.3 * (1 - nothing)
    if policy == "blit":
        wanted = 1 - (1 - wanted) * (1 - 0.3 * (1 - 1 / 16))  # a shift by 0 of -2 to 2 on both axes
    elif policy in ("geometry", "intensity"):  # four and two transforms, each with probability p
        wanted = 1 - 0.7 ** {"geometry": 4, "intensity": 2}[policy]
    assert float(touched) == pytest.approx(wanted, abs=0.03)


def test_controller_follows_a_scripted_sequence_of_signs() -> None:
    control = Controller(images=160)
    sure, unsure = torch.tensor(1.0), torch.tensor(0.0)  # mean signs of batches of 4
    found = []
    for sign in (sure, unsure, sure, sure):
        for _ in range(4):
            control.update(sign, 4)
        found.append(float(control.p))
    # 4 batches of 4 images are a tenth of 160; p never falls below 0.
    assert found == pytest.approx([0.1, 0.0, 0.1, 0.2])
    for _ in range(3):
        control.update(sure, 4)
    assert float(control.p) == pytest.approx(0.2)  # only every fourth batch
    for _ in range(100):
        control.update(sure, 4)
    assert float(control.p) == pytest.approx(0.8)


def test_controller_goes_on_from_its_state() -> None:
    one, two = Controller(images=100), Controller(images=100)
    for _ in range(6):
        one.update(torch.tensor(1.0), 8)
    two.load_state_dict(one.state_dict())
    for control in (one, two):
        for _ in range(2):
            control.update(torch.tensor(1.0), 8)
    assert float(one.p) == float(two.p) > 0.5


def test_color_keeps_the_image_in_the_mean() -> None:
    x = torch.rand(1, 1, 4, 4) * 2 - 1
    out = augment(x.expand(20_000, 1, 4, 4), ("color",), rng(20_000))
    torch.testing.assert_close(out.mean(dim=0, keepdim=True), x, atol=0.02, rtol=0)
    shift = out.mean(dim=(1, 2, 3)) - x.mean()
    assert float(shift.min()) == pytest.approx(-0.5, abs=0.01)
    assert float(shift.max()) == pytest.approx(0.5, abs=0.01)
    contrast = out.std(dim=(1, 2, 3)) / x.std()
    assert float(contrast.min()) == pytest.approx(0.5, abs=0.01)
    assert float(contrast.max()) == pytest.approx(1.5, abs=0.01)


def test_translation_moves_whole_pixels_and_fills_with_gray() -> None:
    x = torch.zeros(400, 1, 16, 16)
    x[:, :, 8, 6] = 5.0
    x += 1
    out = augment(x, ("translation",), rng(len(x)))
    shifts = set()
    for image in out[:, 0]:
        y, column = divmod(int(image.argmax()), 16)
        dy, dx = y - 8, column - 6
        shifts.add((dy, dx))
        wanted = torch.zeros(16, 16)
        rows = slice(max(0, dy), min(16, 16 + dy))
        columns = slice(max(0, dx), min(16, 16 + dx))
        wanted[rows, columns] = 1
        wanted[y, column] = 6
        assert torch.equal(image, wanted)
    assert shifts == {(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)}


def test_cutout_takes_a_square_of_half_the_side() -> None:
    out = augment(torch.ones(2000, 1, 16, 16), ("cutout",), rng(2000))
    gone = (out == 0).sum(dim=(1, 2, 3))
    assert int(gone.max()) == 64
    assert int(gone.min()) < 40  # cut by the border
    share = (out == 0).float().mean(dim=0)[0]
    assert float(share[8, 8]) == pytest.approx(0.25, abs=0.04)
    assert bool((share > 0.05).all())


def test_mirror_flips_half_of_them() -> None:
    x = torch.arange(4.0).expand(1000, 1, 4, 4)
    flipped = mirror(x, rng(len(x)))[:, 0, 0, 0] == 3
    assert 400 < int(flipped.sum()) < 600
    assert torch.equal(mirror(x, rng(len(x)))[flipped][0], x[0].flip(2))


def test_policy_names() -> None:
    assert parse_policies("none") == ()
    assert parse_policies("cutout, color") == ("color", "cutout")
    for text in ("", "colour", "color,color"):
        with pytest.raises(UsageError, match="--augment"):
            parse_policies(text)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_part_of_a_batch_gets_what_it_would_have_got_in_it(policy: str) -> None:
    x, rows = torch.randn(8, 1, 16, 16), torch.tensor([2, 3, 7])
    part = Draws(torch.Generator().manual_seed(0), 8, rows)
    whole = augment(x, (policy,), rng(8), 0.7)
    torch.testing.assert_close(augment(x[rows], (policy,), part, 0.7), whole[rows])


@pytest.mark.parametrize("flips", [False, True])
def test_what_was_done_is_told_and_nothing_else(flips: bool) -> None:
    x = torch.rand(400, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    moved, told = told_geometry(x, rng(400), flips)
    assert told.shape == (400, len(TOLD))
    untouched = ~told.any(dim=1)
    assert torch.equal(moved[untouched], x[untouched])
    only_flip = told[:, :5].eq(0).all(dim=1) & told[:, 5].eq(1)
    assert torch.equal(moved[only_flip], x[only_flip].flip(3))
    changed = (moved != x).flatten(1).any(dim=1)
    assert torch.equal(changed, ~untouched)
    shares = told.ne(0).float().mean(dim=0)
    assert shares[:5].sub(TOLD_P).abs().max() < 0.07
    assert float(shares[5]) == (pytest.approx(0.5, abs=0.08) if flips else 0)
    spread = torch.stack([column[column != 0].std() for column in told[:, :5].unbind(1)])
    assert spread.sub(1).abs().max() < 0.3  # in standard deviations


def test_what_is_told_is_what_was_done() -> None:
    """A blob that lies off the middle shows every transform by where it goes and how wide it is."""
    side = 64
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    blob = torch.exp(-((x - 42) ** 2 + (y - 31.5) ** 2) / 12.0)[None, None]
    n = 300
    moved, told = told_geometry(blob.expand(n, 1, side, side), rng(n), p=0.6)
    mass = moved.sum(dim=(1, 2, 3))
    at_x, at_y = ((moved[:, 0] * axis).sum(dim=(1, 2)) / mass - 31.5 for axis in (x, y))
    scale, stretch = (2 ** (SCALE_OCTAVES * told[:, k]) for k in (0, 1))
    angle = TURN_SD * told[:, 2]
    shift = side * SHIFT_SD * told[:, 3:5]
    # Shifted, then widened, then turned.
    away = (torch.tensor([10.5, 0.0]) - shift) * torch.stack([scale * stretch, scale / stretch], 1)
    wanted_x = angle.cos() * away[:, 0] + angle.sin() * away[:, 1]
    wanted_y = angle.cos() * away[:, 1] - angle.sin() * away[:, 0]
    near = (wanted_x.abs() < 16) & (wanted_y.abs() < 16)
    assert near.float().mean() > 0.8
    off = torch.stack([at_x - wanted_x, at_y - wanted_y])[:, near].abs().amax(dim=0)
    ratio = (mass / blob.sum() / scale.square())[near]
    # All but those few at whose border the mirrored blob comes into sight.
    assert ((off < 0.35) & ((ratio - 1).abs() < 0.1)).float().mean() > 0.9
