"""Weights of others: what is known, and what is not, of the images that they were trained on.

In: the name or the file of weights that came without keys (`cxrtool.data.keys.Seen`). Out: how they
are called in ``seen.json`` and on pages, and whether a data set is of the source that they were
trained on.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from cxrtool.core.reading import open_file, read_bytes
from cxrtool.data.schema import DatasetInfo

#: Sources by the beginning of their title in `DatasetInfo.source`, or by their namespace. RSNA's,
#: SIIM's and Google's images are of ChestX-ray14, as are those of MedMNIST.
_NIH = ("NIH ChestX-ray14", "RSNA", "SIIM", "MedMNIST chestmnist", "nih", "rsna", "siim")
_CHEXPERT, _MIMIC = ("CheXpert", "chexpert"), ("MIMIC-CXR", "mimic-cxr")
_PADCHEST, _OPENI = ("PadChest", "padchest"), ("Open-i", "openi")
#: What TorchXRayVision's weights were trained on, by the names of ``train-cls --weights`` (Cohen et
#: al., arXiv 2111.00595; "all" as the package describes it).
TRAINED_ON: dict[str, tuple[tuple[str, ...], ...]] = {
    "xrv-all": (_NIH, _PADCHEST, _CHEXPERT, _MIMIC, _OPENI),
    "xrv-nih": (_NIH,),
    "xrv-chex": (_CHEXPERT,),
    "xrv-mimic_ch": (_MIMIC,),
    "xrv-mimic_nb": (_MIMIC,),
    "xrv-pc": (_PADCHEST,),
    "xrv-rsna": (_NIH,),
}
_PREFIX = "weights "
HEADER_KEY = "seen"  # of the metadata of a safetensors file: SHA-256 of the seen.json beside it


def name_of_published(name: str) -> str:
    """Published weights as ``seen.json`` calls them."""
    return _PREFIX + name


def name_of_file(path: Path) -> str:
    """A file of weights as ``seen.json`` calls it: by content, never by its path."""
    digest = hashlib.sha256(read_bytes(path)).hexdigest()[:12]
    keys = digest_in_header(path)
    ours = f" (of a cxr network, without the seen.json {keys[:12]} that belongs to it)"
    return f"{_PREFIX}{digest}{ours if keys else ''}"


def titles(unknown: str) -> str:
    """Published weights with what they were trained on; anything else as it is."""
    sources = TRAINED_ON.get(unknown.removeprefix(_PREFIX))
    if not sources:
        return unknown
    return f"{unknown} (trained on {', '.join(names[0] for names in sources)})"


def of_its_source(unknown: str, info: DatasetInfo) -> str:
    """The title of the source that weights and a data set have in common, else ""."""
    namespace = info.namespace.partition("+")[0]
    for names in TRAINED_ON.get(unknown.removeprefix(_PREFIX), ()):
        if namespace in names or info.source.startswith(names):
            return names[0]
    return ""


def header_of(seen: Path) -> dict[str, str]:
    """What weights say of the ``seen.json`` beside them, wherever they are copied to."""
    return {HEADER_KEY: hashlib.sha256(read_bytes(seen)).hexdigest()}


def without_header(path: Path) -> bytes:
    """A safetensors file without what it says of itself: its tensors alone.

    The digest of keys is a key itself: who has a list of patients could try it against them.
    """
    content = read_bytes(path)
    length = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    if header.pop("__metadata__", None) is None:
        return content
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors are aligned
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def digest_in_header(path: Path) -> str:
    """What the header of a safetensors file says of the keys beside it, else ""."""
    try:
        with open_file(path) as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > path.stat().st_size:
                return ""
            header: Any = json.loads(stream.read(length))
        return str(header["__metadata__"][HEADER_KEY])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
