"""Augment chest X-ray data with generative models, and measure whether it helped.

Every step is a command of ``cxr``. From Python the same things have a small, stable face, imported
when it is first used; all other modules are the package's own affair and may change:

    load_dataset(path)       images, labels and table of a dataset directory
    load_generator(path)     images from a trained generator
    load_classifier(path)    calibrated probabilities of findings
    load_clip(path)          image and text embeddings, zero-shot scores
    label(text)              what a radiology report says
    label_table(frame)       the same for a table of reports
    run(command, ...)        any command, as on the command line

See `docs/how-to/python.md` for examples, which the tests run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cxrtool.version import __version__

if TYPE_CHECKING:
    from cxrtool.core.errors import CxrError
    from cxrtool.library import (
        label,
        label_table,
        load_classifier,
        load_clip,
        load_dataset,
        load_generator,
        run,
    )

__all__ = [
    "CxrError",
    "__version__",
    "label",
    "label_table",
    "load_classifier",
    "load_clip",
    "load_dataset",
    "load_generator",
    "run",
]


def __getattr__(name: str) -> Any:
    # Torch and pandas take seconds to import: only who uses a function waits for them.
    if name == "CxrError":
        from cxrtool.core.errors import CxrError

        return CxrError
    if name in __all__:
        from cxrtool import library

        return getattr(library, name)
    raise AttributeError(f"module 'cxrtool' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
