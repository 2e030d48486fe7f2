"""The face of the package for people who write Python; `cxrtool` gives its names.

In: paths of what the commands wrote, images, texts, tables. Out: arrays, tables and pictures in the
forms that NumPy, pandas, Pillow and torch users know. Nothing is computed here: each function calls
what the command of the same purpose calls. What goes wrong is a `CxrError`, whose text says what to
do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from PIL import Image

from cxrtool.core.config import fields_of
from cxrtool.core.config.values import resolve
from cxrtool.core.errors import GateError, UsageError
from cxrtool.core.runs.execution import execute
from cxrtool.data import decoded, manifest, view
from cxrtool.data.cache import pixels, resized
from cxrtool.data.columns import DATASET, IMAGE
from cxrtool.data.images import convert, fit_image
from cxrtool.data.labels import label_positions
from cxrtool.data.named_images import Finder

if TYPE_CHECKING:
    from cxrtool.classifiers.ensemble import Ensemble
    from cxrtool.reports.labeler import Labeler

#: Whatever holds images: a dataset directory (or its path), a file, a folder of images, a table of
#: paths, Pillow images, uint8 arrays [H, W] or [N, H, W], or a list of these.
Images: TypeAlias = "str | Path | manifest.Dataset | np.ndarray | Image.Image | Sequence[Any]"

_BLOCK = 16  # images that a generator makes at once: fixed, so that every image has the same bits


# --- data -----------------------------------------------------------------------------------------


def load_dataset(path: str | Path) -> view.DatasetView:
    """Open a dataset directory, as `cxr prepare` and `cxr synthesize` write it.

    Args:
        path: The directory.

    Returns:
        A data set: ``len(data)``; ``data[i]`` with ``image`` (float32 [1, H, W] in [-1, 1]),
        ``labels`` (float32 [L] in {0, 1}), ``mask`` (bool [L], False where a label is not known)
        and ``meta``; ``data.frame``, a pandas table; ``data.torch(split="train")``, a
        `torch.utils.data.Dataset`.

    Raises:
        CxrError: Not a dataset directory, or a damaged one; names file, row and column.
    """
    data = manifest.load_dataset(Path(path))
    return view.DatasetView(data.path, data.info, data.table)


def _pixels(images: Images, form: decoded.Form) -> tuple[np.ndarray, pd.Index]:
    """Images at one size, as `cxr prepare` would store them: uint8 [N, size, size], and names."""
    if isinstance(images, str | Path) and (Path(images) / DATASET).is_file():
        images = load_dataset(images)
    if isinstance(images, manifest.Dataset):
        return resized(pixels(images), form.size), pd.Index(images.column(IMAGE), name=IMAGE)
    if isinstance(images, str | Path | Image.Image):
        images = [images]
    if isinstance(images, np.ndarray):
        images = images[None] if images.ndim == 2 else images
    arrays: list[np.ndarray] = []
    names: list[str | int] = []
    for number, image in enumerate(images):
        if isinstance(image, str | Path):
            # One by one, in this process: where each lies is all that is known of it.
            of_it = list(_behind(Path(image), form))
            several = len(images) > 1 and Path(image).is_dir()
            names += [str(Path(image) / name) if several else name for name, _ in of_it]
            arrays += [array for _, array in of_it]
        else:
            names.append(number)
            arrays.append(_one(image, form.size, form.fit))
    pixels_ = np.array(arrays, np.uint8).reshape(-1, form.size, form.size)
    return pixels_, pd.Index(names, name=IMAGE)


def _behind(path: Path, form: decoded.Form) -> Iterator[tuple[str, np.ndarray]]:
    """The images of a file, folder or table, by name."""
    for group in Finder(modality=("any",)).find([path]):
        if group.data is not None:
            every = resized(pixels(group.data), form.size)
            yield from ((image.name, every[image.row]) for image in group.images)
            continue
        for image in group.images:
            assert image.source is not None
            yield image.file, decoded.decode(form, image.source).pixels


def _one(image: Any, size: int, fit: str) -> np.ndarray:
    if isinstance(image, Image.Image):
        image = np.asarray(image.convert("L") if image.mode not in ("L", "I;16") else image)
    array = np.asarray(image)
    if array.ndim != 2 or array.dtype not in (np.uint8, np.uint16):
        raise UsageError(
            f"an image of shape {array.shape} and type {array.dtype}",
            hint="give gray images: uint8 or uint16 arrays [H, W], Pillow images or files",
        )
    if array.dtype == np.uint8:
        return fit_image(Image.fromarray(array), size, fit)
    return convert(array, size, fit).pixels


# --- networks -------------------------------------------------------------------------------------


class Generator:
    """A trained generator.

    Attributes:
        path: Its folder.
        labels: What it can be asked for.
        size: Height and width of its images, px.
        network: The network itself (`cxrtool.training.protocols.Generator`).
    """

    def __init__(self, path: Path, network: Any) -> None:
        self.path, self.network = path, network
        self.labels: tuple[str, ...] = tuple(network.labels)
        self.size: int = network.size

    def __repr__(self) -> str:
        return f"Generator({str(self.path)!r}: {self.size} px, {_counted(self.labels)})"

    def sample(
        self,
        labels: str | Sequence[str] | Mapping[str, float] | np.ndarray | None = None,
        n: int = 1,
        *,
        counts: Mapping[str, int] | None = None,
        seed: int = 0,
        truncation: float = 1.0,
    ) -> np.ndarray:
        """Make images.

        Args:
            labels: What all of them show: a label, several, a mapping label -> 0 or 1, an array
                [n, L] with a row an image in the order of ``self.labels``; None for none of them.
            n: How many.
            counts: In place of both: label -> how many images show it, one label after the other.
            seed: The same seed gives the same images; image i does not depend on ``n``.
            truncation: psi; below 1 the images are more alike and cleaner.

        Returns:
            uint8 [n, size, size].

        Raises:
            CxrError: An unknown label; counts beside labels.
        """
        from cxrtool.synthesis.sampler import BlockSampler
        from cxrtool.training.rng import seed_for

        if counts is not None:
            if labels is not None or n != 1:
                raise UsageError("counts say which labels and how many images", hint="leave n out")
            labels, n = self._each(counts), sum(counts.values())
        vectors = self._vectors(labels, n)
        device = next(self.network.parameters()).device
        sampler = BlockSampler(self.network, block=_BLOCK, truncation=truncation, device=device)
        out = np.empty((n, self.size, self.size), np.uint8)
        for start in range(0, n, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, n))
            seeds = [seed_for("sample", seed, int(row)) for row in rows]
            out[rows] = sampler.images(seeds, vectors[rows], rows - start)
        return out

    def _each(self, counts: Mapping[str, int]) -> np.ndarray:
        """A row an image, with one label each."""
        positions = label_positions(self.labels, list(counts))
        rows = np.repeat(positions, list(counts.values()))
        return np.asarray(np.eye(len(self.labels), dtype=np.float32)[rows])

    def _vectors(self, labels: Any, n: int) -> np.ndarray:
        out = np.zeros((n, len(self.labels)), np.float32)
        if isinstance(labels, np.ndarray):
            if labels.shape != out.shape:
                raise UsageError(f"labels of shape {labels.shape}; wanted {out.shape}")
            return labels.astype(np.float32)
        if isinstance(labels, str):
            labels = [labels]
        values = labels if isinstance(labels, Mapping) else dict.fromkeys(labels or (), 1.0)
        for position, value in zip(label_positions(self.labels, list(values)), values.values()):
            out[:, position] = value
        return out


def load_generator(path: str | Path, device: str = "cpu") -> Generator:
    """Load the generator that a `cxr train-gan` run kept.

    Args:
        path: The run's folder.
        device: ``cpu``, ``cuda``, ``cuda:1``.

    Raises:
        CxrError: No finished generator there.
    """
    from cxrtool.generators import load

    return Generator(Path(path), load(path, device))


class Classifier:
    """A trained classifier with its calibration, or the mean of several.

    Attributes:
        path: Its folder, the first of several.
        labels: Its findings, in order.
        size: Height and width that it reads, px.
        thresholds: Label -> probability from which it says yes (specificity .9 on validation rows;
            of several the mean).
        network: The network itself, a torch module: [N, 1, H, W] in [-1, 1] -> logits [N, L]; the
            first of several.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        self._ensemble = ensemble
        self.path, self.network = ensemble.paths[0], ensemble.networks[0]
        self.labels: tuple[str, ...] = ensemble.labels
        self.size: int = self.network.size
        self.thresholds = dict(zip(self.labels, map(float, ensemble.thresholds)))

    def __repr__(self) -> str:
        others = len(self._ensemble.paths) - 1
        whose = repr(str(self.path)) + (f" and {others} more" if others else "")
        return f"Classifier({whose}: {self.size} px, {_counted(self.labels)})"

    def predict(self, images: Images, *, decide: bool = False) -> pd.DataFrame:
        """Read findings from images.

        Args:
            images: Files (DICOM too), folders, tables of paths, Pillow images, uint8 arrays, or a
                dataset directory. They are brought to the form of the training images as `cxr
                prepare` does.
            decide: Return 1 where the threshold is reached and 0 elsewhere, in place of
                probabilities.

        Returns:
            A row an image (indexed by file or number), a column a label; calibrated probabilities.

        Raises:
            CxrError: An image that cannot be read.
        """
        whole = self._ensemble
        form = decoded.Form(whole.native_size, whole.fit, whole.bits)
        pixels, names = _pixels(images, form)
        table = pd.DataFrame(whole.probabilities(pixels), names, list(self.labels))
        if decide:
            return (table >= whole.thresholds).astype("Int64")
        return table


def load_classifier(path: str | Path | Sequence[str | Path], device: str = "cpu") -> Classifier:
    """Load the classifier of a `cxr train-cls` run, or several whose probabilities are averaged.

    Args:
        path: The run's folder, or those of several, such as the seeds of one arm.
        device: ``cpu``, ``cuda``, ``cuda:1``.

    Raises:
        CxrError: No finished classifier there; several that read other labels or images.
    """
    from cxrtool.classifiers.ensemble import load_ensemble

    paths = [path] if isinstance(path, str | Path) else list(path)
    return Classifier(load_ensemble([Path(one) for one in paths], device))


class Clip:
    """A fine-tuned CLIP with its preprocessing.

    Attributes:
        path: Its folder.
        size: Height and width that its image tower reads, px.
        model: Both towers (`cxrtool.clip.model.ClipModel`).
    """

    def __init__(self, path: Path, model: Any) -> None:
        self.path, self.model = path, model
        self.size: int = model.size

    def __repr__(self) -> str:
        return f"Clip({str(self.path)!r}: {self.model.name}, {self.size} px)"

    def embed_images(self, images: Images) -> np.ndarray:
        """Images, as for `Classifier.predict` -> unit vectors, float32 [N, D]."""
        return self._embed(images)[0]

    def _embed(self, images: Images) -> tuple[np.ndarray, pd.Index]:
        from cxrtool.classifiers.prediction import in_blocks

        pixels, names = _pixels(images, decoded.Form(self.size, "crop"))
        return in_blocks(self.model.embed_images, pixels, self.model.device), names

    def embed_texts(self, texts: str | Iterable[str]) -> np.ndarray:
        """Texts -> unit vectors, float32 [N, D]; a text loses what does not fit into 77 tokens."""
        import torch

        texts = [texts] if isinstance(texts, str) else list(texts)
        with torch.no_grad():
            return np.asarray(self.model.embed_texts(texts).float().cpu())

    def zero_shot(self, images: Images, labels: str | Sequence[str]) -> pd.DataFrame:
        """Read labels with texts alone.

        Args:
            images: As for `Classifier.predict`.
            labels: Findings, in words or by name.

        Returns:
            A row an image, a column a label: cosine to "there is ..." minus cosine to "there is no
            ...". Higher means there; it is a score, no probability.
        """
        import torch

        from cxrtool.clip.holdout import label_vectors, zero_shot_scores
        from cxrtool.clip.templates import from_json

        labels = [labels] if isinstance(labels, str) else list(labels)
        templates = from_json(self.model.meta["templates"], self.path / "model.json")
        vectors = label_vectors(self.model, templates, labels)
        vectors_of_images, names = self._embed(images)
        scores = zero_shot_scores(torch.from_numpy(vectors_of_images), vectors.cpu())
        return pd.DataFrame(scores.numpy(), names, labels)


def load_clip(path: str | Path, device: str = "cpu") -> Clip:
    """Load the CLIP of a `cxr finetune-clip` run.

    Args:
        path: The run's folder.
        device: ``cpu``, ``cuda``, ``cuda:1``.

    Raises:
        CxrError: No finished CLIP there.
    """
    from cxrtool.clip.model import load

    return Clip(Path(path), load(path, device))


# --- reports --------------------------------------------------------------------------------------


def label(text: str) -> dict[str, int | None]:
    """Read one radiology report.

    Args:
        text: The report, with its section headers if it has any.

    Returns:
        The 14 observations of CheXpert -> 1 (there), 0 (denied), -1 (uncertain), None (not
        mentioned).
    """
    return dict(_labeler().label(text, evidence=False).values)


def label_table(frame: pd.DataFrame, column: str = "report") -> pd.DataFrame:
    """Read a table of radiology reports.

    Args:
        frame: A row a report.
        column: Where the text is. A missing value is an empty report.

    Returns:
        A column an observation, 1, 0, -1 or <NA> (type Int64), on the index of ``frame``.

    Raises:
        CxrError: There is no such column.
    """
    if column not in frame.columns:
        raise UsageError(
            f"the table has no column {column!r}",
            hint="its columns are " + ", ".join(map(str, frame.columns)),
        )
    labeler = _labeler()
    texts = (
        "" if missing else str(text) for text, missing in zip(frame[column], frame[column].isna())
    )
    rows = [labels.values for labels in labeler.label_all(texts, evidence=False)]
    names = list(labeler.rules.observations)
    return pd.DataFrame(rows, index=frame.index, columns=names).astype("Int64")


@cache
def _labeler() -> Labeler:
    from cxrtool.reports.labeler import Labeler

    return Labeler()


# --- commands -------------------------------------------------------------------------------------


def run(command: str, *inputs: str | Path, out: str | Path, **options: Any) -> Path:
    """Run a command, as on the command line; a folder that is up to date is left as it is.

    Args:
        command: Such as ``"train-gan"`` or ``"evaluate images"``.
        inputs: Its positional arguments.
        out: The folder that it writes.
        options: Its options, ``target_frac=0.15`` for ``--target-frac 0.15``.
            ``on_change="rebuild"`` moves a folder of other options aside; ``verify=True`` hashes
            everything again.

    Returns:
        The folder.

    Raises:
        CxrError: What the command line would end with.
    """
    from cxrtool import cli

    stage = cli.stages().get("-".join(command.split()))
    if stage is None:
        raise UsageError(
            f"there is no command {command!r}",
            hint="commands are " + ", ".join(" ".join(words) for words in cli.COMMANDS),
        )
    how = {name: options.pop(name) for name in ("on_change", "verify") if name in options}
    arguments: dict[str, Any] = {}
    left = list(inputs)
    for field in (f for f in fields_of(stage.Config) if f.meta.positional):
        if field.many:
            arguments[field.name], left = left, []
        elif left:
            arguments[field.name] = left.pop(0)
    if left:
        raise UsageError(f"{command} takes no further argument: {left[0]}")
    config = resolve(stage.Config, arguments, options, origin=f"run({command!r})")
    outcome = execute(stage, config, Path(out), **how)
    if outcome.gates:
        raise GateError("; ".join(outcome.gates))
    return outcome.folder


def _counted(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:3]) + (", ..." if len(labels) > 3 else "")
    return f"{len(labels)} labels ({shown})" if labels else "no labels"
