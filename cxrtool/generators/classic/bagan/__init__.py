"""BAGAN (Mariani et al. 2018, arXiv 1803.09655): a class-conditional generator for unequal classes.

An autoencoder learns all classes together; its decoder becomes the generator, its encoder the trunk
of a discriminator of K + 1 classes, and a Gaussian per class over the codes the input of the
generator. `networks`: decoder, trunk and heads; `latents`: the Gaussians; `trainer`: both stages.
"""

from cxrtool.generators.classic.bagan.trainer import build, choose, load_generator, load_judge

__all__ = ["build", "choose", "load_generator", "load_judge"]
