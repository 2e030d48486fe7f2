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
from cxrtool.core.reading import read_bytes, read_json
from cxrtool.core.runs import Run
from cxrtool.data import published
from cxrtool.data.label_vectors import LABEL_TABLE
from cxrtool.pages.model_card import LICENCE, MODEL_CARD, PRIVACY, UNMEASURED, with_section
from cxrtool.synthesis.generators import GeneratorCard

WEIGHTS = "model.safetensors"
#: In this order: where model.json is, all others are whole.
FILES = (WEIGHTS, LABEL_TABLE, MODEL_CARD, "samples.png", "resolved.json", "model.json")
PER_IMAGE = ("opengan",)  # architectures whose weights hold something of every training image


def run(config: Config, run: Run) -> dict[str, Any]:
    """Copy what may leave the house."""
    (source,) = run.paths("run", "train-gan")
    refuse_records(source)
    privacy = [findings(path, source) for path in run.paths("privacy", "evaluate-privacy")]
    for name in FILES:
        content = read_bytes(source / name)
        if name == WEIGHTS:  # their header names the keys
            content = published.without_header(source / name)
        if name == MODEL_CARD:
            content = completed(content.decode("utf-8"), config.licence, privacy).encode("utf-8")
        run.write_bytes(name, content)
    left_out = sorted({path.name for path in source.iterdir()} - set(FILES) - {".cache", ".lock"})
    console.say(f"left out: {', '.join(left_out)}")
    if not privacy:
        console.say(
            "nobody has attacked it: cxr evaluate privacy, then --privacy; the card says so"
        )
    if config.licence is None:
        console.say(f"{MODEL_CARD} gives no licence: add --licence if others may use the copy")
    console.say(f"read {MODEL_CARD} before you hand the folder over")
    return {
        "files": sorted(FILES),
        "licence": config.licence,
        "privacy": "in the card" if privacy else "not measured",
    }


def completed(card: str, licence: str | None, privacy: list[list[str]]) -> str:
    """The card with what the owner has added."""
    if licence is not None:
        card = with_section(card, LICENCE, licence)
    for sentences in privacy:
        section = card.partition(f"## {PRIVACY}\n\n")[2].partition("\n\n## ")[0]
        kept = [line for line in section.splitlines() if not line.startswith("- Not measured")]
        card = with_section(card, PRIVACY, "\n".join([*(f"- {s}" for s in sentences), *kept]))
        card = card.replace(UNMEASURED, "Privacy: see what was tried below.", 1)
    return card


def findings(folder: Path, source: Path) -> list[str]:
    """What `evaluate privacy` found, in sentences.

    Raises:
        InputError: It is about another generator.
    """
    metrics = read_json(folder / "metrics.json")
    if metrics["generator"] != GeneratorCard.open(source).fingerprint:
        raise InputError(
            f"is about another generator than {source}",
            file=folder,
            hint=f"attack this one: cxr evaluate privacy {source} --data TRAIN --held-out TEST",
        )
    return [str(sentence) for sentence in metrics["card"]]


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
