"""The conditional progressive GAN of study B (Sundaram and Hulkund 2021; Han et al. 2020).

Progressive growing (Karras et al. 2018), labels concatenated to z, a discriminator of 1 + L
outputs, WGAN-GP. `growth`: which resolution when; `networks`; `trainer`: losses and steps.
"""

from cxrtool.generators.classic.acgan.trainer import build, choose, load_generator, load_judge

__all__ = ["build", "choose", "load_generator", "load_judge"]
