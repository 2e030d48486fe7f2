"""Choosing and preparing the device that a stage computes on.

In: `--device` and `--threads` as typed. Out: a `torch.device`, with the process set up so that the
same build and the same number of threads give the same bits on the CPU, and with TF32 on for CUDA.
"""

import contextlib
import ctypes
import os
import sys

import torch

from cxrtool.core import console, progress
from cxrtool.core.cores import Share, available_cores, free_cores
from cxrtool.core.errors import UsageError


def setup(device: str = "auto", threads: int | None = None) -> torch.device:
    """Prepare torch for one stage.

    Args:
        device: "auto" (CUDA where there is one, else the CPU), "cpu", "cuda" or "cuda:i".
        threads: CPU threads, which sets the order of sums and so the last bits of results; None
            means OMP_NUM_THREADS where that is set, else as many as there are free cores, fewer
            while others need them (`core.cores`).

    Returns:
        The device, with its index if it is CUDA.

    Raises:
        UsageError: unknown name, no such device, or fewer than one thread.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"--threads {threads}: must be at least 1")
    place = parse(device)
    _take_threads(threads or _threads_of_environment())
    if place.type == "cuda":
        torch.cuda.set_device(place)
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
        torch.use_deterministic_algorithms(False)
    else:
        torch.use_deterministic_algorithms(True)
        # Filling fresh memory finds reads of uninitialized tensors; it costs time and changes no
        # result.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        _keep_freed_memory()
    return place


def _threads_of_environment() -> int | None:
    """``OMP_NUM_THREADS``, of which only the first level counts here."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def _take_threads(given: int | None) -> None:
    if given is not None:
        progress.watch_progress(None)
        torch.set_num_threads(given)
        return
    cores, share = available_cores(), Share(free_cores())
    torch.set_num_threads(share.threads)
    if share.threads < cores:
        console.say(f"{_threads(share.threads)}: other work keeps the rest of {cores} cores busy")

    def look() -> None:
        before, now = share.threads, share.look()
        if now is not None:
            torch.set_num_threads(now)
            why = "other work needs cores" if now < before else "cores are free again"
            console.say(f"{_threads(now)} from here on: {why}")

    progress.watch_progress(look if cores > 1 else None)


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"


def _keep_freed_memory() -> None:
    """Let glibc keep freed blocks instead of returning them to the system.

    Feature maps of tens of megabytes come and go in every step, and each would otherwise be mapped,
    cleared page by page and unmapped: half of the time of element-wise operators. The process holds
    its peak until it ends. Other C libraries are left as they are.
    """
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(None)
            library.mallopt(trim_threshold, 2**31 - 1)
            library.mallopt(mmap_max, 0)


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether convolutions in bfloat16 are faster than in float32.

    So they are on CUDA devices that compute in it, and on processors with instructions for it:
    matrix units (AMX, Intel's Xeons since 2023) or dot products (AVX512-BF16, AMD since Zen 4). All
    other processors emulate it, and are slower so. A run that goes on elsewhere keeps what it began
    with.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = getattr(torch.cpu, "get_capabilities", None)  # not in older releases
    if device.type != "cpu" or capabilities is None:
        return False
    able = capabilities()
    return any(able.get(name) for name in ("amx_bf16", "avx512_bf16"))


def parse(device: str) -> torch.device:
    """The device of a name, see `setup`; nothing is prepared.

    Raises:
        UsageError: unknown name or no such device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = device.partition(":")
    if kind == "cpu" and not index:
        return torch.device("cpu")
    if kind != "cuda" or (":" in device and not index.isdecimal()):
        raise UsageError(f"--device {device}: must be auto, cpu, cuda or cuda:i")
    if not torch.cuda.is_available():
        what = f"--device {device}: no CUDA device is usable here"
        raise UsageError(what, hint="use --device cpu")
    number = int(index or 0)
    if number >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UsageError(f"--device {device}: there are {count} CUDA devices, numbered from 0")
    return torch.device("cuda", number)


def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A CPU tensor on the device; to CUDA by way of pinned memory, so that nobody waits."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory held so far: by tensors on a CUDA device, or by this process on the CPU.

    0 where the system does not say.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024
