"""`--method global`: a text as one direction of style space, for any number of images.

In: a generator with a style space, a CLIP, texts. Out: an editor for each text. What the directions
are made from, the relevance matrix or the variation (`--direction`), belongs to the pair of
networks, not to a text: it is made once, kept in the run and used again with `--relevance`.

A direction can also be learned: to do as a text asks, and little else, in many images. A straight
line is only to first order what the regression says; far along it other things follow. Here one
change d of all styles, the same for every image, begins at the regression direction d0 and is moved
by Adam to minimize, over fresh latents of all frequent conditions,

    mean |GOAL - gain| + local stray + others mean change^2 + near |d - d0|^2 / |d0|^2,

with the gain in the text's score and the changes of the other observations' scores in standard
deviations within a patient, and the stray that of `variation.Locality`. That a single channel of
style space can be local was found by Wu et al. 2021 (StyleSpace) with segmentations; this is the
demand without them.
"""

from collections.abc import Callable
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
from cxrtool.editing.optimization import descend, render
from cxrtool.editing.relevance import ChannelProbe, Channels, Direction, Relevance, Styles
from cxrtool.editing.tools import Tools
from cxrtool.training.protocols import StyleSpace

_FRESH = 1_000_000  # number of the first latent that directions are learned on
CHECKED = 200  # channels whose exact relevance the fast mode is compared with, at most
ALPHA = 2.0  # strength at which it is learned
GOAL = 3.0  # standard deviations of the text's score that it is to gain there
BATCH = 12


@dataclass(frozen=True)
class LearnedRecipe:
    """How to learn.

    Attributes:
        steps: Adam steps.
        lr: Peak learning rate, of numbers in standard deviations of a channel.
        local: Weight of the stray.
        near: Weight of the way from the regression direction.
    """

    steps: int = 60
    lr: float = 0.03
    local: float = 3.0
    near: float = 0.1


def learned_direction(
    generator: StyleSpace,
    sample: Callable[[int], Tensor],
    guide: TextGuide,
    variation: variations.Variation,
    start: Direction,
    recipe: LearnedRecipe,
    on_step: Callable[[int, Tensor], None] = lambda *_: None,
) -> Direction:
    """Learn the direction of a text.

    Args:
        generator: Frozen; gradients pass through it.
        sample: Step -> w of its batch, [N, num_ws, w_dim].
        guide: The text with its sign, and the other observations with their weight.
        variation: The generator's.
        start: Its regression direction; channels that it leaves alone stay alone.
        recipe: Steps and weights.
        on_step: Called with a step and its loss; may raise to stop.
    """
    text, others = guide.direction, guide.others
    spread = _spread(variation, text[None])[0]
    where = variations.locality(variation, text)
    names = list(start.change)
    sizes = [len(start.change[name]) for name in names]
    std = torch.cat([variation.channels.std[name] for name in names]).clamp_min(1e-9)
    first = torch.cat(list(start.change.values())) / std
    free = (first != 0).float()
    numbers = first.clone().requires_grad_()

    def direction(values: Tensor) -> Direction:
        parts = torch.split(values * free * std, sizes)
        return replace(start, change=dict(zip(names, parts, strict=True)))

    def loss(step: int) -> Tensor:
        w = sample(step)
        with torch.no_grad():
            before = render(generator, w)
            anchor = guide.embed(before)
        after = relevances.moved(generator, w, direction(numbers), guide.sign * ALPHA)
        change = guide.embed(after) - anchor
        total = (GOAL - guide.sign * change @ text / spread).abs().mean()
        total = total + recipe.local * where.stray(before, after).mean()
        if others is not None:
            strays = (change @ others.T / _spread(variation, others)).square()
            total = total + guide.hold * strays.mean()
        way = (free * (numbers - first)).square().sum() / first.square().sum()
        return total + recipe.near * way

    descend([numbers], loss, steps=recipe.steps, lr=recipe.lr, on_step=on_step)
    return direction(numbers.detach())


def _spread(variation: variations.Variation, texts: Tensor) -> Tensor:
    """Standard deviation within a patient of the scores of [K, D] directions: [K]."""
    products = torch.einsum("kd,de,ke->k", texts, variation.embeddings.to(texts.device), texts)
    return (products / variation.n).clamp_min(1e-12).sqrt()


@dataclass(frozen=True, eq=False)
class GlobalMethod:
    """One direction of style space a text; holds the statistics and, once needed, the matrix.

    Attributes:
        tools: Networks, options, the run.
    """

    tools: Tools

    def for_target(self, text: str, guide: TextGuide) -> "_GlobalEditor":
        """Make ready for a target."""
        if self.tools.options.direction == "relevance":
            channels, towards = self.channels, self._from_relevance(text, guide)
        else:
            channels = self.tools.variation.channels
            towards = self._from_variation(text, guide)
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
            relevance = relevances.relevance_of(self._matrix, guide.direction)
        others = () if guide.others is None else guide.others
        beside = [relevances.relevance_of(self._matrix, other) for other in others]
        beta = relevances.BETA if options.beta is None else options.beta
        return relevances.direction(self.channels, relevance, beta, beside, guide.hold)

    def _from_variation(self, text: str, guide: TextGuide) -> Direction:
        options, learns = self.tools.options, self.tools.options.direction == "learned"
        others = None if learns else guide.others
        beta = variations.BETA if options.beta is None else options.beta
        towards = variations.varied_direction(
            self.tools.variation, guide.direction, others, beta, guide.hold
        )
        return self._learned(text, guide, towards) if learns else towards

    def _learned(self, text: str, guide: TextGuide, start: Direction) -> Direction:
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

        arrays = stored(tools.run, f"learned/{text}", learn)
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
            strongest = (values.abs() >= relevances.BETA).nonzero()[:, 0].tolist()
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
                f"{refused}{count} channels have a relevance of {relevances.BETA:g}, and their "
                f"order is judged from {least[0]} on",
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
