"""The networks of `cxr evaluate images` at work: features, labels read, membership, shortcuts.

In: uint8 images of three kinds (synthetic, real, training) and what the command was given. Out:
features in at least two spaces, figures, and the sentences that a reader must see beside them.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from cxrtool import classifiers, clip
from cxrtool import generators as gans
from cxrtool.classifiers.prediction import BLOCK, Calibration, in_blocks, input_pixels
from cxrtool.commands.evaluate.images.options import Config
from cxrtool.core.reading import read_json
from cxrtool.core.runs import Run
from cxrtool.data.cache import resized
from cxrtool.data.labels import LabelPolicy, label_arrays
from cxrtool.data.manifest import Dataset
from cxrtool.data.maps import canonical
from cxrtool.fidelity.features import Inception, RadDino, RandomFeatures, RandomVgg16
from cxrtool.fidelity.measures import conditional
from cxrtool.fidelity.probe import separability, shortcut_features
from cxrtool.stats import curves, joining

Space = tuple[str, Callable[[Any], Any]]
#: "synthetic", "real" or "training" -> uint8 [N, H, W], or features [N, D].
Sets = dict[str, np.ndarray]
#: Names of L labels, and whether the synthetic [N, L] and the real images [M, L] have them.
Tables = tuple[tuple[str, ...], np.ndarray, np.ndarray]


def feature_spaces(config: Config, run: Run, device: Any) -> list[Space]:
    """At least two spaces: the classifier's, Inception's, RAD-DINO's and the CLIP tower's where
    given, else a random VGG16's; a small random network where there would be one only."""
    spaces: list[Space] = []
    for path in run.paths("features", "train-cls"):
        network = classifiers.load(path, device)
        recipe = network.description["recipe"]
        name = f"{recipe['arch']} classifier, arm {recipe['arm']}, {network.size} px"
        spaces.append((name, network.features))
    by_path: dict[str, type[Inception | RadDino]] = {"inception": Inception, "rad_dino": RadDino}
    for role, kind in by_path.items():
        spaces += [(kind.name, kind(path).to(device).eval()) for path in run.paths(role)]
    for path in run.paths("clip", "finetune-clip"):
        tower = clip.load(path, device)
        spaces.append((f"CLIP {tower.name}, {tower.size} px", tower.embed_images))
    if config.inception is None and config.rad_dino is None and config.clip is None:
        random = RandomVgg16(config.seed).to(device).eval()
        spaces.append((random.name, random))
    if len(spaces) < 2:
        small = RandomFeatures(config.seed).to(device).eval()
        spaces.append((small.name, small))
    return spaces


def embed(run: Run, name: str, function: Callable[[Any], Any], images: Sets, device: Any) -> Sets:
    """Features of every set in one space."""
    total = sum(map(len, images.values()))
    with run.progress(f"features ({name})", total, stops=True) as bar:
        return {
            kind: in_blocks(function, pixels, device, advance=bar.advance)
            for kind, pixels in images.items()
        }


def small_pixels(images: np.ndarray) -> np.ndarray:
    """[N, H, W] uint8 -> [N, 1024] float: pixels at 32 px, mean taken out of each image."""
    flat = resized(images, 32).reshape(len(images), -1) / 255.0
    return np.asarray(flat - flat.mean(axis=1, keepdims=True))


def read_conditions(run: Run, device: Any, images: Sets, tables: Tables) -> list[Any]:
    """Conditional fidelity, by the classifier of `--features` as teacher."""
    labels, synthetic_labels, real_labels = tables
    for path in run.paths("features"):
        network = classifiers.load(path, device)
        read_labels = {canonical(name) for name in network.labels}
        shared = [k for k, name in enumerate(labels) if canonical(name) in read_labels]
        names = [labels[k] for k in shared]
        calibration = Calibration.of(network.description, network.labels)
        places = joining.positions(network.labels, names)
        synthetic, real = (
            calibration.probabilities(
                in_blocks(network.logits, input_pixels(images[kind], network.size), device)
            )[:, places]
            for kind in ("synthetic", "real")
        )
        return conditional(
            names, synthetic, synthetic_labels[:, shared], real, real_labels[:, shared]
        )
    return []


def load_member_judge(run: Run, device: Any) -> tuple[Any, Any] | None:
    """The generator of `--gan` and what tells its members; None where it is not given.

    Raises:
        InputError: Not a finished generator, or one that has nothing to tell members by.
    """
    for path in run.paths("gan", "train-gan", "share"):
        return gans.load(path, device), gans.load_judge(path, device)
    return None


def membership(
    networks: tuple[Any, Any],
    images: Sets,
    real: Dataset,
    rows: tuple[np.ndarray, np.ndarray],
    device: Any,
) -> float:
    """AUROC with which the generator's judge tells training from held-out images.

    Args:
        networks: See `load_member_judge`.
        images: "training" and "real" images.
        real: The real set.
        rows: Those of the training and of the held-out images in it.
        device: Of the networks.
    """
    generator, judge = networks
    policy = LabelPolicy.from_json(generator.meta["policy"])
    places = joining.positions(real.labels, generator.labels)
    scores = []
    for kind, own in zip(("training", "real"), rows):
        values, known = (a[:, places] for a in label_arrays(real, own, policy))
        starts = itertools.count(0, BLOCK)

        def score(x: Any, values: Any = values, known: Any = known, at: Any = starts) -> Any:
            place = np.minimum(next(at) + np.arange(len(x)), len(values) - 1)
            y = torch.from_numpy(values[place]).float().to(device)
            mask = torch.from_numpy(known[place]).to(device)
            return judge.judge(x, y, mask)[0][:, None]

        scores.append(in_blocks(score, resized(images[kind], generator.size), device)[:, 0])
    truth = np.repeat([1, 0], [len(s) for s in scores])
    return curves.auroc(truth, np.concatenate(scores))


def probe(config: Config, images: Sets) -> tuple[float, float]:
    """AUROC of a linear shortcut probe: synthetic against real, and training against real."""
    features = {kind: shortcut_features(array) for kind, array in images.items() if len(array)}
    synthetic, training = (
        separability(features["real"], features[kind], config.seed)
        if kind in features
        else math.nan
        for kind in ("synthetic", "training")
    )
    return synthetic, training


def cautions(
    config: Config, spaces: list[Any], n_train: int, unknown: str, flow: bool
) -> list[str]:
    """Sentences a reader must see.

    Args:
        config: The options.
        spaces: Distances by feature space.
        n_train: Training images of the generator in the real set.
        unknown: That on networks of unknown history.
        flow: Whether the images come from a flow, which validation images have chosen.
    """
    teacher, first = config.features, spaces[0]
    made = ("gan", "synthetic-only", "pretrain-finetune")
    sentences = {
        "No classifier was given (--features): conditional fidelity is not measured, and the"
        " distances are in spaces that were not trained on findings.": teacher is None,
        f"n = {first.n:,} is less than the {first.dim} dimensions of the features: the Fréchet"
        " distance is dominated by what few images leave out; read the ratio and KID.": (
            first.n < first.dim
        ),
        "Validation images are among the reference, and a flow is chosen by its loss on them: to"
        " publish, take the distances to the test images (--split test).": (
            flow and config.split in ("val", "all")
        ),
        "The classifier of --features was trained on synthetic images too: as a teacher it may read"
        " them by what they have in common.": (
            teacher is not None and read_json(teacher / "model.json")["recipe"]["arm"] in made
        ),
        "The real set has no train rows that the generator is known to have been trained on, by"
        " patient or pixels: nearness to training images and membership are not measured, and"
        " nothing here says whether the images are copies.": not n_train,
        "Synthetic sets hold more images of rare labels than the reference does, by design; part of"
        " a distance is that difference. The distances of single labels are free of it.": True,
    }
    told = [sentence for sentence, applies in sentences.items() if applies]
    return [unknown, *told] if unknown else told
