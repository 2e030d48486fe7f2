"""``cxr share``: the copy of a finished generator that may leave the house.

In: an output of train-gan. Out: `FILES` of it, the card with the licence that was given. What tells
whom it was trained on (``seen.json``) stays with the owner, so the copy is of unknown history to
every command that looks for leaks (`cxrtool.data.keys`).
"""

from pathlib import Path
from typing import Any

from cxrtool.commands.share.options import Config
from cxrtool.core import console
from cxrtool.core.errors import InputError
from cxrtool.core.fingerprints import read_json
from cxrtool.core.runs import Run
from cxrtool.data.label_vectors import LABEL_TABLE
from cxrtool.pages.model_card import LICENCE, MODEL_CARD, with_section

#: In this order: where model.json is, all others are whole.
FILES = ("model.safetensors", LABEL_TABLE, MODEL_CARD, "samples.png", "resolved.json", "model.json")
PER_IMAGE = ("opengan",)  # architectures whose weights hold something of every training image


def run(config: Config, run: Run) -> dict[str, Any]:
    """Copy what may leave the house."""
    (source,) = run.paths("run", "train-gan")
    refuse_records(source)
    for name in FILES:
        content = (source / name).read_bytes()
        if name == MODEL_CARD and config.licence is not None:
            content = with_section(content.decode("utf-8"), LICENCE, config.licence).encode("utf-8")
        run.write_bytes(name, content)
    left_out = sorted({path.name for path in source.iterdir()} - set(FILES) - {".cache", ".lock"})
    console.say(f"left out: {', '.join(left_out)}")
    if config.licence is None:
        console.say(f"{MODEL_CARD} gives no licence: add --licence if others may use the copy")
    console.say(f"read {MODEL_CARD} before you hand the folder over")
    return {"files": sorted(FILES), "licence": config.licence}


def refuse_records(source: Path) -> None:
    """Refuse a generator that cannot be handed over.

    Raises:
        InputError: A file is missing, or the weights hold something of every training image.
    """
    for name in FILES:
        if not (source / name).is_file():
            raise InputError(
                f"has no {name}: it is of an earlier version",
                file=source,
                hint="train it again with this version (cxr train-gan ... --on-change rebuild)",
            )
    arch = read_json(source / "model.json")["arch"]
    if arch in PER_IMAGE:
        raise InputError(
            f"the weights of --arch {arch} hold a vector of features of every training image",
            file=source,
            hint="hand over a generator of another --arch",
        )
