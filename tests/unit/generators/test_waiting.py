"""No step waits for the device: nothing is read back from it, nothing is sent to it in a hurry."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from cxrtool.generators import feed as feeds
from cxrtool.generators.augment import POLICIES
from cxrtool.generators.feed import Feed
from cxrtool.generators.stylegan2.choices import Choices
from tests.unit.generators.conftest import micro, micro_choices
from tests.unit.generators.elsewhere import Transfers, trainer_elsewhere

STEPS = 7  # both regularizers, an update of ADA's p, and the next epoch


def everything(**changes: object) -> Choices:
    """Every term and every augmentation at once."""
    values = {"arch": micro(noise=True), "augment": POLICIES, "mirror": True, "augment_p": None}
    return micro_choices(**{**values, **changes})


@pytest.mark.parametrize(
    "changes",
    [{}, {"loss": "rp-r1r2"}, {"parts": 2, "path_weight": 0.0, "augment_p": 0.5}],
    ids=["ns-r1", "rp-r1r2", "parts"],
)
def test_steps_run_without_the_host(feed: Feed, changes: dict[str, object]) -> None:
    with trainer_elsewhere(everything(**changes), feed) as trainer, Transfers() as transfers:
        for _ in range(STEPS):
            trainer.step()
    assert trainer.nimg > len(feed)
    assert transfers.found == []


def test_a_hurried_copy_would_be_seen(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "sent", lambda values, device: values.to(device))
    with trainer_elsewhere(everything(), feed) as trainer, Transfers() as transfers:
        trainer.step()
    assert transfers.found == ["_to_copy cpu -> meta"]


@pytest.mark.parametrize("read", [torch.Tensor.item, bool, torch.nonzero], ids=lambda f: f.__name__)
def test_a_number_read_back_would_be_seen(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, read: Callable[[torch.Tensor], object]
) -> None:
    with trainer_elsewhere(everything(), feed) as trainer:
        add = trainer.means.add

        def reading(**values: torch.Tensor) -> None:
            add(**values)
            for value in values.values():
                read(value.detach().mean() > 0)

        monkeypatch.setattr(trainer.means, "add", reading)
        with pytest.raises((RuntimeError, NotImplementedError)):
            trainer.step()
