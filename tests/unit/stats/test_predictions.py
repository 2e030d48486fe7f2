"""Tables of predictions keep what was predicted."""

from __future__ import annotations

import numpy as np

from cxrtool.stats.predictions import prediction_rows


def test_probabilities_keep_their_order_in_the_file() -> None:
    close = np.nextafter(0.123456789, 1) - np.arange(4) * 2.0**-56
    made = np.stack([close, 1 - close], axis=1)
    cells = prediction_rows(np.arange(4), made, {"run": "1"})
    np.testing.assert_array_equal([[float(p) for p in row[2:]] for row in cells], made)
