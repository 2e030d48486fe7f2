"""Rows of a dataset directory as torch's `DataLoader` takes them."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchBase

from cxrtool.core.config.values import resolve
from cxrtool.data.cache import pixels
from cxrtool.data.images import to_float
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import Dataset
from cxrtool.data.options import PolicyOptions, SelectionOptions
from cxrtool.data.select import select_rows


class TorchDataset(TorchBase[tuple[Tensor, Tensor, Tensor]]):
    """See `Dataset.torch`. Pixels are read from the data set's memory map, one image at a time."""

    def __init__(
        self, data: Dataset, split: str, view: str, fraction: float, uncertain: str, blank: str
    ) -> None:
        rows = {"split": split, "view": view, "fraction": fraction}
        labels = {"uncertain": uncertain, "blank": blank}
        policy = LabelPolicy.from_options(resolve(PolicyOptions, labels, origin="torch()"))
        self.rows = select_rows(data, resolve(SelectionOptions, rows, origin="torch()"))
        self.labels = data.labels
        self._pixels = pixels(data)
        values, mask = label_arrays(data, self.rows, policy)
        self._values, self._mask = torch.from_numpy(values), torch.from_numpy(mask)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        image = to_float(np.array(self._pixels[self.rows[index]])[None])[0]
        return image, self._values[index], self._mask[index]
