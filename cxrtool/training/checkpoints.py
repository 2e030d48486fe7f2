"""Checkpoints of a run in progress.

In: a state of tensors, numbers, strings and containers of them. Out: `checkpoints/latest.pt` and
the one before it, `previous.pt`. A kill at any moment leaves at least one
that is whole: the new file is complete under a temporary name before the older one moves over.
Nothing is unpickled (`weights_only=True`). Every byte is checked on loading (torch itself checks no
checksum), and a damaged checkpoint falls back to the one before.
"""

import contextlib
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from cxrtool.core import console
from cxrtool.core.errors import InputError, sentence_of
from cxrtool.core.runs import Run

FORMAT = 2  # 2: the best networks of a fit are one list
FOLDER = "checkpoints"
NAMES = ("latest.pt", "previous.pt")  # the newest first
BEFORE_DECAY = "before-decay.pt"  # from which a longer training goes on as if it had been one


def save_checkpoint(run: Run, state: dict[str, Any], nimg: int, name: str = NAMES[0]) -> None:
    """Write the state as `checkpoints/latest.pt`; the one that was there becomes `previous.pt`.

    Args:
        run: The run in progress.
        state: What is needed to go on, of types that `torch.load(weights_only=True)` accepts.
        nimg: Images seen so far.
        name: Of the file; another one stands apart.

    Raises:
        OSError: no space or no permission; the last good checkpoint stays.
    """
    if run.helps:
        return
    content = {"format": FORMAT, "fingerprint": run.fingerprint, "nimg": int(nimg), "state": state}
    # Not straight into the file: torch's own error for a full disk says nothing of a disk.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with run.atomic(f"{FOLDER}/{name}") as temporary:
        temporary.write_bytes(buffer.getbuffer())
        if name == NAMES[0]:
            _rotate(temporary.parent)


def adopt_checkpoint(run: Run, other: Path) -> str | None:
    """Begin with a checkpoint of another, finished run, unless this one has its own.

    Args:
        run: The run in progress.
        other: Folder of the other run.

    Returns:
        Name of the checkpoint that was taken, or None.

    Raises:
        InputError: The other run has none that is whole.
    """
    if any((run.shared / FOLDER / name).exists() for name in NAMES):
        return None
    hint = "its checkpoints/ are needed; where they are gone, --init-from starts from its weights"
    for name in (BEFORE_DECAY, *NAMES):
        if (other / FOLDER / name).exists():
            try:
                content = _read(other / FOLDER / name)
            except (OSError, ValueError, KeyError, RuntimeError, EOFError) as error:
                raise InputError(str(error), file=other / FOLDER / name, hint=hint) from error
            save_checkpoint(run, content["state"], content["nimg"])
            return name
    raise InputError("no checkpoint to go on from", file=other / FOLDER, hint=hint)


def load_checkpoint(run: Run) -> dict[str, Any] | None:
    """The newest whole checkpoint's state with `nimg` added, on the CPU; None if there is none.

    A checkpoint that is damaged, or that other options have written, is named in a warning and
    passed over.
    """
    for path in (run.shared / FOLDER / name for name in NAMES):
        if not path.exists():
            continue
        try:
            content = _read(path)
            if content["fingerprint"] != run.fingerprint:
                raise ValueError("written with other options")
            return {**content["state"], "nimg": content["nimg"]}
        except Exception as error:  # whatever the file holds
            console.warn(
                f"checkpoint {path} is not usable ({sentence_of(error)}); trying the one before"
            )
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"damaged at {damaged}")
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, pickle.UnpicklingError) as error:
        raise ValueError(sentence_of(error)) from error
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']}, this version writes {FORMAT}")
    return content


def _rotate(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # the first one
        os.replace(folder / NAMES[0], folder / NAMES[1])
