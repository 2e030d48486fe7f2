"""Networks that read observations from radiographs, and how they are trained.

`architectures` builds them and brings a finished one back, `training` fits one on real and
synthetic images (`batches`, `losses`), `prediction` applies one.
"""

from cxrtool.classifiers.architectures import load

__all__ = ["load"]
