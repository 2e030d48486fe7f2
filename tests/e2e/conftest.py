"""The chain of finished runs that end-to-end tests share."""

from __future__ import annotations

import pytest

from tests.e2e.chain import Chain
from tests.e2e.distributions import Distributions


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """All stages at their smallest, made on demand."""
    return Chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The sdist and the wheel."""
    return Distributions.make(tmp_path_factory.mktemp("distributions"))
