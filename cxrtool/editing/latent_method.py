"""`--method latent`: every image is optimized by itself, towards what a text says.

In: `Tools` (networks, options, the run), w of N starts and a text. Out: an editor.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from cxrtool.editing.blocks import Arrays
from cxrtool.editing.guide import TextGuide
from cxrtool.editing.optimization import LatentRecipe, SpaceEdit, optimize
from cxrtool.editing.tools import Tools
from cxrtool.editing.variation import Locality, locality

CHANGE = "moved."
"""Before the name of a change among the arrays of an editor."""


@dataclass(frozen=True)
class LatentMethod:
    """Optimization image by image.

    Attributes:
        tools: Networks, options, the run.
        start: w of N images -> their edits in the space of the options, not yet optimized.
        recipe: How to optimize, but for the weight of the text, which is the strength.
    """

    tools: Tools
    start: Callable[[Tensor], SpaceEdit]
    recipe: LatentRecipe

    def for_target(self, text: str, guide: TextGuide) -> "_LatentEditor":
        """Make ready for a target."""
        held = self.recipe.local
        where = locality(self.tools.variation, guide.direction) if held else None
        return _LatentEditor(self, guide, where)


@dataclass(frozen=True)
class _LatentEditor:
    method: LatentMethod
    guide: TextGuide
    where: Locality | None

    def edit(self, w: Tensor, strength: float) -> tuple[Tensor, Arrays]:
        """Edit the images of w [N, num_ws, w_dim].

        Returns:
            Images [N, 1, H, W] in [-1, 1]; how far each moved in the space ("way", [N]), and its
            change by name, see `training.directions`.
        """
        tools, recipe = self.method.tools, replace(self.method.recipe, text=strength)
        edit = self.method.start(w)
        optimize(edit, self.guide, tools.distance, recipe, tools.run.check_stop, self.where)
        with torch.no_grad():
            images = edit.images()
        changes = {CHANGE + name: change for name, change in edit.changes().items()}
        return images, {"way": edit.way(), **changes}

    def direction(self, arrays: Arrays, strength: float) -> dict[str, Tensor]:
        """What pushes other images as these were: "way" in W+, or styles by layer ("s.NAME").

        Args:
            arrays: Those of all edits; what belongs to the direction alone is taken out.
            strength: At which the images were edited.
        """
        names = [name for name in arrays if name.startswith(CHANGE)]
        return {
            name.removeprefix(CHANGE): torch.from_numpy(arrays.pop(name).mean(axis=0))
            for name in names
        }
