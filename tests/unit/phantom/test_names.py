"""The simulator lies below the data sets and names its findings itself: by the same names."""

from cxrtool.data.labels import CHEXPERT
from cxrtool.phantom.params import LABELS


def test_the_simulator_has_the_observations_of_chexpert() -> None:
    assert LABELS == CHEXPERT
