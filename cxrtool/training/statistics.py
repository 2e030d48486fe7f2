"""Running means that stay on the device until somebody reads them.

In: scalars of every step, as tensors. Out: their means since the last reading, as floats. Adding
never waits for the device; reading does, once for all of them.
"""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor


class Means:
    """Means by name since the last `read`.

    Args:
        device: Where the sums live.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._device = torch.device(device)
        self._sums: dict[str, Tensor] = {}
        self._counts: Counter[str] = Counter()

    @torch.no_grad()
    def add(self, **values: Tensor) -> None:
        """Count the mean of each tensor once."""
        for name, value in values.items():
            mean = value.detach().to(self._device, torch.float64).mean()
            self._sums[name] = self._sums.get(name, 0) + mean
            self._counts[name] += 1

    def read(self, over: Callable[[Tensor], Tensor] | None = None) -> dict[str, float]:
        """The means by name, in the order of first use; then start again.

        Args:
            over: Makes one of the sums of several processes that counted alike, such as their mean.
        """
        if not self._sums:
            return {}
        stacked = torch.stack(list(self._sums.values()))
        sums = (stacked if over is None else over(stacked)).tolist()
        means = {name: total / self._counts[name] for name, total in zip(self._sums, sums)}
        self._sums, self._counts = {}, Counter()
        return means

    def state_dict(self) -> dict[str, dict[str, Tensor] | dict[str, int]]:
        """For a checkpoint in the middle of a tick."""
        sums = {name: value.cpu().clone() for name, value in self._sums.items()}
        return {"sums": sums, "counts": dict(self._counts)}

    def load_state_dict(self, state: dict[str, dict[str, Tensor] | dict[str, int]]) -> None:
        """Put back what `state_dict` returned."""
        self._sums = {
            name: torch.as_tensor(value).to(self._device) for name, value in state["sums"].items()
        }
        self._counts = Counter(state["counts"])
