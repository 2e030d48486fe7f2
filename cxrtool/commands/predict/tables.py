"""The tables of `cxr predict`: probabilities and decisions, a row an image."""

from collections.abc import Sequence

import numpy as np

from cxrtool.classifiers.ensemble import Ensemble
from cxrtool.data.columns import IMAGE, PATIENT, STUDY
from cxrtool.data.named_images import NamedImage
from cxrtool.stats.predictions import csv_text

#: Joins the labels of one image, as ChestX-ray14 does.
BETWEEN = "|"


class Tables:
    """Collects what is said of images.

    Args:
        ensemble: Whose labels and thresholds count.
        include_ids: Name DICOM files, patients and studies.

    Attributes:
        names: What each image is called, N.
        probabilities: Blocks of [n, L].
    """

    def __init__(self, ensemble: Ensemble, *, include_ids: bool) -> None:
        self.labels, self.thresholds = ensemble.labels, ensemble.thresholds
        self.single, self.include_ids = ensemble.kind == "single", include_ids
        self.names: list[str] = []
        self._ids: list[tuple[str, str]] = []
        self._blocks: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self.names)

    @property
    def probabilities(self) -> np.ndarray:
        """[N, L] float64."""
        return np.concatenate([np.zeros((0, len(self.labels))), *self._blocks])

    @property
    def positive(self) -> np.ndarray:
        """[N, L] bool: the threshold is reached."""
        return np.asarray(self.probabilities >= self.thresholds)

    def add(self, images: Sequence[NamedImage], probabilities: np.ndarray) -> int:
        """Add a block [n, L]; the position of its first row."""
        start = len(self.names)
        self.names += [i.file if self.include_ids and i.file else i.name for i in images]
        self._ids += [(image.patient, image.study) for image in images]
        self._blocks.append(probabilities)
        return start

    def columns(self) -> list[str]:
        """Names of the columns of ``predictions.csv``."""
        ids = [PATIENT, STUDY] if self.include_ids else []
        return [IMAGE, *ids, *self.labels, "positive", *(["class"] if self.single else [])]

    def _rows(self, probabilities: np.ndarray, start: int) -> list[list[str]]:
        """Cells of ``predictions.csv``; probabilities have all their digits."""
        cells = []
        for k, values in enumerate(probabilities, start=start):
            above = [n for n, p, t in zip(self.labels, values, self.thresholds) if p >= t]
            cells.append(
                [
                    self.names[k],
                    *(self._ids[k] if self.include_ids else ()),
                    *(repr(float(p)) for p in values),
                    BETWEEN.join(above),
                    *([self.labels[int(values.argmax())]] if self.single else []),
                ]
            )
        return cells

    def text(self) -> str:
        """``predictions.csv``."""
        return csv_text(self.columns(), self._rows(self.probabilities, 0))

    def head(self) -> str:
        """The first line of ``predictions.csv``."""
        return csv_text(self.columns(), [])

    def lines(self, start: int) -> str:
        """The lines of the block that was added last, which begins at a row."""
        return csv_text(self.columns(), self._rows(self._blocks[-1], start)).partition("\n")[2]

    def decisions_text(self) -> str:
        """``decisions.csv``: 1 where the threshold is reached and 0 elsewhere."""
        rows = [
            [name, *("1" if yes else "0" for yes in cells)]
            for name, cells in zip(self.names, self.positive)
        ]
        return csv_text([IMAGE, *self.labels], rows)
