"""How many cores there are to work on."""

import os


def available_cores() -> int:
    """Cores that this process may run on (its affinity, not the machine's total)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
