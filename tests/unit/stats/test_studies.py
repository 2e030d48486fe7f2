"""Images of one study judged together."""

from __future__ import annotations

import numpy as np
import pytest

from cxrtool.stats.studies import by_study, study_codes


@pytest.mark.parametrize(
    ("patients", "names", "codes"),
    [
        ([0, 0, 1], ["a", "a", "a"], [0, 0, 1]),  # "study1" of two patients is two studies
        ([0, 0, 0], ["a", "b", "a"], [0, 1, 0]),
        ([0, 0, 0], ["", "", ""], [0, 1, 2]),  # without a study an image is one of its own
        ([0, 0, 0, 0], ["a", "", "a", ""], [0, 1, 0, 2]),
    ],
)
def test_studies_are_of_one_patient(
    patients: list[int], names: list[str], codes: list[int]
) -> None:
    got = study_codes(np.array(patients), np.array(names, dtype=object))
    assert got.tolist() == codes


def test_every_study_is_that_of_its_images() -> None:
    rng = np.random.default_rng(0)
    n = 200
    patients = rng.integers(0, 40, n)
    studies = study_codes(patients, rng.integers(0, 3, n).astype(str))
    truth = (rng.random((n, 3)) < 0.3).astype(float)
    mask, scores = rng.random((n, 3)) < 0.7, rng.random((2, n, 3))
    rows = by_study(studies, truth, mask, patients, scores)
    assert len(rows.truth) == studies.max() + 1
    for study in range(len(rows.truth)):
        own = studies == study
        np.testing.assert_array_equal(rows.mask[study], mask[own].any(axis=0))
        np.testing.assert_array_equal(rows.truth[study], (truth * mask)[own].max(axis=0))
        np.testing.assert_allclose(rows.largest[:, study], scores[:, own].max(axis=1))
        np.testing.assert_allclose(rows.mean[:, study], scores[:, own].mean(axis=1))
        assert {rows.codes[study]} == set(patients[own].tolist())


def test_studies_of_one_image_are_the_images() -> None:
    rng = np.random.default_rng(1)
    truth, scores = (rng.random((30, 2)) < 0.5).astype(float), rng.random((4, 30, 2))
    mask, codes = np.ones_like(truth, bool), np.arange(30)
    rows = by_study(study_codes(codes, np.full(30, "a", dtype=object)), truth, mask, codes, scores)
    np.testing.assert_array_equal(rows.largest, scores)
    np.testing.assert_array_equal(rows.mean, scores)
    np.testing.assert_array_equal(rows.truth, truth)
