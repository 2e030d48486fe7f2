"""The three ways of `cxr edit` behind one form: made ready for a text, then applied to w.

In: `Tools` (networks, options, the run) and a text. Out: an `Editor`, which turns w of N starts
into edited images. What a method learns is kept in the run: the relevance matrix of `global`
(see `global_method`), the networks of `mapper` (`mapper-....safetensors`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from cxrtool.editing.guide import TextGuide
from cxrtool.editing.latent import LatentRecipe, optimize
from cxrtool.editing.locality import Locality, locality
from cxrtool.editing.mapper import Mapper, MapperRecipe, train
from cxrtool.editing.mapper import moved as mapped
from cxrtool.editing.measure import way
from cxrtool.editing.spaces import Sought
from cxrtool.editing.starts import condition_vector
from cxrtool.training.checkpoints import load_checkpoint, save_checkpoint
from cxrtool.training.protocols import ImageEncoder, StyleGenerator
from cxrtool.training.rng import torch_generator

if TYPE_CHECKING:
    from cxrtool.core.runs import Run
    from cxrtool.editing.distances import Distance
    from cxrtool.editing.latents import VariationOf

STEPS = {"latent": 300.0, "mapper": 1000.0}
L2 = {"latent": 0.008, "mapper": 0.8}
KEEP = {"latent": 1.0, "mapper": 0.1}
_SAVE_EVERY = 200  # steps
_MOVED = "moved."


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for, as the options of `cxr edit`; None where a method has its default.

    Attributes:
        method: "latent", "global" or "mapper".
        steps, lr, l2, keep: Of the optimizations.
        space: Of latent optimization.
        direction, beta, relevance, relevance_images, fast, batch: Of global directions.
        local: Weight of change outside of where a text acts.
        block: Images at once.
        truncation, condition, seed: Of the latents that a mapper is trained on.
        gan, clip: Folders of the two models.
    """

    method: str
    steps: int | None = None
    lr: float = 0.1
    l2: float | None = None
    keep: float | None = None
    space: str = "w+"
    direction: str = "relevance"
    local: float | None = None
    beta: float | None = None
    relevance: Path | None = None
    relevance_images: int = 100
    fast: bool = False
    block: int = 16
    batch: int = 256
    truncation: float = 0.7
    condition: tuple[str, ...] = ()
    seed: int = 0
    gan: Path
    clip: Path

    def weight(self, name: str, defaults: dict[str, float]) -> float:
        """An option that has a default for each method."""
        given = getattr(self, name)
        return float(defaults[self.method] if given is None else given)


@dataclass(frozen=True)
class Tools:
    """What the methods work with."""

    options: Options
    run: Run
    generator: StyleGenerator
    encoder: ImageEncoder
    distance: Distance
    device: torch.device


@dataclass(frozen=True)
class Edited:
    """N edits.

    Attributes:
        images: [N, 1, H, W] in [-1, 1].
        way: [N], how far each moved in the method's own space.
        moved: Its change by name, see `training.directions`; empty where it is that of all images.
    """

    images: Tensor
    way: np.ndarray
    moved: dict[str, np.ndarray] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """What is kept beside the images."""
        return {"way": self.way, **{_MOVED + name: value for name, value in self.moved.items()}}


class Editor(Protocol):
    """A method that is ready for one text."""

    def edit(self, w: Tensor, strength: float) -> Edited:
        """Edit the images of w [N, num_ws, w_dim]."""
        ...

    def direction(self, found: dict[str, np.ndarray], strength: float) -> dict[str, Tensor]:
        """What pushes other images as these were: "way" in W+, or styles by layer ("s.NAME")."""
        ...


class Method(Protocol):
    """A way of editing."""

    def for_text(self, number: int, text: str, guide: TextGuide) -> Editor:
        """Make ready for the target of that number."""
        ...


def _mean_way(found: dict[str, np.ndarray]) -> dict[str, Tensor]:
    names = [name for name in found if name.startswith(_MOVED)]
    return {
        name.removeprefix(_MOVED): torch.from_numpy(found.pop(name).mean(axis=0)) for name in names
    }


def _where(guide: TextGuide, varied: VariationOf | None) -> Locality | None:
    return None if varied is None else locality(varied.found, guide.direction)


@dataclass(frozen=True)
class LatentMethod:
    """Optimization image by image.

    Attributes:
        tools: Networks, options, the run.
        start: w of N images -> their edits in the space of the options, not yet found.
        varied: How styles vary; None where edits are not held to where the text acts.
    """

    tools: Tools
    start: Callable[[Tensor], Sought]
    varied: VariationOf | None = None

    def for_text(self, number: int, text: str, guide: TextGuide) -> Editor:
        return _LatentEditor(self.tools, self.start, guide, _where(guide, self.varied))


@dataclass(frozen=True)
class _LatentEditor:
    tools: Tools
    start: Callable[[Tensor], Sought]
    guide: TextGuide
    where: Locality | None

    def edit(self, w: Tensor, strength: float) -> Edited:
        tools = self.tools
        recipe = LatentRecipe(
            int(tools.options.weight("steps", STEPS)),
            tools.options.lr,
            strength,
            tools.options.weight("l2", L2),
            tools.options.weight("keep", KEEP),
            tools.options.local or 0.0,
        )
        sought = self.start(w)
        optimize(sought, self.guide, tools.distance, recipe, tools.run.check_stop, self.where)
        with torch.no_grad():
            images = sought.images()
        return Edited(images, sought.way(), sought.moved())

    def direction(self, found: dict[str, np.ndarray], strength: float) -> dict[str, Tensor]:
        return _mean_way(found)


@dataclass(frozen=True)
class MapperMethod:
    """A network a text, trained on latents of the generator.

    Attributes:
        tools: Networks, options, the run.
        varied: How styles vary; None where edits are not held to where the text acts.
    """

    tools: Tools
    varied: VariationOf | None = None

    def for_text(self, number: int, text: str, guide: TextGuide) -> Editor:
        tools, steps = self.tools, int(self.tools.options.weight("steps", STEPS))
        mapper = Mapper(tools.generator.num_ws, tools.generator.w_dim, tools.options.seed)
        mapper.to(tools.device)
        recipe = MapperRecipe(
            steps,
            tools.options.lr,
            1.0,
            tools.options.weight("l2", L2),
            tools.options.weight("keep", KEEP),
            tools.options.local or 0.0,
            tools.options.block,
            tools.options.seed,
        )
        file = f"mapper-{number:04}.safetensors"
        saved = load_checkpoint(tools.run)
        done = saved is not None and saved["number"] > number
        state = saved if saved is not None and "mapper" in saved else None
        if done:
            mapper.load_state_dict(saved["finished"][number])  # type: ignore[index]
        else:
            finished = {} if saved is None else saved["finished"]
            self._train(mapper, recipe, guide, number, text, state, finished)
            finished = {**finished, number: _copied(mapper)}
            save_checkpoint(
                tools.run, {"number": number + 1, "finished": finished}, (number + 1) * steps
            )
        tools.run.write_bytes(file, save(_copied(mapper)))
        return _MapperEditor(tools, mapper.eval().requires_grad_(False))

    def _train(
        self,
        mapper: Mapper,
        recipe: MapperRecipe,
        guide: TextGuide,
        number: int,
        text: str,
        state: dict[str, Any] | None,
        finished: dict[int, Any],
    ) -> None:
        tools = self.tools
        y = condition_vector(tools.generator, tools.options.condition).to(tools.device)

        def sample(step: int) -> Tensor:
            rng = torch_generator("mapper latents", recipe.seed, number, step)
            z = torch.randn(recipe.batch, tools.generator.z_dim, generator=rng).to(tools.device)
            with torch.no_grad():
                return tools.generator.mapping(z, y.expand(len(z), -1), tools.options.truncation)

        with tools.run.progress(f"mapper: {text}", total=recipe.steps, unit="steps") as bar:

            def on_step(step: int, loss: float, optimizer: torch.optim.Optimizer) -> None:
                bar.update(step + 1, note=f"loss {loss:.3f}")
                if tools.run.stopping or (step + 1) % _SAVE_EVERY == 0:
                    content = {
                        "number": number,
                        "finished": finished,
                        "step": step + 1,
                        "mapper": _copied(mapper),
                        "optimizer": optimizer.state_dict(),
                    }
                    save_checkpoint(tools.run, content, number * recipe.steps + step + 1)
                tools.run.check_stop()

            where = _where(guide, self.varied)
            distance = tools.distance
            train(mapper, tools.generator, sample, guide, distance, recipe, on_step, state, where)


@dataclass(frozen=True)
class _MapperEditor:
    tools: Tools
    mapper: Mapper

    def edit(self, w: Tensor, strength: float) -> Edited:
        images, after = mapped(self.tools.generator, w, self.mapper, strength)
        return Edited(images, way(w, after), {"way": (after - w).cpu().numpy()})

    def direction(self, found: dict[str, np.ndarray], strength: float) -> dict[str, Tensor]:
        return _mean_way(found)


def _copied(module: torch.nn.Module) -> dict[str, Tensor]:
    return {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}
