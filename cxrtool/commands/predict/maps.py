"""Class activation maps of predicted images: which labels, and the pictures.

In: blocks of pixels and probabilities. Out: ``cams/row-N-Label.png``, each image with a map over
it, by its row in ``predictions.csv`` (the header is row 1), and ``cams.csv``, which lists them.
"""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from cxrtool.classifiers.cam import overlay
from cxrtool.classifiers.ensemble import Ensemble
from cxrtool.commands.predict.options import POSITIVE, TOP
from cxrtool.core.config.values import names_of
from cxrtool.core.runs import Run
from cxrtool.data.columns import IMAGE
from cxrtool.data.labels import label_positions
from cxrtool.stats.predictions import csv_text

FOLDER = "cams"


@dataclass
class Maps:
    """Draws the maps that are asked for.

    Args:
        run: Where they go.
        ensemble: Whose maps.
        cam: ``--cam``; None for no maps.
        names: What images are called, filled by the caller's tables.
    """

    run: Run
    ensemble: Ensemble
    cam: str | None
    names: list[str]
    _cells: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._named: list[int] = []
        if self.cam not in (None, TOP, POSITIVE):
            names = names_of(str(self.cam), "--cam")
            self._named = label_positions(self.ensemble.labels, names, "--cam")

    def draw(
        self, pixels: np.ndarray, probabilities: np.ndarray, first: int
    ) -> Mapping[int, tuple[int, np.ndarray]]:
        """Draw the maps of a block.

        Args:
            pixels: [n, H, H] uint8.
            probabilities: [n, L].
            first: Position of its first image among all.

        Returns:
            Position among all images -> (label, picture [H, H, 3] uint8) of the one map of each
            whose label lies farthest above its threshold.
        """
        by_place: dict[int, tuple[int, np.ndarray]] = {}
        if self.cam is None:
            return by_place
        mask, excess = self._wanted(probabilities), self.ensemble.excess(probabilities)
        best = np.where(mask, excess, -np.inf).argmax(axis=1)
        for label in np.flatnonzero(mask.any(axis=0)):
            rows = np.flatnonzero(mask[:, label])
            pictures = overlay(pixels[rows], self.ensemble.maps(pixels[rows], int(label)))
            for row, picture in zip(rows, pictures):
                self._write(first + int(row), int(label), picture, probabilities[row, label])
                if label == best[row] or first + int(row) not in by_place:
                    by_place[first + int(row)] = int(label), picture
        return by_place

    def text(self) -> str:
        """``cams.csv``, by image."""
        columns = [IMAGE, "row", "label", "probability", "map"]
        return csv_text(columns, sorted(self._cells, key=lambda cells: int(cells[1])))

    def _wanted(self, probabilities: np.ndarray) -> np.ndarray:
        """Which maps are asked for: [n, L] bool."""
        if self.cam == POSITIVE:
            return np.asarray(probabilities >= self.ensemble.thresholds)
        mask = np.zeros(probabilities.shape, bool)
        if self.cam == TOP:
            best = self.ensemble.excess(probabilities).argmax(axis=1)
            mask[np.arange(len(mask)), best] = True
        mask[:, self._named] = True
        return mask

    def _write(self, place: int, label: int, picture: np.ndarray, probability: float) -> None:
        name = self.ensemble.labels[label]
        plain = re.sub(r"\W+", "-", name).strip("-") or f"label-{label + 1}"
        target = f"{FOLDER}/row-{place + 2:06d}-{plain}.png"
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        self.run.write_bytes(target, buffer.getvalue())
        cells = [self.names[place], str(place + 2), name, repr(float(probability)), target]
        self._cells.append(cells)
