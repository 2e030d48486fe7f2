"""A dataset directory as Python users see it: `cxrtool.load_dataset`."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cxrtool.data.cache import pixels
from cxrtool.data.columns import AGE, PATIENT, SPLIT, SPLITS
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import Dataset


class Sample(NamedTuple):
    """One image of a data set with what is known of it.

    Attributes:
        image: float32 [1, H, W] in [-1, 1].
        labels: float32 [L] in {0, 1}, in the order of the data set's labels.
        mask: bool [L]; where it is False the label is not known and its value means nothing.
        meta: The other cells of the manifest that are not blank.
    """

    image: np.ndarray
    labels: np.ndarray
    mask: np.ndarray
    meta: dict[str, str]


class DatasetView(Dataset):
    """A `Dataset` with images, labels and table in the forms of NumPy, pandas and torch."""

    def __getitem__(self, row: int) -> Sample:
        """One image, by its place in the manifest; labels as in training (-1 is 1, blank is 0)."""
        if not -len(self) <= row < len(self):
            raise IndexError(f"{self.path} has {len(self)} images, no number {row}")
        rows = np.array([row % len(self)])
        values, mask = label_arrays(self, rows, LabelPolicy())
        cells = self.table.iloc[rows[0]].drop(list(self.labels))
        image = np.asarray(pixels(self, rows), np.float32) / 127.5 - 1.0
        meta = {str(k): str(v) for k, v in cells.items() if v != ""}
        return Sample(image, values[0], mask[0], meta)

    def __repr__(self) -> str:
        size = "labels only" if self.info.size is None else f"{self.info.size} px"
        parts = [f"{len(self):,} images", size, f"{len(self.labels)} labels"]
        splits = self.column(SPLIT)
        counts = [f"{name} {n:,}" for name in SPLITS if (n := int((splits == name).sum()))]
        if self.info.patients:
            parts.insert(1, f"{len(set(self.column(PATIENT)) - {''}):,} patients")
        return f"Dataset({str(self.path)!r}: {', '.join(parts + counts)})"

    @property
    def frame(self) -> pd.DataFrame:
        """The manifest as a pandas table: labels are 1, 0, -1 (uncertain) or <NA>; ages numbers."""
        out = self.table.copy()
        for name in self.labels:
            out[name] = pd.to_numeric(out[name].replace("", None)).astype("Int64")
        if AGE in out:
            out[AGE] = pd.to_numeric(out[AGE].replace("", None), errors="coerce")
        return out

    def torch(
        self,
        *,
        split: str = "train",
        view: str = "frontal",
        fraction: float = 1.0,
        uncertain: str = "ones",
        blank: str = "zeros",
    ) -> Any:
        """Rows of the data set for a torch `DataLoader`.

        Args:
            split: train, val, test or all.
            view: frontal, lateral or all; has an effect where views are known.
            fraction: Share of that split's patients; 0.01 lies inside 0.1.
            uncertain: What -1 means: ones, zeros or ignore.
            blank: What a blank means: zeros or ignore.

        Returns:
            A `torch.utils.data.Dataset` of (image float32 [1, H, W] in [-1, 1], labels float32 [L],
            mask bool [L]), with the attributes ``rows`` (places in this data set) and ``labels``.

        Raises:
            InputError: No row is left; says which option left none.
        """
        from cxrtool.data.torch_dataset import TorchDataset

        return TorchDataset(self, split, view, fraction, uncertain, blank)
