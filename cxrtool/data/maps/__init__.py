"""Name maps: data files that say which label of a source is which label of ours.

In: a TOML file with a table ``[labels]``, old name = new name. Out: a dictionary, and `canonical`,
the common spelling of a label. Several old names may go to one new name; their cells are then
joined by 1 > -1 > 0 > blank, as reports are aggregated (Irvin et al. 2019).
"""

import functools
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from cxrtool.core.errors import InputError, UsageError
from cxrtool.core.reading import read_text

SYNONYMS = "synonyms"


def builtin_names() -> tuple[str, ...]:
    """Names of the maps that come with the package."""
    files = resources.files(__package__).iterdir()
    return tuple(sorted(f.name[:-5] for f in files if f.name.endswith(".toml")))


@functools.cache
def builtin(name: str) -> dict[str, str]:
    """A map that comes with the package; empty where there is none of this name."""
    file = resources.files(__package__) / f"{name}.toml"
    return dict(tomllib.loads(file.read_text("utf-8"))["labels"]) if file.is_file() else {}


def load_map(name: str) -> dict[str, str]:
    """A map by the name of a built-in one or by the path of a file.

    Raises:
        UsageError: Neither a built-in map nor a file.
        InputError: The file is no TOML with a table ``[labels]`` of texts.
    """
    if name in builtin_names():
        return builtin(name)
    path = Path(name)
    if not path.is_file():
        what = f"--map-labels {name}: neither a file nor a built-in map"
        raise UsageError(what, hint="built in: " + ", ".join(builtin_names()))
    labels = read_toml(path).get("labels")
    if not isinstance(labels, dict) or not all(isinstance(v, str) and v for v in labels.values()):
        hint = 'such as:  [labels]  "Effusion" = "Pleural Effusion"'
        raise InputError("has no table [labels] of texts", file=path, hint=hint)
    return dict(labels)


def applied(names: Mapping[str, str], labels: Iterable[str]) -> dict[str, str]:
    """The part of a map that concerns some labels, whatever their case, ``_`` and ``-``.

    Args:
        names: A map, old name -> new name.
        labels: Labels as they are spelled.

    Returns:
        Label -> new name. An exact spelling counts before others.
    """
    plain = {_plain(old): new for old, new in list(names.items())[::-1]}
    wanted = {label: names.get(label, plain.get(_plain(label))) for label in labels}
    return {label: new for label, new in wanted.items() if new is not None}


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file of a user.

    Raises:
        InputError: It cannot be read, or is none.
    """
    try:
        return tomllib.loads(read_text(path, once=True))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not a TOML file: {error}", file=path) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None


def _plain(label: str) -> str:
    return " ".join(label.replace("_", " ").replace("-", " ").casefold().split())


@functools.cache
def _synonyms() -> dict[str, str]:
    names = builtin(SYNONYMS)
    by_new = {_plain(new): new for new in names.values()}
    return {_plain(old): new for old, new in names.items()} | by_new


def is_observation(label: str) -> bool:
    """Whether a name is one of the observations of public data sets, in any spelling."""
    return _plain(label) in _synonyms()


def canonical(label: str) -> str:
    """The common spelling of a label, ``Effusion`` and ``pleural_effusion`` alike.

    Labels that are in no map keep their own spelling.
    """
    return _synonyms().get(_plain(label), label)
