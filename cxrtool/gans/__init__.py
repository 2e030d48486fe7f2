"""Generative adversarial networks: networks, losses, augmentation and the training loop."""

from cxrtool.gans.network import (
    TrainedGenerator,
    TrainedJudge,
    load,
    load_discriminator,
    load_judge,
)

__all__ = ["TrainedGenerator", "TrainedJudge", "load", "load_discriminator", "load_judge"]
