"""`--method global`: a text as one direction of style space, for any number of images.

In: a generator with a style space, a CLIP, texts. Out: an editor for each text. What the directions
are made from, the relevance matrix, belongs to the pair of networks, not to a text: it is made
once, kept in the run and used again with `--relevance`.
"""

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from cxrtool.core import console
from cxrtool.editing import relevance as relevances
from cxrtool.editing.blocks import Arrays, stored
from cxrtool.editing.guide import TextGuide
from cxrtool.editing.relevance import ChannelProbe, Channels, Direction, Relevance
from cxrtool.editing.tools import Tools
from cxrtool.training.protocols import StyleSpace


@dataclass(frozen=True, eq=False)
class GlobalMethod:
    """One direction of style space a text; holds the statistics and, once needed, the matrix.

    Attributes:
        tools: Networks, options, the run.
    """

    tools: Tools

    def for_target(self, text: str, guide: TextGuide) -> "_GlobalEditor":
        """Make ready for a target."""
        beta = self.tools.options.beta
        relevance = relevances.relevance_of(self._matrix, guide.direction)
        channels = self._matrix.channels
        towards = relevances.direction(channels, relevance, beta)
        console.say(f"{text}: {towards.count} of {channels.count} channels move")
        return _GlobalEditor(self.tools.styled, towards, guide.sign, channels)

    @cached_property
    def _matrix(self) -> Relevance:
        """The exact relevance of every channel; it is in the run afterwards."""
        tools, options = self.tools, self.tools.options
        if options.relevance is None:
            matrix, images = self._exact_matrix(), options.relevance_images
        else:
            parts, images = tools.read("relevance")
            matrix = Relevance(Channels(parts["mean"], parts["std"]), parts["rows"])
        content = {"images": images, "step": relevances.STEP, "latents": relevances.STATISTICS}
        tools.write("relevance", {"rows": matrix.rows, **vars(matrix.channels)}, **content)
        return matrix

    def _exact_matrix(self) -> Relevance:
        """Rows of every channel; a finished layer is not done again after an interruption."""
        tools, run, batch = self.tools, self.tools.run, self.tools.options.relevance_batch
        channels = relevances.channel_statistics(tools.styled, tools.latents)
        with torch.no_grad():
            styles = tools.styled.styles(tools.latents(0, tools.options.relevance_images))
        probe = ChannelProbe(tools.styled, tools.encoder, dict(styles), channels)
        rows = {}

        def layer(name: str) -> Arrays:
            return {"rows": probe.rows(name, batch=batch, on_batch=run.check_stop).cpu().numpy()}

        total = probe.channels.count
        with run.progress("relevance of channels", total=total, unit="channels") as bar:
            for name in relevances.editable(probe.generator):
                arrays = stored(run, f"relevance/{name}", partial(layer, name))
                rows[name] = torch.from_numpy(arrays["rows"]).to(tools.device)
                bar.advance(len(rows[name]))
        return Relevance(probe.channels, rows)


@dataclass(frozen=True)
class _GlobalEditor:
    generator: StyleSpace
    towards: Direction
    sign: int
    channels: Channels

    @torch.no_grad()
    def edit(self, w: Tensor, strength: float) -> tuple[Tensor, Arrays]:
        """Edit the images of w [N, num_ws, w_dim].

        Returns:
            Images [N, 1, H, W] in [-1, 1]; how far each moved in deviations of a channel ("way").
        """
        images = relevances.moved(self.generator, w, self.towards, self.sign * strength)
        in_deviations = torch.cat(
            [c / self.channels.std[k].clamp_min(1e-12) for k, c in self.towards.change.items()]
        )
        rms = strength * float(in_deviations.square().mean().sqrt())
        return images, {"way": np.full(len(w), rms, np.float32)}

    def direction(self, arrays: Arrays, strength: float) -> dict[str, Tensor]:
        """Styles by layer ("s.NAME") that push other images as these were."""
        factor = self.sign * strength
        return {f"s.{name}": factor * change for name, change in self.towards.change.items()}
