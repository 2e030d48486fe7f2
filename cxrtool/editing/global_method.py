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
from cxrtool.editing import relevance as relevances
from cxrtool.editing import variation as variations
from cxrtool.editing.blocks import Arrays, stored
from cxrtool.editing.guide import TextGuide
from cxrtool.editing.learned import BATCH, LearnedRecipe, learned_direction
from cxrtool.editing.relevance import (
    BETA,
    ChannelProbe,
    Channels,
    Direction,
    Relevance,
    Styles,
    moved,
    relevance_of,
)
from cxrtool.editing.tools import Edits, Tools
from cxrtool.training.protocols import StyleSpace

_FRESH = 1_000_000  # number of the first latent that directions are learned on
CHECKED = 200  # channels whose exact relevance the fast mode is compared with, at most


@dataclass(frozen=True, eq=False)
class GlobalMethod:
    """One direction of style space a text; holds the statistics and, once needed, the matrix.

    Attributes:
        tools: Networks, options, the run.
    """

    tools: Tools

    def for_text(self, number: int, text: str, guide: TextGuide) -> "_GlobalEditor":
        """Make ready for the target of that number."""
        if self.tools.options.direction == "relevance":
            channels, towards = self.channels, self._from_relevance(text, guide)
        else:
            channels = self.tools.variation.channels
            towards = self._from_variation(number, text, guide)
        console.say(f"{text}: {towards.count} of {channels.count} channels move")
        return _GlobalEditor(self.tools.styled, towards, guide.sign, channels)

    @cached_property
    def channels(self) -> Channels:
        """Mean and standard deviation of every channel: with the stored matrix, if one is given."""
        if self.tools.options.relevance is not None:
            return self._matrix.channels
        return relevances.channel_statistics(self.tools.styled, self.tools.latents)

    @cached_property
    def _probe(self) -> ChannelProbe:
        """The images that channels are moved in."""
        tools = self.tools
        with torch.no_grad():
            styles = tools.styled.styles(tools.latents(0, tools.options.relevance_images))
        return ChannelProbe(tools.styled, tools.encoder, dict(styles), self.channels)

    @cached_property
    def _matrix(self) -> Relevance:
        """The exact relevance of every channel; it is in the run afterwards."""
        tools, options = self.tools, self.tools.options
        if options.relevance is None:
            matrix, images = self._exact_matrix(), options.relevance_images
        else:
            parts, images = tools.read("relevance", "relevance matrix", "relevance")
            matrix = Relevance(Channels(parts["mean"], parts["std"]), parts["rows"])
        content = {"images": images, "step": relevances.STEP, "latents": relevances.STATISTICS}
        tools.write("relevance", {"rows": matrix.rows, **vars(matrix.channels)}, **content)
        return matrix

    def _exact_matrix(self) -> Relevance:
        """Rows of every channel; a finished layer is not done again after an interruption."""
        run, probe, batch = self.tools.run, self._probe, self.tools.options.relevance_batch
        rows = {}

        def layer(name: str) -> Arrays:
            return {"rows": probe.rows(name, batch=batch, on_batch=run.check_stop).cpu().numpy()}

        total = probe.channels.count
        with run.progress("relevance of channels", total=total, unit="channels") as bar:
            for name in relevances.editable(probe.generator):
                arrays = stored(run, f"relevance/{name}", partial(layer, name))
                rows[name] = torch.from_numpy(arrays["rows"]).to(self.tools.device)
                bar.advance(len(rows[name]))
        return Relevance(probe.channels, rows)

    def _from_relevance(self, text: str, guide: TextGuide) -> Direction:
        options = self.tools.options
        if options.fast:
            relevance = self._first_order(text, guide.direction)
        else:
            relevance = relevance_of(self._matrix, guide.direction)
        others = () if guide.held_others is None else guide.held_others
        beside = [relevance_of(self._matrix, other) for other in others]
        beta = BETA if options.beta is None else options.beta
        return relevances.direction(self.channels, relevance, beta, beside, guide.hold)

    def _from_variation(self, number: int, text: str, guide: TextGuide) -> Direction:
        options, learns = self.tools.options, self.tools.options.direction == "learned"
        towards = variations.varied_direction(
            self.tools.variation,
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
                return tools.latents(_FRESH + step * BATCH, BATCH)

        def learn() -> Arrays:
            shown = f"direction: {text}"
            with tools.run.progress(shown, total=recipe.steps, unit="steps") as bar:

                def on_step(step: int, loss: Tensor) -> None:
                    bar.update(step + 1, note=f"loss {float(loss):.3f}")
                    tools.run.check_stop()

                towards = learned_direction(
                    tools.styled, sample, guide, tools.variation, start, recipe, on_step
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
        estimate = relevances.first_order(probe, towards, batch=options.block, on_batch=check)
        guesses, exact = [], []
        for name, values in estimate.items():
            strongest = (values.abs() >= BETA).nonzero()[:, 0].tolist()
            share = max(1, CHECKED * len(values) // probe.channels.count)
            strongest = sorted(strongest, key=lambda c: -float(values[c].abs()))[:share]
            if strongest:
                batch = options.relevance_batch
                rows = probe.rows(name, batch=batch, only=strongest, on_batch=check)
                guesses.append(values[strongest])
                exact.append(rows @ towards)
        count = sum(map(len, guesses))
        rho = relevances.agreement(torch.cat(guesses), torch.cat(exact)) if count else float("nan")
        console.say(
            f"{text}: first-order relevance against the exact one over {count} channels: "
            f"rank correlation {rho:.3f}"
        )
        refused = "--fast may not be used for this generator, CLIP and text: "
        least = relevances.LEAST_CHANNELS, relevances.LEAST_AGREEMENT
        if count < least[0]:
            raise GateError(
                f"{refused}{count} channels have a relevance of {BETA:g}, and their order is "
                f"judged from {least[0]} on",
                hint="leave out --fast",
            )
        if not rho >= least[1]:
            raise GateError(
                f"{refused}the rank correlation is {rho:.3f} over {count} channels and must be "
                f"{least[1]} or more",
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
        """Edit the images of w [N, num_ws, w_dim]."""
        images = moved(self.generator, w, self.towards, self.sign * strength)
        in_deviations = torch.cat(
            [c / self.channels.std[k].clamp_min(1e-12) for k, c in self.towards.change.items()]
        )
        rms = strength * float(in_deviations.square().mean().sqrt())
        return Edits(images, np.full(len(w), rms, np.float32))

    def direction(self, arrays: Arrays, strength: float) -> dict[str, Tensor]:
        """Styles by layer ("s.NAME") that push other images as these were."""
        factor = self.sign * strength
        return {f"s.{name}": factor * change for name, change in self.towards.change.items()}
