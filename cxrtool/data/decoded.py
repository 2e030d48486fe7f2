"""Pixels of images as they lie on disk, in their order, decoded over all cores.

In: files, and the form of a data set (size, fit, bits). Out: for each what `prepare` would have
made of it, or why it cannot be used. While the caller works on some images the next ones are
decoded: by processes, or, where all of it takes less time than to start them, by a thread (decoders
release the interpreter's lock). Memory does not grow with their number. Imports no pandas, so that
workers start quickly.
"""

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cxrtool.core.cores import available_cores
from cxrtool.core.errors import InputError
from cxrtool.data import images, pool
from cxrtool.data.sources.dicom_pixels import DicomOpener

#: What worker processes import before their first image.
PRELOAD = ("cxrtool.data.decoded", "threadpoolctl")
#: Images a chunk: as many as keep the workers busy while a network reads a block.
_CHUNK = 16
#: Chunks that a thread is ahead of the caller.
_AHEAD = 8
#: Seconds of decoding that a pool, which takes about as long to start, would not shorten.
_POOL_SECONDS = 2.0


class Source(NamedTuple):
    """An image on disk.

    Attributes:
        path: The file.
        dicom: It is read as DICOM.
        bits: Bits of a 16-bit file where a table tells them; 0 = as `Form.bits`.
    """

    path: Path
    dicom: bool
    bits: int = 0


@dataclass(frozen=True)
class Form:
    """What all images are brought to.

    Attributes:
        size: Side in pixels.
        fit: ``crop``, ``pad`` or ``stretch``.
        bits: Bits of 16-bit files; None = as each looks by itself.
        dicom_bits: Bits of DICOM values where no window says what to show; 0 = BitsStored.
    """

    size: int
    fit: str
    bits: int | None = None
    dicom_bits: int = 0


def decode(form: Form, source: Source) -> images.Converted:
    """One image as `prepare` would store it.

    Raises:
        InputError: It cannot be read; names the file.
    """
    path, bits = source.path, source.bits or form.bits
    if source.dicom:
        pixels = DicomOpener(path.parent, form.dicom_bits)(path.name)
        return images.convert(pixels, form.size, form.fit)
    return images.convert(path, form.size, form.fit, bits)


def decode_all(
    form: Form,
    sources: Sequence[Source],
    *,
    workers: int,
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[images.Converted | InputError]:
    """Each image, or why it cannot be used, in the order given.

    Args:
        form: What they are brought to.
        sources: Where they lie.
        workers: Processes; 0 = one a core.
        stopping: When true, no new chunk is begun.

    Raises:
        CxrError: A worker died.
    """
    seconds = []
    for source in sources[:_CHUNK]:
        if stopping():
            return
        began = time.perf_counter()
        result = _result(form, source)
        seconds.append(time.perf_counter() - began)
        yield result
    rest = sources[_CHUNK:]
    if not rest:
        return
    chunks = [rest[at : at + _CHUNK] for at in range(0, len(rest), _CHUNK)]
    number = min(workers or available_cores(), len(chunks))
    soon = statistics.median(seconds) * len(rest) < _POOL_SECONDS  # the first alone is slow
    if number > 1 and soon and not any(source.dicom for source in sources):
        yield from _by_a_thread(form, chunks, stopping)
        return
    work = pool.map_chunks(
        _decode_chunk,
        form,
        chunks,
        workers=number,
        stopping=stopping,
        preload=PRELOAD,
        ordered=True,
    )
    try:
        for _, results in work:
            yield from results
    finally:
        work.close()


def _by_a_thread(
    form: Form, chunks: Sequence[Sequence[Source]], stopping: Callable[[], bool]
) -> Iterator[images.Converted | InputError]:
    left, ahead = iter(chunks), deque[Future[list[images.Converted | InputError]]]()
    with ThreadPoolExecutor(1) as thread:
        try:
            while True:
                while len(ahead) < _AHEAD and not stopping() and (chunk := next(left, None)):
                    ahead.append(thread.submit(_decode_chunk, form, chunk))
                if not ahead:
                    return
                yield from ahead.popleft().result()
        finally:
            thread.shutdown(cancel_futures=True)


def _decode_chunk(form: Form, chunk: Sequence[Source]) -> list[images.Converted | InputError]:
    """What a worker does."""
    return [_result(form, source) for source in chunk]


def _result(form: Form, source: Source) -> images.Converted | InputError:
    """An error is a result, since the others go on."""
    try:
        return decode(form, source)
    except InputError as error:
        return error
