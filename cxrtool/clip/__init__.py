"""Contrastive image-text models: building, training, text strategies, zero-shot reading."""

from cxrtool.clip.model import ClipModel, load

__all__ = ["ClipModel", "load"]
