"""The estimators read geometry from pixels: within bounds, one thing at a time, NaN for nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from estimators import COLUMNS, estimate

from cxrtool.phantom import PhantomParams, sample_patient, simulate, truth_row

COUNT = 24


@pytest.fixture(scope="module")
def clear() -> list[PhantomParams]:
    """Frontal views without haze or fluid."""
    found: list[PhantomParams] = []
    i = 0
    while len(found) < COUNT:
        for s in sample_patient(21, i).studies:
            if s.truth["Lung Opacity"] == "0" and s.truth["Pleural Effusion"] == "0":
                found += [x.params for x in s.images if x.params.view != "LATERAL"]
        i += 1
    return found[:COUNT]


@pytest.fixture(scope="module")
def truth(clear: list[PhantomParams]) -> pd.DataFrame:
    return pd.DataFrame([truth_row(p) for p in clear])


@pytest.fixture(scope="module")
def plain(clear: list[PhantomParams]) -> dict[int, pd.DataFrame]:
    """The clear chests as measured at two sizes."""
    return {size: measured(clear, size) for size in (32, 128)}


def measured(params: list[PhantomParams], size: int) -> pd.DataFrame:
    return estimate(np.stack([simulate(p, size) for p in params]))


@pytest.mark.parametrize(("size", "heart", "thorax"), [(32, 0.012, 0.035), (128, 0.006, 0.006)])
def test_errors_on_clear_chests_are_small(
    plain: dict[int, pd.DataFrame], truth: pd.DataFrame, size: int, heart: float, thorax: float
) -> None:
    got = plain[size]
    assert tuple(got.columns) == COLUMNS
    error = (got - truth[list(COLUMNS)]).abs()
    assert got["heart_width"].notna().mean() > 0.9
    assert error["heart_width"].median() < heart
    assert error["thoracic_width"].median() < thorax
    assert error["lung_area"].median() < 0.02
    assert error["effusion_right"].median() < 0.01
    ok = got["heart_width"].notna()
    assert np.corrcoef(got["heart_width"][ok], truth["heart_width"][ok])[0, 1] > 0.9


def test_ribs_are_found_where_they_are_drawn(
    plain: dict[int, pd.DataFrame], truth: pd.DataFrame
) -> None:
    got = plain[128]
    ok = got["rib_position"].notna()
    assert ok.mean() > 0.6
    # Which rib is the fifth is a guess; that it is a rib is measured.
    off = got["rib_position"] - truth["rib_position"]
    off -= truth["rib_spacing"] * np.round(off / truth["rib_spacing"])
    assert off[ok].abs().median() < 0.12 * truth["rib_spacing"].median()
    assert plain[32]["rib_position"].isna().all()


@pytest.mark.parametrize("size", [32, 128])
def test_a_wider_heart_is_seen_and_nothing_else_moves(
    clear: list[PhantomParams],
    plain: dict[int, pd.DataFrame],
    truth: pd.DataFrame,
    size: int,
) -> None:
    wider = [replace(p, findings=replace(p.findings, ctr=1.15 * p.findings.ctr)) for p in clear]
    before, after = plain[size], measured(wider, size)
    ratio = (after["heart_width"] / before["heart_width"]).dropna()
    assert (ratio > 1.05).mean() > 0.85
    assert ratio.median() > 1.09
    moved = (after - before).mean().abs() / truth[list(COLUMNS)].std()
    for name in ("cage_left_x", "cage_right_x", "thoracic_width", "apex_y"):
        assert moved[name] < 0.1, name
    assert moved["lung_area"] < 0.4
    assert moved["heart_width"] > 0.5


def test_deeper_fluid_is_seen_on_its_side(clear: list[PhantomParams]) -> None:
    def with_fluid(depth: float) -> pd.DataFrame:
        return measured(
            [replace(p, findings=replace(p.findings, effusion_left=depth)) for p in clear[:10]], 64
        )

    levels = [with_fluid(d) for d in (0.0, 4.5, 9.0)]
    left = [x["effusion_left"].median() for x in levels]
    assert left[0] < 0.02
    assert left[0] + 0.04 < left[1] < left[2] - 0.06
    assert max(x["effusion_right"].median() for x in levels) < 0.03


def test_nothing_to_measure_is_nan_and_never_an_error() -> None:
    flat = np.full((2, 64, 64), 90, np.uint8)
    noise = np.random.default_rng(0).integers(0, 255, (2, 64, 64), dtype=np.uint8)
    got = estimate(np.concatenate([flat, noise]))
    assert len(got) == 4
    assert got.iloc[:2]["heart_width"].isna().all()


def test_rows_are_independent_of_their_neighbours(clear: list[PhantomParams]) -> None:
    images = np.stack([simulate(p, 64) for p in clear[:4]])
    together = estimate(images)
    for i in range(4):
        pd.testing.assert_frame_equal(
            together.iloc[[i]].reset_index(drop=True), estimate(images[i])
        )


def test_bad_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="uint8"):
        estimate(np.zeros((2, 64, 64), np.float32))
    with pytest.raises(ValueError, match="at least 32"):
        estimate(np.zeros((2, 16, 16), np.uint8))
    assert list(estimate(np.zeros((0, 64, 64), np.uint8)).columns) == list(COLUMNS)
