"""Contrastive training, one step at a time.

In: pairs (uint8 images, tokens, groups) and a recipe. Out: a `ClipTrainer` whose state after n
steps is a pure function of pairs, recipe and seed: batches, wordings and augmentation are drawn
from the step number, so a resumed training needs the weights, the optimizer and one number. The
method is CLIP's (Radford et al. 2021): AdamW, linear warm-up and cosine, learned temperature
clamped at 100; networks with a `logit_bias` keep SigLIP's loss, whose temperature is free. Several
processes embed a part of each batch; the features are gathered, so that every pair is contrasted
with the whole batch, and gradients flow back through the gathering.

`ClipTask` is that training as the loop sees it: held-out evaluations, and the best network so far.
Checkpoints are written as time passes; since every step is a function of its number, the moments of
saving leave no trace in the result.
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from open_clip import SimpleTokenizer
from torch import Tensor, nn

from cxrtool.clip.losses import (
    Claims,
    claim_loss,
    clamp_temperature,
    contrastive_loss,
    sigmoid_loss,
)
from cxrtool.clip.model import ClipModel
from cxrtool.core.errors import GateError
from cxrtool.data.images import to_float
from cxrtool.training.augment import augment
from cxrtool.training.device import sent
from cxrtool.training.loop import Best, Row, Task, copied
from cxrtool.training.rng import numpy_rng, seed_for, torch_generator
from cxrtool.training.schedules import warmup_cosine
from cxrtool.training.world import World, share_batch_norms

WARMUP_FRAC = 0.1  # share of the steps that the learning rate rises
WEIGHT_DECAY = 0.05
BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)
NORMS = (nn.LayerNorm, nn.GroupNorm, *BATCH_NORMS)


@dataclass(frozen=True)
class Pairs:
    """What is trained on.

    Attributes:
        images: [N, H, W] uint8.
        tokens: [T, context] int64, the different texts once each.
        texts: [N, V] int64 into `tokens`: the wordings of each row.
        groups: [N] int64; equal numbers say the same.
        claims: What the texts say about the labels; None leaves that loss out.
    """

    images: np.ndarray
    tokens: Tensor
    texts: np.ndarray
    groups: Tensor
    claims: Claims | None = None


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        batch: Pairs a step.
        steps: Steps in all.
        lr: Peak learning rate.
        augment: "mild" or "none".
        lock: Parts that stay as they are: "image", "text", "norms", "batch-norms".
        seed: Of batches, wordings and augmentation.
        negation_weight: Weight of the loss that tells claims from their denials.
        bfloat16: Run both towers in bfloat16 (autocast); embeddings and losses stay float32.
    """

    batch: int
    steps: int
    lr: float
    seed: int
    augment: str = "mild"
    lock: tuple[str, ...] = ()
    negation_weight: float = 3.0
    bfloat16: bool = False


def make_pairs(
    images: np.ndarray,
    wordings: Sequence[Sequence[str]],
    groups: np.ndarray,
    tokenizer: SimpleTokenizer,
    claims: Claims | None = None,
) -> Pairs:
    """Tokenize every different text once."""
    places: dict[str, int] = {}
    texts = np.array(
        [[places.setdefault(text, len(places)) for text in row] for row in wordings], dtype=np.int64
    )
    return Pairs(images, tokenizer(list(places)), texts, torch.from_numpy(groups), claims)


class ClipTrainer:
    """The training of one CLIP.

    Args:
        model: The CLIP, which is changed in place.
        pairs: What it is trained on.
        recipe: How.
        world: The processes that share each batch; None for this one alone.
    """

    def __init__(
        self, model: ClipModel, pairs: Pairs, recipe: Recipe, world: World | None = None
    ) -> None:
        self.model, self.pairs, self.recipe = model, pairs, recipe
        self.world = world or World()
        self.step_number = 0
        share_batch_norms(model.network, self.world)
        self._frozen_norms = _lock(model.network, recipe.lock)
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(model.network),
            lr=recipe.lr,
            betas=(0.9, 0.98),
            eps=1e-6,
            fused=True,
        )

    @property
    def nimg(self) -> int:
        """Images seen."""
        return self.step_number * self.recipe.batch

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches that the pairs make; what is left over waits for the next shuffle."""
        return max(1, len(self.pairs.images) // self.recipe.batch)

    def batch_rows(self, step: int) -> np.ndarray:
        """The pairs of a step: [batch] int64."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = numpy_rng("order", self.recipe.seed, epoch).permutation(len(self.pairs.images))
        return order[place * self.recipe.batch : (place + 1) * self.recipe.batch]

    def learning_rate(self, step: int) -> float:
        """Of a step, counted from 0."""
        total, batch = self.recipe.steps, self.recipe.batch
        warmup = round(total * WARMUP_FRAC) * batch
        return self.recipe.lr * warmup_cosine((step + 1) * batch, (total + 1) * batch, warmup)

    def step(self) -> float:
        """Train on one batch; returns its loss."""
        rows = self.batch_rows(self.step_number)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(self.step_number)
        self.model.network.train()
        for norm in self._frozen_norms:
            norm.eval()
        with torch.random.fork_rng(devices=[]):  # patch dropout, where a config has it
            torch.manual_seed(seed_for("dropout", self.recipe.seed, self.step_number))
            loss = self._loss(rows)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.world.mean_gradients(self.model.network.parameters())
        self.optimizer.step()
        if _bias(self.model.network) is None:
            clamp_temperature(self.model.network.logit_scale)
        self.step_number += 1
        return float(loss.detach())

    def _loss(self, rows: np.ndarray) -> Tensor:
        """The loss of a batch; the same number in every process."""
        model, recipe, world = self.model, self.recipe, self.world
        part = world.part(len(rows))
        images = to_float(sent(torch.from_numpy(self.pairs.images[rows[part]]), model.device))
        # Drawn for the whole batch, so that a pair meets the same in any number of processes.
        rng = torch_generator("augment", recipe.seed, self.step_number)
        images = augment(images, recipe.augment, rng, len(rows), part)
        epoch = self.step_number // self.steps_per_epoch
        wordings = self.pairs.texts[rows[part], epoch % self.pairs.texts.shape[1]]
        different, inverse = np.unique(wordings, return_inverse=True)
        vectors = self._embedded(model.embed_images, images)
        tokens = sent(self.pairs.tokens[torch.from_numpy(different)], model.device)
        index = sent(torch.from_numpy(inverse), model.device)
        texts = self._embedded(model.embed_tokens, tokens)[index]
        vectors, texts = world.gather(vectors), world.gather(texts)
        prompts = numpy_rng("claims", recipe.seed, self.step_number)
        return self._objective(vectors, texts, self.pairs, rows, prompts)

    def _objective(
        self,
        vectors: Tensor,
        texts: Tensor,
        pairs: Pairs,
        rows: np.ndarray,
        rng: np.random.Generator,
    ) -> Tensor:
        """What is minimized: of the rows of pairs, whose vectors are [B, D] and [B, D]."""
        model, recipe, scale = self.model, self.recipe, self.model.network.logit_scale.exp()
        groups, bias = sent(pairs.groups[rows], model.device), _bias(model.network)
        if bias is None:
            loss = contrastive_loss(vectors, texts, scale, groups)
        else:
            loss = sigmoid_loss(vectors, texts, scale, bias, groups)
        if pairs.claims is not None and self.pairs.claims is not None and recipe.negation_weight:
            drawn = pairs.claims.drawn(rng)
            prompts = self._embedded(model.embed_tokens, drawn.to(model.device))
            values = sent(torch.from_numpy(pairs.claims.values[rows]), model.device)
            weights = self.pairs.claims.weights.to(model.device)
            negation = claim_loss(vectors, prompts, scale, values, weights)
            loss = loss + recipe.negation_weight * negation
        return loss

    @torch.no_grad()
    def held_out_loss(self, vectors: Tensor, texts: Tensor, pairs: Pairs) -> float:
        """The loss of N pairs that are not trained on, whose vectors are [N, D] and [N, D].

        In shuffled batches of the size of training, the last one filled up from the first, with
        the prompts of every evaluation alike.
        """
        n, seed = len(vectors), self.recipe.seed
        batch = min(self.recipe.batch, n)
        order = numpy_rng("held-out order", seed).permutation(n)
        losses = [
            self._objective(
                vectors[rows], texts[rows], pairs, rows, numpy_rng("held-out claims", seed, number)
            )
            for number, rows in enumerate(np.resize(order, (-(-n // batch), batch)))
        ]
        return float(torch.stack(losses).mean())

    def _embedded(self, embed: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Unit vectors [N, D] float32, from towers in the precision of the recipe."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.recipe.bfloat16):
            return embed(x).float()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs."""
        return {
            "step": self.step_number,
            "network": self.model.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.model.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step_number = int(state["step"])


def _lock(network: Any, parts: Sequence[str]) -> list[nn.Module]:
    """Freeze parts of a network; returns the norms whose statistics must not move either."""
    frozen = [network.visual] if "image" in parts else []
    if "text" in parts and getattr(network, "text", None) is not None:
        frozen.append(network.text)
    elif "text" in parts:
        frozen += [network.transformer, network.token_embedding, network.ln_final]
        frozen += [network.positional_embedding, network.text_projection]
    kinds = NORMS if "norms" in parts else BATCH_NORMS if "batch-norms" in parts else ()
    norms = {name: module for name, module in network.named_modules() if isinstance(module, NORMS)}
    still = {name: module for name, module in norms.items() if isinstance(module, kinds)}
    for part in (*frozen, *still.values()):
        part.requires_grad_(False)
    if "image" in parts:
        still |= {name: module for name, module in norms.items() if name.startswith("visual.")}
    return list(still.values())


def _bias(network: Any) -> Tensor | None:
    """What SigLIP adds to its logits; None of other networks."""
    bias: Tensor | None = getattr(network, "logit_bias", None)
    return bias


def _parameter_groups(network: nn.Module) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms, embeddings, tokens and the temperature do not.

    Embeddings of positions are named by the towers themselves (``no_weight_decay``).
    """
    spared = {
        f"{prefix}.{name}".lstrip(".")
        for prefix, module in network.named_modules()
        for name in getattr(module, "no_weight_decay", set)()
    }
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            is_matrix = parameter.squeeze().ndim >= 2
            groups[is_matrix and "embedding" not in name and name not in spared].append(parameter)
    return [
        {"params": own, "weight_decay": WEIGHT_DECAY if decays else 0.0}
        for decays, own in groups.items()
        if own
    ]


class ClipTask(Task):
    """A training that is evaluated before the first step, every so many steps, and at the end.

    Args:
        trainer: The training.
        measure: Held-out measures of the trainer's network, as it is now.
        score: The measure that picks the best; higher is better.
        every: Steps between evaluations.
        patience: Evaluations in a row without a better one after which training stops; 0: none.

    Attributes:
        best: The network with the highest score; the one before training may be it.
    """

    label = "training CLIP"
    save_every_s = 20.0

    def __init__(
        self,
        trainer: ClipTrainer,
        measure: Callable[[], dict[str, Any]],
        score: Callable[[dict[str, Any]], float],
        *,
        every: int,
        patience: int = 0,
    ) -> None:
        super().__init__(trainer, trainer.recipe.steps, trainer.recipe.batch)
        self.trainer, self.world = trainer, trainer.world
        self.measure, self.score, self.every, self.patience = measure, score, every, patience
        self.best: Best | None = None
        self._held_out = ""
        self._loss_sum, self._loss_count = 0.0, 0
        self._seconds, self._timed = 0.0, 0  # of the steps here since the last evaluation

    @property
    def ended(self) -> bool:
        """Also where enough evaluations in a row were no better (Prechelt 1998)."""
        since = 0 if self.best is None else self.trainer.step_number - self.best.step
        exhausted = self.patience > 0 and since // self.every >= self.patience
        return super().ended or self.trainer.world.any(exhausted)

    @property
    def saves(self) -> bool:
        return super().ended

    def begin(self, resumed: bool) -> Iterable[Row]:
        return () if resumed else [self._line()]

    def step(self) -> None:
        started = time.monotonic()
        loss = self.trainer.step()  # waits for the device
        self._seconds, self._timed = self._seconds + time.monotonic() - started, self._timed + 1
        if not math.isfinite(loss):
            raise GateError(
                f"the loss is {loss} at step {self.trainer.step_number}: training has diverged",
                hint="lower --lr",
            )
        self._loss_sum, self._loss_count = self._loss_sum + loss, self._loss_count + 1

    def evaluate(self) -> Iterable[Row]:
        loss = self._loss_sum / self._loss_count
        if self.trainer.step_number % self.every == 0 or super().ended:
            row = self._line()
            yield row
            best = self.best.step / self.trainer.steps_per_epoch if self.best is not None else 0.0
            self._held_out = f", held-out {row['val_loss']:.3f}, best at epoch {best:.3g}"
        self.note = f"loss {loss:.3f}{self._held_out}"

    def _line(self) -> Row:
        """Measure the network, keep it if it is the best, and start new means."""
        measures, network = self.measure(), self.trainer.model.network
        value, step = self.score(measures), self.trainer.step_number
        if self.best is None or value > self.best.score:
            self.best = Best(score=value, step=step, state=copied(network, "cpu"))
        rate = self._timed * self.trainer.recipe.batch / self._seconds if self._timed else None
        row = {
            "nimg": self.nimg,
            "step": step,
            "epoch": round(step / self.trainer.steps_per_epoch, 3),
            "loss": self._loss_sum / self._loss_count if self._loss_count else None,
            "scale": float(network.logit_scale.detach().exp()),
            "best_step": self.best.step,
            "pairs_per_s": None if rate is None else round(rate, 1),
            **measures,
        }
        self._loss_sum, self._loss_count = 0.0, 0
        self._seconds, self._timed = 0.0, 0
        return row

    def state_dict(self) -> dict[str, Any]:
        return {
            "trainer": self.trainer.state_dict(),
            "best": self.best and dict(vars(self.best)),
            "loss": [self._loss_sum, self._loss_count],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.trainer.load_state_dict(state["trainer"])
        self.best = state["best"] and Best(**state["best"])
        self._loss_sum, self._loss_count = state["loss"]
