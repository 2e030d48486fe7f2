"""From the record of a CLIP to its network and tokenizer: open_clip's own factory.

In: an `Architecture`, which says all that is needed to build the network again (`sources` finds
it). Out: network and tokenizer. Nothing is fetched. The same record is written as
`open_clip_config.json`, so that a run directory is also a `local-dir:` for open_clip itself.
"""

import copy
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip import factory
from open_clip.timm_model import TimmModel
from torch import Tensor

from cxrtool.clip import huggingface
from cxrtool.clip import weights as files
from cxrtool.core import temporary
from cxrtool.core.errors import InputError, UsageError, sentence_of
from cxrtool.core.files import sha256_file
from cxrtool.core.reading import read_bytes
from cxrtool.core.runs import Run
from cxrtool.training.models import building

CONFIG_FILE = "open_clip_config.json"


@dataclass(frozen=True)
class Architecture:
    """What a CLIP is, apart from its weights.

    Attributes:
        name: As asked for.
        model_cfg: open_clip's `model_cfg` (embed_dim, vision_cfg, text_cfg, quick_gelu, ...).
        preprocess_cfg: Mean and standard deviation (3 channels, of images in [0, 1]), interpolation
            and size of the image tower's input.
        weights: Weights file to begin from; None for random weights.
        origin: Where activation and preprocessing are from, for people.
        assumed: What of them is assumed without proof; "" for nothing.
        timm_args: What timm needs to build an image tower beside its name in `model_cfg`.
        hf_config: Config of transformers for text tower and tokenizer.
        folder: Where the tokenizer's files are; None for a tokenizer of open_clip itself.
        weights_size: Input size that the weights are for, pixels; 0 for `size`.
        beside: Files that were read beside `--pretrained`: a config, a tokenizer.
    """

    name: str
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any]
    weights: Path | None = None
    origin: str = ""
    assumed: str = ""
    timm_args: dict[str, Any] = field(default_factory=dict)
    hf_config: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    weights_size: int = 0
    beside: tuple[Path, ...] = ()

    @property
    def quick_gelu(self) -> bool:
        """Whether the towers have QuickGELU in place of GELU."""
        return bool(self.model_cfg.get("quick_gelu", False))

    @property
    def activation(self) -> str:
        """Of the towers whose blocks are open_clip's; timm and transformers have their own."""
        return files.activation(self.quick_gelu)

    @property
    def size(self) -> int:
        """Height and width that the image tower reads, pixels."""
        return size_of(self.model_cfg)

    @property
    def context(self) -> int:
        """Tokens that the text tower reads, start and end marks included."""
        return int(self.model_cfg["text_cfg"].get("context_length", 77))

    @property
    def tokenizer_files(self) -> list[Path]:
        """Of a tokenizer of transformers; none for one of open_clip itself."""
        return huggingface.tokenizer_files(self.folder) if self.folder is not None else []

    def tokenizer_json(self) -> dict[str, Any]:
        """Which tokenizer it has, for model.json."""
        text, own = self.model_cfg["text_cfg"], self.tokenizer_files
        return {
            "name": f"open_clip.{'HFTokenizer' if own else 'SimpleTokenizer'}",
            "context": self.context,
            "options": text.get("tokenizer_kwargs") or {},
            **({"files": {path.name: sha256_file(path) for path in own}} if own else {}),
        }

    def to_json(self) -> dict[str, Any]:
        """As open_clip writes it, and what it does not write down."""
        more = {"timm_args": self.timm_args, "hf_config": self.hf_config}
        return {
            "model_cfg": self.model_cfg,
            "preprocess_cfg": self.preprocess_cfg,
            **{key: value for key, value in more.items() if value},
        }

    def save(self, run: Run) -> None:
        """Write all but the weights into a run, so that this needs nothing else."""
        run.write_json(CONFIG_FILE, self.to_json())
        if self.hf_config:
            run.write_json(huggingface.CONFIG_FILE, self.hf_config)
        for path in self.tokenizer_files:
            run.write_bytes(path.name, read_bytes(path))


def size_of(model_cfg: Mapping[str, Any]) -> int:
    """Height and width that an image tower reads, pixels."""
    size = model_cfg["vision_cfg"].get("image_size", 224)
    return int(size[0] if isinstance(size, list | tuple) else size)


def build(architecture: Architecture, seed: int) -> Any:
    """The network, with weights drawn from `seed` or read from the architecture's file.

    It is one of open_clip's classes, which are not typed.

    Raises:
        InputError: weights that cannot be read or belong to another architecture, or a config of
            which no network can be built.
        UsageError: an image tower that cannot have this size.
    """
    with _as_folder(architecture) as folder:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                with _room(architecture):
                    network = open_clip.create_model_and_transforms(
                        f"local-dir:{folder}", pretrained_hf=False
                    )[0]
            except Exception as error:  # whatever a config makes of timm and transformers
                raise InputError(
                    f"{architecture.name}: its config makes no network ({sentence_of(error)})",
                    file=architecture.weights,
                    hint="is it made for a newer open_clip than the "
                    f"{open_clip.__version__} that is installed?",
                ) from error
        weights_size = architecture.weights_size or architecture.size
        if isinstance(network.visual, TimmModel):  # all else is built by the size in the config
            network.visual.set_input_size(weights_size)
        if architecture.weights is not None:
            _read(network, architecture.weights, architecture.name, folder)
        if isinstance(network.visual, TimmModel) and architecture.size != weights_size:
            _resize(network.visual, architecture)
    return network


def _room(architecture: Architecture) -> AbstractContextManager[None]:
    """Building in as much memory as a file of weights may need."""
    weights = architecture.weights
    if weights is None:
        return nullcontext()
    parts = weights.parent.iterdir() if weights.name.endswith(files.INDEX) else [weights]
    size = sum(part.stat().st_size for part in parts)
    return building(architecture.model_cfg, size, weights)


def tokenizer(architecture: Architecture) -> Any:
    """Its tokenizer, of open_clip's classes. A text is always cut at its end, never at random.

    Raises:
        InputError: a tokenizer of transformers that cannot be read.
    """
    options: dict[str, Any] = {"reduction_mask": ""}
    if architecture.folder is not None:
        huggingface.library(f"the tokenizer of {architecture.name}")
        options = {"trust_remote_code": False}
    with _as_folder(architecture) as folder:
        try:
            words = open_clip.get_tokenizer(f"local-dir:{folder}", **options)
            if architecture.folder is not None:
                words(["a"])  # what cannot be padded shows here alone
            return words
        except Exception as error:  # of four libraries
            reason = sentence_of(error).replace(f"{folder}/", "")
            raise InputError(
                f"the tokenizer cannot be read ({reason})",
                file=architecture.folder,
                hint=huggingface.ADVICE.format("the same model"),
            ) from error


def _read(network: Any, path: Path, name: str, folder: Path) -> None:
    """Weights into the network, which are converted in `folder` if they must be."""
    states: list[Mapping[str, Tensor]] = []  # as open_clip has made them fit
    hook = network.register_load_state_dict_pre_hook(lambda _, state, *__: states.append(state))
    try:
        factory.load_checkpoint(network, str(files.readable(path, folder)), weights_only=True)
    except InputError:
        raise
    except Exception as error:
        for state in states[:1]:
            files.refuse_other_shapes(network.state_dict(), state, path)
        raise files.unreadable(path, error, name) from error
    finally:
        hook.remove()


def _resize(tower: TimmModel, architecture: Architecture) -> None:
    """An image tower of timm at another size; whether it can be had shows when it is tried."""
    size = architecture.size
    patch = getattr(getattr(tower.trunk, "patch_embed", None), "patch_size", None)
    stride = patch[0] if isinstance(patch, tuple) else 1
    reason = f"it needs a multiple of {stride}"
    mode = tower.training
    try:
        if size % stride == 0:
            tower.set_input_size(size)
            with torch.no_grad():
                tower.eval()(torch.zeros(1, 3, size, size))
            return
    except Exception as error:
        reason = sentence_of(error)
    finally:
        tower.train(mode)
    kind = architecture.model_cfg["vision_cfg"]["timm_model_name"]
    raise UsageError(
        f"--size {size}: the image tower {kind} cannot have it ({reason})",
        hint=f"leave out --size; its own is {architecture.weights_size}",
    )


@contextmanager
def _as_folder(architecture: Architecture) -> Iterator[Path]:
    """The form in which open_clip's factory takes any config; it is not to log in the meantime."""
    quiet, root = logging.NullHandler(), logging.getLogger()
    level = root.level
    root.addHandler(quiet)
    root.setLevel(logging.ERROR)
    try:
        with temporary.folder("clip") as folder:
            record = copy.deepcopy(architecture.to_json())
            config = record["model_cfg"]
            if config["text_cfg"].get("hf_model_name"):
                config["text_cfg"]["hf_model_name"] = str(folder)
            if architecture.timm_args:
                vision = config["vision_cfg"]
                tower = {
                    "architecture": vision["timm_model_name"],
                    "model_args": architecture.timm_args,
                    "pretrained_cfg": {},
                }
                vision["timm_model_name"] = f"local-dir:{folder / 'timm'}"
                (folder / "timm").mkdir()
                _write(folder / "timm" / "config.json", tower)
            if architecture.hf_config:
                _write(folder / huggingface.CONFIG_FILE, architecture.hf_config)
            for path in architecture.tokenizer_files:
                shutil.copyfile(path, folder / path.name)
            _write(folder / CONFIG_FILE, record)
            with huggingface.offline():
                yield folder
    finally:
        root.setLevel(level)
        root.removeHandler(quiet)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
