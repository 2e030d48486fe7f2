"""`cxr evaluate images`: how good are the synthetic images, and are they copies?

In: the output of `synthesize` or `edit`, and a real data set. Out: `metrics.csv`, `metrics.json`,
`report.md` and `report.html`: Fréchet and kernel distances, precision, recall, density and coverage
in at least two feature spaces, relative to real/real splits of the same n; whether a teacher reads
the labels asked for; nearness to training images and membership by the discriminator; a linear
probe for shortcuts; images side by side. Extractors and generators that have seen the reference
rows are refused (exit 5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cxrtool import __version__, console
from cxrtool.config import DEVICE, THREADS, Argument, Input, Option
from cxrtool.data.select import SelectionOptions
from cxrtool.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from cxrtool.data.manifest import Dataset
    from cxrtool.evaluation.image_report import ImageEvaluation
    from cxrtool.runs import Run

    Space = tuple[str, Callable[[Any], Any]]

NAME = "evaluate-images"
FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Config(SelectionOptions):
    """Measure synthetic images against held-out real ones.

    Example: cxr evaluate images synth --real data --features cls-none -o report
    """

    synth: Annotated[Path, Argument("Output of synthesize or edit."), Input("synth")]
    real: Annotated[Path, Option("Real dataset directory."), Input("real")]
    features: Annotated[
        Path | None,
        Option("Output of train-cls: its features are the first space, and it reads the labels."),
        Input("features"),
    ] = None
    clip: Annotated[
        Path | None,
        Option("Output of finetune-clip: its image tower is one more feature space."),
        Input("clip"),
    ] = None
    inception: Annotated[
        Path | None,
        Option("Weights of the FID's Inception (torch-fidelity's file): one more feature space."),
        Input("inception"),
    ] = None
    rad_dino: Annotated[
        Path | None,
        Option(
            "Weights of RAD-DINO (backbone_compatible.safetensors of its page): one more feature"
            " space."
        ),
        Input("rad_dino"),
    ] = None
    gan: Annotated[
        Path | None,
        Option("Output of train-gan behind SYNTH: membership is tested by its discriminator."),
        Input("gan"),
    ] = None
    split: Annotated[
        str, Option("Reference rows of REAL.", choices=("train", "val", "test", "all"))
    ] = "test"
    splits: Annotated[int, Option("Random real/real splits to average over.", min=1)] = 10
    subsets: Annotated[int, Option("Random subsets behind a kernel distance.", min=2)] = 100
    seed: Annotated[int, Option("Seed of the random features, splits and shown images.", min=0)] = 0
    device: Annotated[str, DEVICE] = "auto"
    threads: Annotated[int | None, THREADS] = None


def run(config: Config, run: Run) -> dict[str, Any]:
    """Embed, measure, show."""
    import numpy as np

    from cxrtool.data.cache import pixels
    from cxrtool.data.select import select_rows
    from cxrtool.evaluation import fidelity as measure
    from cxrtool.evaluation.image_report import ImageEvaluation
    from cxrtool.training.device import setup
    from cxrtool.training.rng import numpy_rng

    device = setup(config.device, config.threads)
    real, synth = load_sets(run)
    reference = select_rows(real, config)
    train = select_rows(real, config, split="train", allow_empty=True)
    refuse_seen_rows(run, real, reference, config.split)
    images = {
        "synthetic": pixels(synth, np.arange(len(synth))),
        "real": pixels(real, reference),
        "training": pixels(real, train),
    }
    labels, synthetic_labels, real_labels = label_tables(synth, real, reference)

    found, of_labels, near = [], [], []
    for name, function in feature_spaces(config, run, device):
        console.detail(f"feature space: {name}")
        embedded = embed(run, name, function, images, device)
        rng = numpy_rng("evaluate-images", config.seed, name)
        amount = {"splits": config.splits, "subsets": config.subsets}
        one = measure.fidelity(name, embedded["synthetic"], embedded["real"], rng, **amount)
        found.append(replace(one, is_fid=name == "Inception (FID)"))
        of_labels += measure.by_label(
            name, labels, embedded["synthetic"], synthetic_labels, embedded["real"], real_labels,
            rng, subsets=config.subsets,
        )  # fmt: skip
        if len(train):
            near.append(measure.nearness(name, *embedded.values()))
    if len(train):
        near.insert(0, measure.nearness("pixels at 32 px", *map(small_pixels, images.values())))

    result = ImageEvaluation(
        source=real.info.source,
        kernel=str(real.info.kernel),
        size=int(real.info.size or 0),
        fidelity=found,
        conditional=read_conditions(run, device, images, labels, synthetic_labels, real_labels),
        membership=membership(run, device, images, real, (train, reference)),
        probe=probe(config, images),
        by_label=of_labels,
        nearness=near,
        labels=labels,
        **images,
        synthetic_labels=synthetic_labels,
        real_labels=real_labels,
        reference=config.split,
        cautions=cautions(config, found, len(train)),
        footer=f"cxr {__version__} · evaluate images · run {run.fingerprint[:12]}",
    )
    return write_outputs(config, run, result)


# --- inputs ---------------------------------------------------------------------------------------


def load_sets(run: Run) -> tuple[Dataset, Dataset]:
    """The real and the synthetic set, refused where their pixels are not made alike."""
    from cxrtool.classifiers.arms import refuse_unfinished
    from cxrtool.data.manifest import load_dataset

    real, synth = load_dataset(run.input("real").path), load_dataset(run.input("synth").path)
    if not len(synth):
        raise InputError("holds no image", file=synth.path)
    refuse_unfinished(synth)
    for name in ("size", "fit", "kernel"):
        ours, theirs = getattr(real.info, name), getattr(synth.info, name)
        if ours != theirs:
            raise InputError(
                f"{name} {theirs} cannot be compared with {real.path}, which has {name} {ours}",
                file=synth.path,
                hint="prepare the real images at the generator's size",
            )
    for dataset, wanted in ((real, {"real"}), (synth, {"synthetic", "edited"})):
        strange = set(dataset.column("source")) - wanted
        if strange:
            raise InputError(
                f"holds {', '.join(sorted(strange))} rows where {' or '.join(sorted(wanted))}"
                " ones are expected",
                file=dataset.path,
                hint="cxr evaluate images SYNTH --real DATA",
            )
    return real, synth


def refuse_seen_rows(run: Run, real: Dataset, reference: np.ndarray, split: str) -> None:
    """The leak guard: neither the generator nor the extractor has seen a reference row."""
    from cxrtool.data.keys import Seen, refuse_overlap

    synth = run.input("synth").path
    who = f"the generator of {synth}"
    refuse_overlap(Seen.load(synth), real, reference, who=who, what=split, folder=synth)
    for role, name in (("features", "extractor"), ("clip", "CLIP"), ("gan", "generator")):
        for ref in run.inputs(role):
            who = f"the {name} {ref.path}"
            refuse_overlap(
                Seen.load(ref.path), real, reference, who=who, what=split, folder=ref.path
            )


def label_tables(
    synth: Dataset, real: Dataset, reference: np.ndarray
) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Labels of both sets joined by name: names, [N, L] bool, [M, L] bool."""
    from cxrtool.classifiers.arms import recorded_policy
    from cxrtool.data.labels import LabelPolicy, label_arrays
    from cxrtool.evaluation.joining import common_labels, positions

    policy = recorded_policy(synth) or LabelPolicy()
    labels, _ = common_labels(["SYNTH"], [synth.labels], real)
    tables = []
    for dataset, rows in ((synth, None), (real, reference)):
        values, mask = label_arrays(dataset, rows, policy)
        columns = positions(dataset.labels, labels)
        tables.append(((values > 0) & mask)[:, columns])
    return labels, tables[0], tables[1]


# --- features -------------------------------------------------------------------------------------


def feature_spaces(config: Config, run: Run, device: Any) -> list[Space]:
    """At least two spaces: the classifier's, Inception's, RAD-DINO's and the CLIP tower's where
    given, else a random VGG16's; a small random network where there would be one only."""
    from cxrtool import classifiers, clip
    from cxrtool.evaluation.features import Inception, RadDino, RandomFeatures, RandomVgg16
    from cxrtool.runs import require_complete

    spaces: list[Space] = []
    for ref in run.inputs("features"):
        require_complete(ref.path, stages=("train-cls",))
        network = classifiers.load(ref.path, device)
        recipe = network.description["recipe"]
        name = f"{recipe['arch']} classifier, arm {recipe['arm']}, {network.size} px"
        spaces.append((name, network.features))
    by_path: dict[str, type[Inception | RadDino]] = {"inception": Inception, "rad_dino": RadDino}
    for role, kind in by_path.items():
        loaded = [kind(ref.path).to(device).eval() for ref in run.inputs(role)]
        spaces += [(kind.name, network) for network in loaded]
    for ref in run.inputs("clip"):
        require_complete(ref.path, stages=("finetune-clip",))
        tower = clip.load(ref.path, device)
        spaces.append((f"CLIP {tower.name}, {tower.size} px", tower.embed_images))
    if config.inception is None and config.rad_dino is None and config.clip is None:
        random = RandomVgg16(config.seed).to(device).eval()
        spaces.append((random.name, random))
    if len(spaces) < 2:
        small = RandomFeatures(config.seed).to(device).eval()
        spaces.append((small.name, small))
    return spaces


def embed(
    run: Run,
    name: str,
    function: Callable[[Any], Any],
    images: dict[str, np.ndarray],
    device: Any,
) -> dict[str, np.ndarray]:
    """Features of every set in one space."""
    from cxrtool.classifiers.prediction import in_blocks

    out = {}
    with run.progress(f"features ({name})", total=sum(map(len, images.values()))) as bar:

        def advance(n: int) -> None:
            bar.advance(n)
            run.check_stop()

        for kind, pixels in images.items():
            out[kind] = in_blocks(function, pixels, device, advance=advance)
    return out


def small_pixels(images: np.ndarray) -> np.ndarray:
    """[N, H, W] uint8 -> [N, 1024] float: pixels at 32 px, mean taken out of each image."""
    from cxrtool.data.cache import resized

    flat = resized(images, 32).reshape(len(images), -1) / 255.0
    return flat - flat.mean(axis=1, keepdims=True)


# --- what else is asked of the images -------------------------------------------------------------


def read_conditions(
    run: Run,
    device: Any,
    images: dict[str, np.ndarray],
    labels: tuple[str, ...],
    synthetic_labels: np.ndarray,
    real_labels: np.ndarray,
) -> list[Any]:
    """Conditional fidelity, by the classifier of `--features` as teacher."""
    from cxrtool import classifiers
    from cxrtool.classifiers.calibration import Calibration
    from cxrtool.classifiers.prediction import in_blocks, input_pixels
    from cxrtool.data.maps import canonical
    from cxrtool.evaluation.fidelity import conditional
    from cxrtool.evaluation.joining import positions

    for ref in run.inputs("features"):
        network = classifiers.load(ref.path, device)
        known = {canonical(name) for name in network.labels}
        kept = [k for k, name in enumerate(labels) if canonical(name) in known]
        names = [labels[k] for k in kept]
        places = positions(network.labels, names)
        read = [
            Calibration.of(network.description, network.labels).probabilities(
                in_blocks(network.logits, input_pixels(images[kind], network.size), device)
            )
            for kind in ("synthetic", "real")
        ]
        return conditional(
            names,
            read[0][:, places],
            synthetic_labels[:, kept],
            read[1][:, places],
            real_labels[:, kept],
        )
    return []


def membership(
    run: Run,
    device: Any,
    images: dict[str, np.ndarray],
    real: Dataset,
    rows: tuple[np.ndarray, np.ndarray],
) -> float | None:
    """AUROC with which the discriminator's score tells training from held-out images."""
    import numpy as np
    import torch

    from cxrtool import gans
    from cxrtool.classifiers.prediction import in_blocks
    from cxrtool.data.cache import resized
    from cxrtool.data.labels import LabelPolicy, label_arrays
    from cxrtool.evaluation.curves import auroc
    from cxrtool.evaluation.joining import positions
    from cxrtool.runs import require_complete

    for ref in run.inputs("gan"):
        require_complete(ref.path, stages=("train-gan",))
        generator = gans.load(ref.path, device)
        judge = gans.load_judge(ref.path, device)
        policy = LabelPolicy.from_json(generator.meta["policy"])
        places = positions(real.labels, generator.labels)
        scores = []
        for kind, own in zip(("training", "real"), rows):
            values, known = (a[:, places] for a in label_arrays(real, own, policy))
            done = 0

            def score(x: Any, values: Any = values, known: Any = known, judge: Any = judge) -> Any:
                nonlocal done
                place = np.minimum(np.arange(done, done + len(x)), len(values) - 1)
                done += len(x)
                y = torch.from_numpy(values[place]).float().to(device)
                mask = torch.from_numpy(known[place]).to(device)
                return judge.judge(x, y, mask)[0][:, None]

            scores.append(in_blocks(score, resized(images[kind], generator.size), device)[:, 0])
        truth = np.repeat([1, 0], [len(s) for s in scores])
        return auroc(truth, np.concatenate(scores))
    return None


def probe(config: Config, images: dict[str, np.ndarray]) -> tuple[float, float]:
    """AUROC of a linear shortcut probe: synthetic against real, and training against real."""
    from cxrtool.evaluation.probe import separability, shortcut_features

    features = {kind: shortcut_features(array) for kind, array in images.items() if len(array)}
    made = separability(features["real"], features["synthetic"], config.seed)
    usual = float("nan")
    if "training" in features:
        usual = separability(features["real"], features["training"], config.seed)
    return made, usual


# --- outputs --------------------------------------------------------------------------------------


def trained_on_synthetic(features: Path) -> bool:
    """Whether a classifier was trained with synthetic images."""
    from cxrtool.training.models import read_model

    recipe = read_model(features, "classifier")[0]["recipe"]
    return recipe["arm"] in ("gan", "synthetic-only", "pretrain-finetune")


def cautions(config: Config, found: list[Any], n_train: int) -> list[str]:
    """Sentences a reader must see."""
    said = []
    teacher = config.features
    if teacher is None:
        said.append(
            "No classifier was given (--features): conditional fidelity is not measured, and the"
            " distances are in spaces that were not trained on findings."
        )
    if found[0].n < found[0].dim:
        said.append(
            f"n = {found[0].n:,} is less than the {found[0].dim} dimensions of the features: the"
            " Fréchet distance is dominated by what few images leave out; read the ratio and KID."
        )
    if teacher is not None and trained_on_synthetic(teacher):
        said.append(
            "The classifier of --features was trained on synthetic images too: as a teacher it may"
            " read them by what they have in common."
        )
    if not n_train:
        said.append("The real set has no train rows: nearness to training images is not measured.")
    said.append(
        "Synthetic sets hold more images of rare labels than the reference does, by design; part of"
        " a distance is that difference. The distances of single labels are free of it."
    )
    return said


def write_outputs(config: Config, run: Run, result: ImageEvaluation) -> dict[str, Any]:
    """Tables, report, and the summary."""
    from cxrtool.evaluation import image_report, page
    from cxrtool.evaluation.image_tables import nearness_records, records
    from cxrtool.evaluation.markdown import markdown
    from cxrtool.evaluation.predictions import csv_text
    from cxrtool.training.rng import numpy_rng

    table = records(result)
    run.write_text("metrics.csv", csv_text(*table.cells()))
    near = nearness_records(result)
    answer = image_report.answer(result)
    more = {
        "conditional": [asdict(c) for c in result.conditional],
        "membership_auroc": result.membership,
        "probe_auroc": {"synthetic": result.probe[0], "training": result.probe[1]},
    }
    metrics = {"answer": answer, "distances": table.records, "nearness": near, **more}
    run.write_json("metrics.json", metrics)
    built = image_report.build(result, numpy_rng("evaluate-images shown", config.seed))
    run.write_text("report.html", page.render(built))
    run.write_text("report.md", markdown(built))
    console.table(
        "Distance to real images",
        ["feature space", "n", "Fréchet", "real/real", "KID"],
        [[f.space, f.n, f.frechet, f.frechet_real, f.kernel.mean] for f in result.fidelity],
    )
    console.say(answer)
    return {
        "answer": answer,
        "synthetic": len(result.synthetic),
        "real": len(result.real),
        "kernel": result.kernel,
        "spaces": [{**asdict(f), "ratio": f.ratio} for f in result.fidelity],
        "nearness": near,
        **more,
        "cautions": list(result.cautions),
    }
