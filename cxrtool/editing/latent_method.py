"""`--method latent`: every image is optimized by itself, towards what a text says.

In: `Tools` (networks, options, the run), w of N starts and a text. Out: an `Editor`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cxrtool.editing.guide import TextGuide
from cxrtool.editing.latent import LatentRecipe, optimize
from cxrtool.editing.latents import VariationSource
from cxrtool.editing.locality import Locality, locality
from cxrtool.editing.spaces import SpaceEdit
from cxrtool.editing.tools import CHANGE, Editor, Edits, Tools


@dataclass(frozen=True)
class LatentMethod:
    """Optimization image by image.

    Attributes:
        tools: Networks, options, the run.
        start: w of N images -> their edits in the space of the options, not yet optimized.
        source: How styles vary; None where edits are not held to where the text acts.
    """

    tools: Tools
    start: Callable[[Tensor], SpaceEdit]
    source: VariationSource | None = None

    def for_text(self, number: int, text: str, guide: TextGuide) -> Editor:
        where = None
        if self.source is not None:
            where = locality(self.source.variation, guide.direction)
        return _LatentEditor(self.tools, self.start, guide, where)


@dataclass(frozen=True)
class _LatentEditor:
    tools: Tools
    start: Callable[[Tensor], SpaceEdit]
    guide: TextGuide
    where: Locality | None

    def edit(self, w: Tensor, strength: float) -> Edits:
        options, default = self.tools.options, LatentRecipe()
        recipe = LatentRecipe(
            default.steps if options.steps is None else options.steps,
            options.lr,
            strength,
            default.l2 if options.l2 is None else options.l2,
            default.keep if options.feature_weight is None else options.feature_weight,
            options.local or 0.0,
        )
        edit, check = self.start(w), self.tools.run.check_stop
        optimize(edit, self.guide, self.tools.distance, recipe, check, self.where)
        with torch.no_grad():
            images = edit.images()
        return Edits(images, edit.way(), edit.changes())

    def direction(self, arrays: dict[str, np.ndarray], strength: float) -> dict[str, Tensor]:
        names = [name for name in arrays if name.startswith(CHANGE)]
        return {
            name.removeprefix(CHANGE): torch.from_numpy(arrays.pop(name).mean(axis=0))
            for name in names
        }
