"""`--method latent`: every image is optimized by itself, towards what a text says.

In: `Tools` (networks, options, the run), w of N starts and a text. Out: an editor.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cxrtool.editing.blocks import Arrays
from cxrtool.editing.guide import TextGuide
from cxrtool.editing.optimization import LatentEdit, LatentRecipe, optimize
from cxrtool.editing.tools import Tools
from cxrtool.training.directions import WAY

CHANGE = "moved"
"""Among the arrays of an editor: the change of each image in W+, [N, num_ws, w_dim]."""


@dataclass(frozen=True)
class LatentMethod:
    """Optimization image by image.

    Attributes:
        tools: Networks, options, the run.
        recipe: How to optimize, but for the weight of the text, which is the strength.
    """

    tools: Tools
    recipe: LatentRecipe

    def for_target(self, text: str, guide: TextGuide) -> "_LatentEditor":
        """Make ready for a target."""
        return _LatentEditor(self, guide)


@dataclass(frozen=True)
class _LatentEditor:
    method: LatentMethod
    guide: TextGuide

    def edit(self, w: Tensor, strength: float) -> tuple[Tensor, Arrays]:
        """Edit the images of w [N, num_ws, w_dim].

        Returns:
            Images [N, 1, H, W] in [-1, 1]; how far each moved in W+ ("way", [N]), and its change.
        """
        tools, recipe = self.method.tools, replace(self.method.recipe, text=strength)
        edit = LatentEdit(tools.generator, w)
        optimize(edit, self.guide, tools.distance, recipe, tools.run.check_stop)
        with torch.no_grad():
            images = edit.images()
        return images, {"way": edit.way(), CHANGE: edit.change.detach().cpu().numpy()}

    def direction(self, arrays: Arrays, strength: float) -> dict[str, Tensor]:
        """What pushes other images as these were: the mean way in W+.

        Args:
            arrays: Those of all edits; what belongs to the direction alone is taken out.
            strength: At which the images were edited.
        """
        return {WAY: torch.from_numpy(arrays.pop(CHANGE).mean(axis=0))}
