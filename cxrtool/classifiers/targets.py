"""Which labels a network can learn and be chosen by.

In: values and masks. Out: the labels that hold both classes, and for each of the others the reason
why not, so that it can be named instead of silently learned from nothing.
"""

from collections.abc import Sequence

import numpy as np

from cxrtool.core.errors import InputError


def missing_class(values: np.ndarray, mask: np.ndarray) -> str | None:
    """Why one label cannot be learned or scored, or None.

    Args:
        values: [N] in {0, 1}.
        mask: [N] bool.
    """
    if not mask.any():
        return "no cell says anything"
    if not (values[mask] == 1).any():
        return "no positive"
    if not (values[mask] == 0).any():
        return "no negative"
    return None


def learnable(
    labels: Sequence[str], values: np.ndarray, mask: np.ndarray, *, where: str
) -> tuple[list[int], dict[str, str]]:
    """Split labels into those with both classes and those without.

    Args:
        labels: L names.
        values: [N, L] in {0, 1}.
        mask: [N, L] bool.
        where: What the rows are, for the message.

    Returns:
        ``(positions, left_out)``: positions of the labels with both classes, and name -> reason.

    Raises:
        InputError: No label is left.
    """
    reasons = {name: missing_class(values[:, k], mask[:, k]) for k, name in enumerate(labels)}
    left_out = {name: reason for name, reason in reasons.items() if reason is not None}
    positions = [k for k, name in enumerate(labels) if name not in left_out]
    if not positions:
        why = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise InputError(
            f"no label has both classes in {where} ({why or 'there are no labels'})",
            hint="check --classes, --uncertain, --blank, and the row selection",
        )
    return positions, left_out
