"""``python -m cxrtool`` is ``cxr``; this is also what torchrun starts."""

from __future__ import annotations

import gc
import sys

#: New objects between looks for garbage. Imports make very many objects and hardly any garbage.
_GC_THRESHOLD = 200_000


def main() -> None:
    """Entry point of the ``cxr`` script."""
    gc.set_threshold(_GC_THRESHOLD)
    from cxrtool.cli import run

    try:
        run()
    finally:
        if "torch" not in sys.modules:  # whose parts look for leaks at the end
            gc.freeze()  # what is left goes with the process; no last look at all of it


if __name__ == "__main__":
    main()
