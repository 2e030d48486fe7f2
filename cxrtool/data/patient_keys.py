"""Keys of patients: ids that can be compared without being shown.

In: patient ids, the namespace they belong to, and perhaps the secret of ``--id-key``. Out: the
first of the leak guard's two keys (`cxrtool.data.keys`).
"""

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from cxrtool.core.errors import InputError

_HEX = 16


def patient_keys(
    patients: Iterable[str], namespace: str, secret: bytes | None = None
) -> np.ndarray:
    """Keys of patients: the first 16 hex digits of HMAC-SHA-256 (64 bits).

    Args:
        patients: Patient ids; a blank one gets a blank key.
        namespace: Whose ids these are; also the HMAC key where there is no secret, so that two
            preparations of one data set agree.
        secret: Content of ``--id-key``: without it nobody can test a guessed id against the keys.

    Returns:
        Object array [N] of `str`.
    """
    codes, unique = pd.factorize(np.asarray(list(patients), dtype=object))
    start = hmac.new(secret or namespace.encode("utf-8"), digestmod=hashlib.sha256)
    start.update(namespace.encode("utf-8") + b"\0")
    keys = np.empty(len(unique), dtype=object)
    for index, patient in enumerate(unique):
        if patient == "":
            keys[index] = ""
            continue
        code = start.copy()
        code.update(str(patient).encode("utf-8"))
        keys[index] = code.hexdigest()[:_HEX]
    return np.asarray(keys[codes])


def keyed_namespace(namespace: str, secret: bytes | None) -> str:
    """The namespace under a secret: keys made with different secrets must never be compared."""
    if secret is None:
        return namespace
    return f"{namespace}+{hashlib.sha256(b'cxr id-key' + secret).hexdigest()[:8]}"


def read_secret(path: Path) -> bytes:
    """The content of an ``--id-key`` file without white space at its ends.

    Raises:
        InputError: It cannot be read or holds less than 16 bytes.
    """
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=path) from None
    if len(secret) < 16:
        hint = "make one with: head -c 32 /dev/urandom | base64 > FILE"
        raise InputError("the key has fewer than 16 bytes", file=path, hint=hint)
    return secret
