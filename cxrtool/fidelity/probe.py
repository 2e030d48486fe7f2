"""Can a linear model tell real from synthetic by what no reader would look at?

In: pixels of two sets. Out: a cross-validated AUROC: 0.5 if it cannot. The features know nothing
of anatomy: the radial power spectrum (resize kernels, checkerboards), steps at the borders of
8 x 8 blocks (JPEG against PNG), the gray values used (bit depth, clipping), the rim of the image
(borders, padding). What they separate, a classifier may learn in place of a finding.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

RINGS = 24
GRAYS = 16
FOLDS = 5
BLOCK = 8


def shortcut_features(images: np.ndarray) -> np.ndarray:
    """[N, H, H] uint8 -> [N, F] float64."""
    x = images.astype(np.float64)
    n, size = len(x), x.shape[1]
    power = np.log1p(np.abs(np.fft.fft2(x - x.mean(axis=(1, 2), keepdims=True))) ** 2)
    f = np.fft.fftfreq(size)
    radius = np.sqrt(f[:, None] ** 2 + f**2)
    ring = np.minimum((radius / 0.5 * RINGS).astype(int), RINGS - 1)
    count = np.bincount(ring.ravel(), minlength=RINGS)
    spectrum = np.stack(
        [np.bincount(ring.ravel(), p.ravel(), RINGS) / np.maximum(count, 1) for p in power]
    )
    steps = np.abs(np.diff(x, axis=2)).mean(axis=1), np.abs(np.diff(x, axis=1)).mean(axis=2)
    at_blocks = np.arange(size - 1) % BLOCK == BLOCK - 1
    blocks = [s[:, at_blocks].mean(axis=1) - s[:, ~at_blocks].mean(axis=1) for s in steps]
    grays = np.stack(
        [np.bincount(i.ravel() // (256 // GRAYS), minlength=GRAYS) for i in images]
    ) / (size * size)
    rim = [x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]]
    edges = [value for side in rim for value in (side.mean(axis=1), side.std(axis=1))]
    ends = [(images == v).mean(axis=(1, 2)) for v in (0, 255)]
    return np.column_stack([spectrum, *blocks, grays, *edges, *ends]).reshape(n, -1)


def separability(a: np.ndarray, b: np.ndarray, seed: int) -> float:
    """Cross-validated AUROC of a logistic regression that tells two sets of features apart.

    The larger set is cut to the size of the smaller one.

    Args:
        a: [N, F] features.
        b: [M, F] features.
        seed: Of the folds.
    """
    rng = np.random.default_rng(seed)
    n = min(len(a), len(b))
    if n < 2 * FOLDS:
        return float("nan")
    x = np.concatenate([s[rng.permutation(len(s))[:n]] for s in (a, b)])
    y = np.repeat([0, 1], n)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_predict(model, x, y, cv=folds, method="decision_function")
    return float(roc_auc_score(y, scores))
