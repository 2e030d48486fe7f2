"""Seeds from names and counters, by hash.

Planning must start quickly and runs on machines without torch's three seconds of import, so this
is apart from ``training.rng``. Every draw is a function of (seed, name, counter) alone: no draw
depends on what another class, shard or process did.
"""

from __future__ import annotations

import hashlib


def derive(*parts: str | int) -> int:
    """A seed in [0, 2^63) that is fixed by its parts, on any machine and version.

    Each part is written with its kind and length, so that ("a", "bc") and ("ab", "c"), or 1 and
    "1", give unrelated seeds.
    """
    digest = hashlib.sha256()
    for part in parts:
        text = str(part)
        kind = "s" if isinstance(part, str) else "i"
        digest.update(f"{kind}{len(text.encode())}:{text}".encode())
    return int.from_bytes(digest.digest()[:8], "little") >> 1
