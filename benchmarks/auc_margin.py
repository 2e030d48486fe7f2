"""AUC-margin against its own cross-entropy phase and against LibAUC, from the same weights.

    python benchmarks/auc_margin.py DATA... [--seeds 0 1 2] [--steps 800] [--batch 32]

DATA are outputs of `cxr prepare`. For each of them and each seed the cross-entropy phase of
`cxr train-cls --loss auc-margin` is trained once. From its best weights go on, with the same
batches and learning rates: ours; LibAUC's MultiLabelAUCMLoss and PESG (where `libauc` is
installed; made with 2.0.1), given the prevalence of the training set; and both with a new head, as
the paper has it. Prints a JSON line each: validation AUROC at the best and at the last step of the
phase, test AUROC of the network at its best step, and the phase that `train-cls` would deliver.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cxrtool import cli
from cxrtool.classifiers.arms import part_of
from cxrtool.classifiers.batches import Part
from cxrtool.classifiers.inputs import input_size, learnable, wanted_labels
from cxrtool.classifiers.losses import Pesg
from cxrtool.classifiers.task import aurocs, validate
from cxrtool.classifiers.training import ClassifierTrainer
from cxrtool.commands.train_cls.inputs import training_parts
from cxrtool.commands.train_cls.training import make_trainer
from cxrtool.core.config.values import resolve
from cxrtool.data.labels import LabelPolicy
from cxrtool.data.manifest import load_dataset
from cxrtool.data.select import select_rows
from cxrtool.training.device import setup

train_cls = cli.stages()["train-cls"]


class Libauc:
    """LibAUC's loss and optimizer behind the methods of our `Pesg`."""

    def __init__(self, network: nn.Module, prevalence: Tensor, lr: float, decay: float) -> None:
        losses: Any = importlib.import_module("libauc.losses.auc")
        optimizers: Any = importlib.import_module("libauc.optimizers.pesg")
        device = prevalence.device
        self.inner = losses.MultiLabelAUCMLoss(
            num_labels=len(prevalence), imratio=prevalence.tolist(), device=device
        )
        self.optimizer = optimizers.PESG(
            network.parameters(), self.inner, lr=lr, weight_decay=decay, verbose=False,
            device=device,
        )  # fmt: skip
        self.lr = lr

    def loss(self, logits: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Its loss with the prevalence that was given; unknown cells are of neither class."""
        known = torch.where(mask, values, torch.full_like(values, -1))
        found: Tensor = self.inner(torch.sigmoid(logits), known, auto=False)
        return found

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.optimizer.zero_grad()
        self.inner.alpha.grad = None

    def step(self) -> None:
        """One update at the present rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr
        self.optimizer.step()

    def end_epoch(self) -> None:
        """The mean weights become the reference."""
        self.optimizer.update_regularizer()


def finish_phase(
    fit: ClassifierTrainer, val: Part, judged: list[int], every: int
) -> dict[str, Any]:
    """Train to the end of the phase; validation AUROC at its best and its last step."""
    last = 0.0
    while True:
        fit.step()
        if fit.step_number % every == 0 or fit.phase_ends:
            entry = validate(fit, val, judged)
            last = entry["val_auroc"]
            fit.record(last, entry)
        if fit.phase_ends:
            assert fit.best is not None
            return {"best": fit.best.score, "last": last, "best_step": fit.best.step}


def measure(data_path: Path, seed: int, a: argparse.Namespace) -> None:
    """One set, one seed: a line for each way to go on."""
    config = resolve(
        train_cls.Config,
        {
            "data": data_path, "arch": a.arch, "loss": "auc-margin", "steps": a.steps,
            "batch": a.batch, "eval_every": a.eval_every, "seed": seed, "classes": a.classes,
            "auc_lr": a.auc_lr,
        },
    )  # fmt: skip
    device = setup(a.device, a.threads)
    data, policy = load_dataset(data_path), LabelPolicy.from_options(config)
    wanted = wanted_labels(data, config.classes)
    rows = {part: select_rows(data, config, split=part) for part in ("train", "val", "test")}
    size = input_size(data, config.size, None, 16)
    read = partial(part_of, policy=policy, size=size)
    parts, _, positions = training_parts(
        config, data, rows["train"], [], wanted, partial(read, labels=wanted)
    )
    labels = tuple(wanted[k] for k in positions)
    held = {name: read(data, rows[name], labels=labels) for name in ("val", "test")}
    judged = {n: learnable(labels, p.values, p.mask, where=n)[0] for n, p in held.items()}

    def fresh() -> ClassifierTrainer:
        return make_trainer(config, parts, labels, size, device, data.info.kind, None)

    def show(how: str, fit: ClassifierTrainer, found: dict[str, Any]) -> None:
        assert fit.best is not None
        fit.network.load_state_dict(fit.best.state)
        test = aurocs(fit, held["test"], judged["test"])["val_auroc"]
        line = {"data": data_path.name, "seed": seed, "phase": how, **found, "test": test}
        line["delivered"] = fit.phases[fit.chosen.phase].name
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in line.items()}
        print(json.dumps(rounded), flush=True)

    first = fresh()
    found = finish_phase(first, held["val"], judged["val"], config.eval_every)
    state = copy.deepcopy(first.state_dict())
    show("cross-entropy", first, found)
    for how in a.ways:
        fit = fresh()
        fit.load_state_dict(copy.deepcopy(state))
        fit.next_phase()
        own = fit.optimizer
        assert isinstance(own, Pesg)
        if how.endswith("new head"):
            torch.manual_seed(seed)
            fit.network.head.reset_parameters()
        if how.startswith("LibAUC"):
            theirs: Any = Libauc(
                fit.network, own.loss.prevalence, fit.phase.lr, config.weight_decay
            )
            fit.optimizer = theirs
        show(how, fit, finish_phase(fit, held["val"], judged["val"], config.eval_every))


def main() -> None:
    """Measure every set with every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--eval-every", type=int, default=50)
    parser.add_argument("--arch", default="small_cnn")
    parser.add_argument("--classes", default=None)
    parser.add_argument("--auc-lr", type=float, default=None, help="default: that of train-cls")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument(
        "--ways", nargs="+", default=["ours", "LibAUC", "ours, new head", "LibAUC, new head"]
    )
    a = parser.parse_args()
    warnings.simplefilter("ignore")  # LibAUC's, of a batch without a positive of some label
    if importlib.util.find_spec("libauc") is None:
        print("libauc is not installed: ours alone (pip install --no-deps libauc==2.0.1)")
        a.ways = [how for how in a.ways if not how.startswith("LibAUC")]
    for path in a.data:
        for seed in a.seeds:
            measure(path, seed, a)


if __name__ == "__main__":
    main()
