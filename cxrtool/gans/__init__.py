"""Generative adversarial networks: networks, losses, augmentation and the training loop."""

from cxrtool.gans.archs import load, load_judge
from cxrtool.gans.network import TrainedGenerator

__all__ = ["TrainedGenerator", "load", "load_judge"]
