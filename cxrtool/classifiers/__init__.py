"""Networks that read observations from radiographs, and how they are trained.

`architectures` builds them, `loading` brings a finished one back, `training` fits one on real and
synthetic images (`pool`, `batches`, `losses`), `prediction` applies one.
"""

from cxrtool.classifiers.loading import load

__all__ = ["load"]
