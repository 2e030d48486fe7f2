"""Scores of whole studies: a report is about a study, and a study may have several views.

In: truth, mask and predictions of images, and the study of each. Out: the same of studies, their
probability the largest of their views, or the mean. The largest is CheXpert's rule: of several
views its models give each observation's maximum probability over the views (Irvin et al., AAAI
2019, arXiv 1901.07031, section on the models).
"""

from dataclasses import dataclass

import numpy as np

from cxrtool.stats.comparison import Scored


@dataclass(frozen=True)
class Studies:
    """What classifiers scored on studies.

    Attributes:
        studies: How many there are.
        several: Those of several images.
        largest: Scores of the largest probability of the views.
        mean: Scores of their mean probability.
    """

    studies: int
    several: int
    largest: Scored
    mean: Scored


def study_codes(patients: np.ndarray, names: np.ndarray) -> np.ndarray:
    """The study of each image; an image without a study is one of its own.

    Args:
        patients: [N] int64: "study1" of two patients is two studies.
        names: [N] study ids, "" where there is none.

    Returns:
        [N] int64, from 0 in order of first appearance.
    """
    keys: dict[tuple[int, str, int], int] = {}
    cells = zip(patients.tolist(), names.tolist(), range(len(names)))
    codes = [
        keys.setdefault((patient, str(name), -1 if name else place), len(keys))
        for patient, name, place in cells
    ]
    return np.array(codes, np.int64)


@dataclass(frozen=True)
class StudyRows:
    """Rows of studies, as those of images.

    Attributes:
        truth: [S, L], 1 where an image of the study has the label.
        mask: [S, L], whether the label is known of an image.
        codes: [S] patient of each.
        largest: [R, S, L] the largest probability of the images.
        mean: [R, S, L] their mean.
    """

    truth: np.ndarray
    mask: np.ndarray
    codes: np.ndarray
    largest: np.ndarray
    mean: np.ndarray


def by_study(
    studies: np.ndarray,
    truth: np.ndarray,
    mask: np.ndarray,
    codes: np.ndarray,
    scores: np.ndarray,
) -> StudyRows:
    """Put the images of each study together.

    Args:
        studies: [N] from `study_codes`.
        truth: [N, L] in {0, 1}.
        mask: [N, L] bool.
        codes: [N] patient of each image.
        scores: [R, N, L].
    """
    order = np.argsort(studies, kind="stable")
    starts = np.flatnonzero(np.diff(studies[order], prepend=-1))
    counts = np.diff(np.append(starts, len(order)))
    known = mask[order]
    largest = np.maximum.reduceat(scores[:, order], starts, axis=1)
    mean = np.add.reduceat(scores[:, order], starts, axis=1) / counts[:, None]
    return StudyRows(
        np.maximum.reduceat(truth[order] * known, starts, axis=0),
        np.logical_or.reduceat(known, starts, axis=0),
        codes[order][starts],
        largest,
        mean,
    )
