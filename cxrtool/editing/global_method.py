"""`--method global`: a text as one direction of style space, for any number of images.

In: a generator with a style space, a CLIP, texts. Out: an editor a text. What the directions are
made from, the relevance matrix or the variation (`--direction`), belongs to the pair of networks,
not to a text: it is made once, kept in the run and used again with `--relevance`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cxrtool.core import console
from cxrtool.core.errors import GateError
from cxrtool.editing import first_order as fast
from cxrtool.editing import variation as varied
from cxrtool.editing.blocks import stored
from cxrtool.editing.directions import BETA, Direction, direction, moved, relevance_of
from cxrtool.editing.guide import TextGuide
from cxrtool.editing.latents import VariationOf, latents, networks
from cxrtool.editing.learned import BATCH, LearnedRecipe, learned_direction
from cxrtool.editing.matrix import images_of, load_matrix, make_matrix, save_matrix
from cxrtool.editing.methods import Edited, Editor, Tools
from cxrtool.editing.relevance import Channels, Relevance, channel_statistics, editable, layer_rows
from cxrtool.training.protocols import StyleSpace

_FRESH = 1_000_000  # number of the first latent that directions are learned on
CHECKED = 200  # channels whose exact relevance the fast mode is compared with, at most


class GlobalMethod:
    """One direction of style space a text; holds the statistics and, once needed, the matrix.

    Args:
        tools: Networks, options, the run.
        generator: The generator of `tools`, as one with a style space.
    """

    def __init__(self, tools: Tools, generator: StyleSpace) -> None:
        self.tools = tools
        self.generator = generator
        self.of = networks(tools)
        self._styles: dict[str, Tensor] | None = None
        self._channels: Channels | None = None
        self._matrix: Relevance | None = None
        self._variation = VariationOf(tools, generator)

    def for_text(self, number: int, text: str, guide: TextGuide) -> Editor:
        options = self.tools.options
        others = guide.others if guide.keep_others else None
        if options.direction != "relevance":
            beta = varied.BETA if options.beta is None else options.beta
            learns = options.direction == "learned"
            found = varied.varied_direction(
                self._variation.found,
                guide.direction,
                None if learns else others,
                beta,
                guide.keep_others,
            )
            if learns:
                found = self._learned(number, text, guide, found)
            channels = self._variation.found.channels
        else:
            beta = BETA if options.beta is None else options.beta
            if options.fast:
                relevance = self._first_order(text, guide.direction)
            else:
                relevance = relevance_of(self._exact(), guide.direction)
            beside = []
            if others is not None:
                beside = [relevance_of(self._exact(), other) for other in others]
            found = direction(self._statistics(), relevance, beta, beside, guide.keep_others)
            channels = self._statistics()
        console.say(f"{text}: {found.kept} of {channels.count} channels move")
        return _GlobalEditor(self.generator, found, guide.sign, channels)

    def _sample(self, first: int, count: int) -> Tensor:
        return latents(self.tools, self.generator, first, count)

    def _learned(self, number: int, text: str, guide: TextGuide, start: Direction) -> Direction:
        """The direction that begins at the regression's; an interrupted run keeps finished ones."""
        tools, options = self.tools, self.tools.options
        recipe = LearnedRecipe()
        if options.local is not None:
            recipe = replace(recipe, local=options.local)

        def sample(step: int) -> Tensor:
            with torch.no_grad():
                return latents(tools, self.generator, _FRESH + step * BATCH, BATCH)

        def learn() -> dict[str, np.ndarray]:
            shown = f"direction: {text}"
            with tools.run.progress(shown, total=recipe.steps, unit="steps") as bar:

                def on_step(step: int, loss: float) -> None:
                    bar.update(step + 1, note=f"loss {loss:.3f}")
                    tools.run.check_stop()

                found = learned_direction(
                    self.generator, sample, guide, self._variation.found, start, recipe, on_step
                )
            return {name: value.cpu().numpy() for name, value in found.change.items()}

        done = stored(tools.run, f"learned/{number:04}", learn)
        change = {name: torch.from_numpy(done[name]).to(tools.device) for name in start.change}
        return replace(start, change=change)

    def _statistics(self) -> Channels:
        if self._matrix is not None:
            return self._matrix.channels
        if self._channels is None:
            self._channels = channel_statistics(self.generator, self._sample)
        return self._channels

    def _images(self) -> dict[str, Tensor]:
        if self._styles is None:
            with torch.no_grad():
                w = self._sample(0, self.tools.options.relevance_images)
                self._styles = dict(self.generator.styles(w))
        return self._styles

    def _exact(self) -> Relevance:
        if self._matrix is None:
            tools, options = self.tools, self.tools.options
            images = options.relevance_images
            if options.relevance is not None:
                self._matrix = load_matrix(options.relevance, self.of, tools.device)
                images = images_of(options.relevance)
            else:
                self._matrix = make_matrix(
                    self.generator,
                    tools.encoder,
                    self._images(),
                    self._statistics(),
                    tools.run,
                    batch=options.batch,
                )
            save_matrix(tools.run, self._matrix, self.of, images)
        return self._matrix

    def _first_order(self, text: str, asked: Tensor) -> dict[str, Tensor]:
        """The estimate, if its order of the channels kept at the default beta is the exact one.

        At the default, so that no choice of beta leaves only channels that happen to agree.

        Raises:
            GateError: it is not.
        """
        tools, channels = self.tools, self._statistics()
        estimate = fast.first_order(
            self.generator,
            tools.encoder,
            self._images(),
            channels,
            asked,
            batch=tools.options.block,
            seed=0,
            on_batch=tools.run.check_stop,
        )
        guessed, exact = [], []
        for name in editable(self.generator):
            values = estimate[name]
            chosen = (values.abs() >= BETA).nonzero()[:, 0].tolist()
            share = max(1, CHECKED * len(values) // channels.count)
            chosen = sorted(chosen, key=lambda c: -float(values[c].abs()))[:share]
            if chosen:
                rows = layer_rows(
                    self.generator,
                    tools.encoder,
                    self._images(),
                    channels,
                    name,
                    batch=tools.options.batch,
                    only=chosen,
                    on_batch=tools.run.check_stop,
                )
                guessed.append(values[chosen])
                exact.append(rows @ asked)
        found = float("nan")
        count = sum(len(part) for part in guessed)
        if count:
            found = fast.agreement(torch.cat(guessed), torch.cat(exact))
        console.say(
            f"{text}: first-order relevance against the exact one over {count} channels: "
            f"rank correlation {found:.3f}"
        )
        if count < fast.LEAST_CHANNELS:
            raise GateError(
                f"--fast may not be used for this generator, CLIP and text: {count} channels have "
                f"a relevance of {BETA:g}, and their order is judged from {fast.LEAST_CHANNELS} on",
                hint="leave out --fast",
            )
        if not found >= fast.LEAST_AGREEMENT:
            raise GateError(
                f"--fast may not be used for this generator, CLIP and text: the rank correlation "
                f"is {found:.3f} over {count} channels and must be {fast.LEAST_AGREEMENT} or more",
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
    def edit(self, w: Tensor, strength: float) -> Edited:
        images = moved(self.generator, w, self.towards, self.sign * strength)
        in_deviations = torch.cat(
            [c / self.channels.std[k].clamp_min(1e-12) for k, c in self.towards.change.items()]
        )
        rms = strength * float(in_deviations.square().mean().sqrt())
        return Edited(images, np.full(len(w), rms, np.float32))

    def direction(self, found: dict[str, np.ndarray], strength: float) -> dict[str, Tensor]:
        factor = self.sign * strength
        return {f"s.{name}": factor * change for name, change in self.towards.change.items()}
