"""One spelling for views, sexes, ages and splits, whatever the source calls them.

In: columns of strings. Out: columns of strings. Only the distinct values are looked at, so that a
quarter of a million rows take milliseconds.
"""

import re
from collections.abc import Callable

import pandas as pd

_MISSING = frozenset({"", "NAN", "NONE", "UNK", "UNKNOWN", "N/A", "NULL"})

#: DICOM defined terms and what public tables write instead (PS3.3 C.8.11.5, View Position).
_VIEWS = {
    "POSTEROANTERIOR": "PA",
    "POSTERO-ANTERIOR": "PA",
    "POSTERIOR-ANTERIOR": "PA",
    "ANTEROPOSTERIOR": "AP",
    "ANTERO-POSTERIOR": "AP",
    "ANTERIOR-POSTERIOR": "AP",
    "AP SUPINE": "AP",
    "AP ERECT": "AP",
    "AP_HORIZONTAL": "AP",
    "AP HORIZONTAL": "AP",
    "PORTABLE": "AP",
    "LEFT LATERAL": "LL",
    "RIGHT LATERAL": "RL",
    "LAT": "LATERAL",
    "L": "LATERAL",
    "LARGE LATERAL": "LATERAL",
    "XTABLE LATERAL": "LATERAL",
    "OBLICUA": "OBLIQUE",
}

_SEXES = {"MALE": "M", "FEMALE": "F", "OTHER": "O"}

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "": "",
}

_DICOM_AGE = re.compile(r"(\d{1,4})([DWMY])")
_YEARS = {"Y": 1.0, "M": 12.0, "W": 52.1775, "D": 365.25}


def _by_value(column: pd.Series, rename: Callable[[str], str]) -> pd.Series:
    return column.map({value: rename(value) for value in column.unique()}).astype(str)


def _view(value: str) -> str:
    name = " ".join(value.upper().split())
    return "" if name in _MISSING else _VIEWS.get(name, name)


def _sex(value: str) -> str:
    name = value.strip().upper()
    return "" if name in _MISSING else _SEXES.get(name, name)


def _age(value: str) -> str:
    name = value.strip().upper()
    if name in _MISSING:
        return ""
    match = _DICOM_AGE.fullmatch(name)
    return str(int(int(match[1]) / _YEARS[match[2]])) if match else value.strip()


def views(column: pd.Series) -> pd.Series:
    """Views as ``PA``, ``AP``, ``LL``, ``RL``, ``LATERAL``, ``FRONTAL``, ``OBLIQUE``; "" = unknown.

    A projection without such a name stays as it is, in capitals (``COSTAL``, ``AP LLD``).
    """
    return _by_value(column, _view)


def sexes(column: pd.Series) -> pd.Series:
    """Sexes as ``M``, ``F``, ``O``; "" = unknown."""
    return _by_value(column, _sex)


def ages(column: pd.Series) -> pd.Series:
    """Ages in years; DICOM age strings (``058Y``, ``013M``) become full years."""
    return _by_value(column, _age)


def split_name(value: str) -> str | None:
    """``train``, ``val``, ``test`` or blank for what sources write; None = no name of a split."""
    return _SPLITS.get(value.strip().lower())
