"""One spelling for views, sexes, ages and splits, whatever the source calls them.

In: columns of strings. Out: columns of strings. Only the distinct values are looked at, so that a
quarter of a million rows take milliseconds.
"""

import functools
import re
from collections.abc import Callable, Mapping

import pandas as pd

from cxrtool.data.columns import each_value

_MISSING = frozenset({"", "NAN", "NONE", "UNK", "UNKNOWN", "N/A", "NULL"})

#: DICOM defined terms and what public tables write instead (PS3.3 C.8.11.5, View Position).
_VIEWS = {
    "PA": ("POSTEROANTERIOR", "POSTERO-ANTERIOR", "POSTERIOR-ANTERIOR"),
    "AP": (
        "ANTEROPOSTERIOR", "ANTERO-POSTERIOR", "ANTERIOR-POSTERIOR", "AP SUPINE", "AP ERECT",
        "AP_HORIZONTAL", "AP HORIZONTAL", "PORTABLE",
    ),
    "LL": ("LEFT LATERAL",),
    "RL": ("RIGHT LATERAL",),
    "LATERAL": ("LAT", "L", "LARGE LATERAL", "XTABLE LATERAL"),
    "OBLIQUE": ("OBLICUA",),
}  # fmt: skip
_SEXES = {"MALE": "M", "FEMALE": "F", "OTHER": "O", "MAN": "M", "WOMAN": "F", "W": "F"}
#: What `sexes` says of those that it knows.
SEXES = frozenset(_SEXES.values())
_SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validate", "validation", "dev"),
    "test": ("test", "testing"),
    "": ("",),
}
_DICOM_AGE = re.compile(r"(\d{1,4})\s*(?:([DWM])|Y|YRS?|YEARS?|YO|Y/O)")
_YEARS = {None: 1.0, "M": 12.0, "W": 52.1775, "D": 365.25}


def _name_of(spelling: str, names: Mapping[str, tuple[str, ...]]) -> str | None:
    return next((name for name, spellings in names.items() if spelling in spellings), None)


def _of_column(rename: Callable[[str], str]) -> Callable[[pd.Series], pd.Series]:
    """A function of one cell as one of a column, which looks at each distinct value once."""

    @functools.wraps(rename)
    def convert(column: pd.Series) -> pd.Series:
        return each_value(column, rename)

    return convert


@_of_column
def views(value: str) -> str:
    """Views as ``PA``, ``AP``, ``LL``, ``RL``, ``LATERAL``, ``FRONTAL``, ``OBLIQUE``; "" = unknown.

    A projection without such a name stays as it is, in capitals (``COSTAL``, ``AP LLD``).
    """
    name = " ".join(value.upper().split())
    return "" if name in _MISSING else _name_of(name, _VIEWS) or name


@_of_column
def sexes(value: str) -> str:
    """Sexes as ``M``, ``F``, ``O``; "" = unknown."""
    name = value.strip().upper()
    return "" if name in _MISSING else _SEXES.get(name, name)


@_of_column
def ages(value: str) -> str:
    """Ages in years; DICOM age strings (``058Y``, ``013M``) become full years."""
    name = value.strip().upper()
    match = _DICOM_AGE.fullmatch(name)
    years = str(int(int(match[1]) / _YEARS[match[2]])) if match else value.strip()
    return "" if name in _MISSING else years


def split_name(value: str) -> str | None:
    """``train``, ``val``, ``test`` or blank for what sources write; None = no name of a split."""
    return _name_of(value.strip().lower(), _SPLITS)
