"""TensorBoard's files: the curves of a training, to be looked at while it runs.

In: lines of metrics. Out: `tensorboard/` in the run directory, where the package `tensorboard` is
installed (extra ``tensorboard``); nothing without it. No server is needed to write them. They hold
the machine's name and times, so they are no outputs of the run, and `cxr share` leaves them out.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, cast

from cxrtool.core.runs import EVENTS, Run


class Events:
    """What is written of one training; its axis is images seen.

    Args:
        run: The run directory. A process that only helps writes nothing.
    """

    def __init__(self, run: Run) -> None:
        self._run, self._writer = run, cast("Any", None)
        self._wanted = not run.helps

    def begin(self, nimg: int) -> None:
        """Begin after so many images: what lies past them is not shown any more."""
        self.close()
        if self._wanted:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:  # the package is not installed
                self._wanted = False
                return
            folder = str(self._run.path(EVENTS))
            self._writer = SummaryWriter(folder, purge_step=nimg + 1 if nimg else 0)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write the numbers of a line of metrics."""
        if self._writer is not None:
            for name, value in scalars(row):
                self._writer.add_scalar(name, value, int(row.get("nimg", 0)))
            self._writer.flush()

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def scalars(row: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a line by name; one of a label stands below its measure: ``auroc/Edema``."""
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from scalars(value, f"{above}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and name != "nimg":
            yield above + name, float(value)


@contextlib.contextmanager
def events_of(run: Run) -> Iterator[Events]:
    """The files of a run, closed however the training ends."""
    events = Events(run)
    try:
        yield events
    finally:
        events.close()
