"""Generators, adversarial ones and flows: networks, losses, augmentation and the training loop."""

from cxrtool.generators.registry import load, load_judge
from cxrtool.generators.stylegan2.network import TrainedGenerator

__all__ = ["TrainedGenerator", "load", "load_judge"]
