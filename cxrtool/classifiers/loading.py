"""A finished classifier from its run directory.

In: the output folder of `train-cls`. Out: the network in evaluation mode together with its
description (labels, policy, selection, preprocessing), never one without the other.
"""

from pathlib import Path
from typing import Any

import torch

from cxrtool.classifiers.architectures import ClassifierNet, build
from cxrtool.training.models import load_weights, read_model


def architecture_record(network: ClassifierNet) -> dict[str, Any]:
    """The constructor arguments that `load` needs, for `model.json`."""
    return {"labels": list(network.labels), "size": network.size, "adapter": network.adapter}


def load(run_dir: Path | str, device: torch.device | str = "cpu") -> ClassifierNet:
    """The network of a `train-cls` run, in evaluation mode, with `description` filled in.

    Raises:
        InputError: No finished classifier there, damaged weights, or another architecture.
    """
    description, state = read_model(run_dir, "classifier")
    shape = description["architecture"]
    adapter = str(shape.get("adapter", "plain"))
    labels, size = tuple(shape["labels"]), int(shape["size"])
    network = build(description["arch"], labels, size, adapter=adapter)
    load_weights(network, state, file=Path(run_dir) / "model.safetensors")
    network.description = description
    # The memory layout of training: the same kernels, so the same bits.
    return network.to(memory_format=torch.channels_last).to(device).eval()
