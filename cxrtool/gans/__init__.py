"""Generative adversarial networks: networks, losses, augmentation and the training loop."""

from cxrtool.gans.network import TrainedGenerator, load, load_discriminator

__all__ = ["TrainedGenerator", "load", "load_discriminator"]
