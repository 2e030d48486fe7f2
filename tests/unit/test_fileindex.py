"""`FileIndex`: packed, but a dictionary all the same."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from cxrtool.core.files import FileIndex

NAMES = st.sampled_from(["a", "images/a", "images/b.png", "images/0/a", "images/0/ü 1.png"])


@given(st.lists(st.tuples(NAMES, st.integers(0, 10**9), st.sampled_from(["aa", "0f" * 32]))))
def test_it_is_a_dictionary(entries: list[tuple[str, int, str]]) -> None:
    index, expected = FileIndex(), {}
    for name, size, sha256 in entries:
        index.add(name, size, sha256)
        expected[name] = (size, sha256)
        assert index.get(name) == expected[name]
    for name in ("a", "images/a", "images/b.png", "images/0/a", "images/0/ü 1.png", "images"):
        assert index.get(name) == expected.get(name)


def test_threads_lose_nothing_and_memory_is_that_of_the_text() -> None:
    index, names = FileIndex(), [f"images/{i // 1000:05d}/{i:08d}.png" for i in range(4000)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda item: index.add(item[1], item[0], "ab" * 32), enumerate(names)))
    assert [index.get(name) for name in names] == [(i, "ab" * 32) for i in range(4000)]
    assert sum(map(sys.getsizeof, index._folders.values())) < 110 * len(names)
