"""`--method global`: a text as one direction of style space, for any number of images.

In: a generator with a style space, a CLIP, texts. Out: an editor for each text. What the directions
are made from, the relevance matrix or the variation (`--direction`), belongs to the pair of
networks, not to a text: it is made once, kept in the run and used again with `--relevance`.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor

from cxrtool.core import console
from cxrtool.core.errors import GateError
from cxrtool.editing import first_order as fast
from cxrtool.editing import variation as variations
from cxrtool.editing.blocks import stored
from cxrtool.editing.directions import BETA, Direction, direction, moved, relevance_of
from cxrtool.editing.guide import TextGuide
from cxrtool.editing.latents import VariationSource, latents, networks
from cxrtool.editing.learned import BATCH, LearnedRecipe, learned_direction
from cxrtool.editing.matrix import images_of, load_matrix, make_matrix, save_matrix
from cxrtool.editing.relevance import (
    ChannelProbe,
    Channels,
    Relevance,
    Styles,
    channel_statistics,
    editable,
)
from cxrtool.editing.tools import Editor, Edits, Tools
from cxrtool.training.protocols import StyleSpace

_FRESH = 1_000_000  # number of the first latent that directions are learned on
CHECKED = 200  # channels whose exact relevance the fast mode is compared with, at most


@dataclass(frozen=True, eq=False)
class GlobalMethod:
    """One direction of style space a text; holds the statistics and, once needed, the matrix.

    Attributes:
        tools: Networks, options, the run.
        generator: The generator of `tools`, as one with a style space.
    """

    tools: Tools
    generator: StyleSpace

    def for_text(self, number: int, text: str, guide: TextGuide) -> Editor:
        if self.tools.options.direction == "relevance":
            channels, towards = self.channels, self._from_relevance(text, guide)
        else:
            towards = self._from_variation(number, text, guide)
            channels = self._source.variation.channels
        console.say(f"{text}: {towards.count} of {channels.count} channels move")
        return _GlobalEditor(self.generator, towards, guide.sign, channels)

    @cached_property
    def _source(self) -> VariationSource:
        return VariationSource(self.tools, self.generator)

    @cached_property
    def channels(self) -> Channels:
        """Mean and standard deviation of every channel: with the stored matrix, if one is given."""
        if self.tools.options.relevance is not None:
            return self._matrix.channels
        return channel_statistics(self.generator, partial(latents, self.tools, self.generator))

    @cached_property
    def _probe(self) -> ChannelProbe:
        """The images that channels are moved in."""
        count = self.tools.options.relevance_images
        with torch.no_grad():
            styles = dict(self.generator.styles(latents(self.tools, self.generator, 0, count)))
        return ChannelProbe(self.generator, self.tools.encoder, styles, self.channels)

    @cached_property
    def _matrix(self) -> Relevance:
        """The exact relevance of every channel; it is in the run afterwards."""
        tools, options, of = self.tools, self.tools.options, networks(self.tools)
        if options.relevance is not None:
            matrix = load_matrix(options.relevance, of, tools.device)
            images = images_of(options.relevance)
        else:
            matrix = make_matrix(self._probe, tools.run, batch=options.relevance_batch)
            images = options.relevance_images
        save_matrix(tools.run, matrix, of, images)
        return matrix

    def _from_relevance(self, text: str, guide: TextGuide) -> Direction:
        options, others = self.tools.options, guide.held_others
        if options.fast:
            relevance = self._first_order(text, guide.direction)
        else:
            relevance = relevance_of(self._matrix, guide.direction)
        beside = [] if others is None else [relevance_of(self._matrix, other) for other in others]
        beta = BETA if options.beta is None else options.beta
        return direction(self.channels, relevance, beta, beside, guide.hold)

    def _from_variation(self, number: int, text: str, guide: TextGuide) -> Direction:
        options, learns = self.tools.options, self.tools.options.direction == "learned"
        towards = variations.varied_direction(
            self._source.variation,
            guide.direction,
            None if learns else guide.held_others,
            variations.BETA if options.beta is None else options.beta,
            guide.hold,
        )
        return self._learned(number, text, guide, towards) if learns else towards

    def _learned(self, number: int, text: str, guide: TextGuide, start: Direction) -> Direction:
        """The direction that begins at the regression's; an interrupted run keeps finished ones."""
        tools, recipe = self.tools, LearnedRecipe()
        if tools.options.local is not None:
            recipe = replace(recipe, local=tools.options.local)

        def sample(step: int) -> Tensor:
            with torch.no_grad():
                return latents(tools, self.generator, _FRESH + step * BATCH, BATCH)

        def learn() -> dict[str, np.ndarray]:
            shown = f"direction: {text}"
            with tools.run.progress(shown, total=recipe.steps, unit="steps") as bar:

                def on_step(step: int, loss: Tensor) -> None:
                    bar.update(step + 1, note=f"loss {float(loss):.3f}")
                    tools.run.check_stop()

                variation = self._source.variation
                towards = learned_direction(
                    self.generator, sample, guide, variation, start, recipe, on_step
                )
            return {name: value.cpu().numpy() for name, value in towards.change.items()}

        arrays = stored(tools.run, f"learned/{number:04}", learn)
        change = {name: torch.from_numpy(arrays[name]).to(tools.device) for name in start.change}
        return replace(start, change=change)

    def _first_order(self, text: str, towards: Tensor) -> Styles:
        """The estimate, if its order of the channels kept at the default beta is the exact one.

        At the default, so that no choice of beta leaves only channels that happen to agree.

        Raises:
            GateError: it is not.
        """
        options, check, probe = self.tools.options, self.tools.run.check_stop, self._probe
        estimate = fast.first_order(probe, towards, batch=options.block, seed=0, on_batch=check)
        guesses, exact = [], []
        for name in editable(self.generator):
            values = estimate[name]
            strongest = (values.abs() >= BETA).nonzero()[:, 0].tolist()
            share = max(1, CHECKED * len(values) // probe.channels.count)
            strongest = sorted(strongest, key=lambda c: -float(values[c].abs()))[:share]
            if strongest:
                batch = options.relevance_batch
                rows = probe.rows(name, batch=batch, only=strongest, on_batch=check)
                guesses.append(values[strongest])
                exact.append(rows @ towards)
        count = sum(map(len, guesses))
        rho = fast.agreement(torch.cat(guesses), torch.cat(exact)) if count else float("nan")
        console.say(
            f"{text}: first-order relevance against the exact one over {count} channels: "
            f"rank correlation {rho:.3f}"
        )
        refused = "--fast may not be used for this generator, CLIP and text: "
        if count < fast.LEAST_CHANNELS:
            raise GateError(
                f"{refused}{count} channels have a relevance of {BETA:g}, and their order is "
                f"judged from {fast.LEAST_CHANNELS} on",
                hint="leave out --fast",
            )
        if not rho >= fast.LEAST_AGREEMENT:
            raise GateError(
                f"{refused}the rank correlation is {rho:.3f} over {count} channels and must be "
                f"{fast.LEAST_AGREEMENT} or more",
                hint="leave out --fast; the exact matrix is computed once and can be used again "
                "with --relevance",
            )
        return estimate


@dataclass(frozen=True)
class _GlobalEditor:
    generator: StyleSpace
    towards: Direction
    sign: int
    channels: Channels

    @torch.no_grad()
    def edit(self, w: Tensor, strength: float) -> Edits:
        images = moved(self.generator, w, self.towards, self.sign * strength)
        in_deviations = torch.cat(
            [c / self.channels.std[k].clamp_min(1e-12) for k, c in self.towards.change.items()]
        )
        rms = strength * float(in_deviations.square().mean().sqrt())
        return Edits(images, np.full(len(w), rms, np.float32))

    def direction(self, arrays: dict[str, np.ndarray], strength: float) -> dict[str, Tensor]:
        factor = self.sign * strength
        return {f"s.{name}": factor * change for name, change in self.towards.change.items()}
