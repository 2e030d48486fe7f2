"""The pictures: same bytes again, one anatomy at every size, findings in their place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cxrtool.phantom import Findings, sample_patient, simulate, truth_row
from cxrtool.phantom.devices import KINDS
from cxrtool.phantom.frame import Frame
from cxrtool.phantom.frontal import frontal_attenuation
from cxrtool.phantom.params import Acquisition, Device, Nodule
from cxrtool.phantom.render import attenuation
from tests.unit.phantom.cases import FINDINGS, frontal

SIZE = 96


def test_same_parameters_give_the_same_bytes() -> None:
    params = sample_patient(3, 4).studies[0].images[0].params
    first, second = simulate(params, 64), simulate(params, 64)
    assert first.dtype == np.uint8
    assert first.shape == (64, 64)
    np.testing.assert_array_equal(first, second)


def test_noise_follows_the_seed_and_nothing_else_does() -> None:
    params = frontal()
    a, b, c = (simulate(params, 128, rng=s).astype(int) for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert 0 < np.abs(a - c).mean() < 4


def test_fewer_photons_give_more_noise() -> None:
    def grain(photons: float) -> float:
        shots = [simulate(frontal(photons=photons), 64, rng=s).astype(float) for s in range(4)]
        return float(np.std(shots, axis=0).mean())

    assert grain(200.0) > 2 * grain(5000.0)


@pytest.mark.parametrize("view", ["PA", "LATERAL"])
def test_every_size_shows_the_same_anatomy(view: str) -> None:
    params = frontal(photons=1e6, view=view, rotation=2.0, shift_x=1.0)
    big = simulate(params, 512).astype(float)
    for size in (32, 64, 128):
        small = simulate(params, size).astype(float)
        reduced = big.reshape(size, 512 // size, size, 512 // size).mean(axis=(1, 3))
        assert np.corrcoef(small.ravel(), reduced.ravel())[0, 1] > 0.995
        assert np.abs(small - reduced).mean() < 4


def test_pictures_that_are_not_square_hold_the_document_in_their_centre() -> None:
    params = frontal(photons=1e6)
    tall = simulate(params, (120, 96))
    assert tall.shape == (120, 96)
    square = simulate(params, 96)
    assert np.abs(tall[12:108].astype(int) - square).mean() < 1.5


def test_attenuation_of_large_pictures_is_enlarged_from_a_finite_grid() -> None:
    frame = Frame(Acquisition(), 1400, 1100)
    total = attenuation(frontal(), frame)
    assert total.shape == (1400, 1100)
    small = attenuation(frontal(), Frame(Acquisition(), 140, 110))
    reduced = total.reshape(140, 10, 110, 10).mean(axis=(1, 3))
    assert np.abs(reduced - small).mean() < 0.03


def test_gray_levels_are_those_of_a_radiograph() -> None:
    image = simulate(frontal(), 128)
    lung, spine, belly = image[50:70, 28:36], image[50:60, 62:66], image[112:124, 50:78]
    assert image[2:8, 2:8].mean() < 25
    assert 40 < lung.mean() < 130
    assert spine.mean() > lung.mean() + 60
    assert belly.mean() > lung.mean() + 80


@pytest.mark.parametrize("name", list(FINDINGS))
def test_a_finding_changes_the_picture_on_its_side(name: str) -> None:
    findings, side = FINDINGS[name]
    frame = Frame(Acquisition(), SIZE, SIZE)
    plain = frontal_attenuation(frontal(), frame)
    ill = frontal_attenuation(frontal(findings), frame)
    change = np.abs(ill - plain)
    assert change.max() > 0.04
    left, right = change[:, SIZE // 2 :].sum(), change[:, : SIZE // 2].sum()
    if side == "left":
        assert left > 10 * right
    elif side == "right":
        assert right > 10 * left
    else:
        assert min(left, right) > 0.15 * max(left, right) or name == "Support Devices"
    # Nothing but the chest changes: neither the shoulders' outside nor the corners.
    assert change[:6, :6].max() < 1e-4


@pytest.mark.parametrize("name", [n for n in FINDINGS if n != "Fracture"])
def test_a_finding_shows_in_the_lateral_view(name: str) -> None:
    findings, _ = FINDINGS[name]
    view = frontal(view="LATERAL")
    plain = simulate(view, 64, rng=0).astype(float)
    ill = simulate(replace(view, findings=findings), 64, rng=0).astype(float)
    assert np.abs(ill - plain).max() > 6


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_device_shows(kind: str) -> None:
    frame = Frame(Acquisition(), SIZE, SIZE)
    with_device = frontal(Findings(devices=(Device(kind=kind, side="right"),)))
    change = frontal_attenuation(with_device, frame) - frontal_attenuation(frontal(), frame)
    assert change.max() > 0.15
    assert change.min() > -1e-4


def test_truth_tells_where_a_nodule_is() -> None:
    acquisition = Acquisition(rotation=3.0, shift_x=0.8, shift_y=-0.6, fov=42.0)
    nodule = Nodule(side="right", u=0.6, v=0.4, z=0.5, r=1.5, density=1.0, seed=8)
    params = replace(frontal(Findings(nodules=(nodule,))), acquisition=acquisition)
    frame = Frame(acquisition, 128, 128)
    change = frontal_attenuation(params, frame) - frontal_attenuation(
        replace(params, findings=Findings()), frame
    )
    change = np.clip(change, 0, None)
    rows, cols = np.mgrid[0:128, 0:128]
    row = truth_row(params)
    assert (change * cols).sum() / change.sum() / 128 == pytest.approx(row["nodule_x"], abs=0.01)
    assert (change * rows).sum() / change.sum() / 128 == pytest.approx(row["nodule_y"], abs=0.01)
    reach = (change > 0.3 * change.max()).sum() / 128**2
    assert np.sqrt(reach / np.pi) == pytest.approx(row["nodule_r"], rel=0.25)


def test_truth_is_the_heart_that_is_drawn() -> None:
    for ctr in (0.42, 0.55, 0.68):
        params = frontal(Findings(ctr=ctr), view="AP", heart_magnification=1.1)
        row = truth_row(params)
        assert row["ctr"] == pytest.approx(1.1 * ctr, abs=2e-3)
        assert row["heart_right_x"] - row["heart_left_x"] == pytest.approx(
            row["heart_width"], rel=0.01
        )


def test_lateral_views_have_no_frontal_geometry() -> None:
    row = truth_row(frontal(view="LATERAL"))
    assert np.isnan(row["heart_width"])
    assert np.isnan(row["rib_position"])
    assert row["ctr_param"] == pytest.approx(0.45)


def test_collimation_blackens_the_margins() -> None:
    image = simulate(frontal(collimation=(0.1, 0.0, 0.0, 0.2)), 100)
    assert image[:, :9].max() < 10
    assert image[82:].max() < 10
    assert image[40, 50] > 60
