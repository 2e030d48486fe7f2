"""Packages that some options need, and how to get them however this one was installed.

This package is on no index, so that ``pip install cxrtool[dicom]`` finds nothing; the packages that
its metadata names for an extra are.
"""

import re
import shlex
from importlib import metadata

_EXTRA = re.compile(r"""\s*;\s*extra\s*==\s*["']([\w.-]+)["']\s*$""")


def install_hint(extra: str) -> str:
    """The command that installs what an extra of ``pyproject.toml`` stands for."""
    try:
        requirements = metadata.requires("cxrtool") or []
    except metadata.PackageNotFoundError:
        requirements = []
    needed = [
        _EXTRA.sub("", text)
        for text in requirements
        if (match := _EXTRA.search(text)) and match[1] == extra
    ]
    # A checkout that is on the path and was never installed knows itself by its folder alone.
    return "pip install " + (shlex.join(needed) if needed else shlex.quote(f".[{extra}]"))
