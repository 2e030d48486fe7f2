"""Guidance as people write it: what is read, and what is refused with a next step."""

import pytest

from cxrtool.core.errors import UsageError
from cxrtool.training.guidance import parse_weights, refuse_unread_guidance, weights_of


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("Edema=3", {"Edema": 3.0}),
        (" Edema = 3 , Pleural Other=0.5", {"Edema": 3.0, "Pleural Other": 0.5}),
        ("a=b=2", {"a=b": 2.0}),
        ("Edema=0", {"Edema": 0.0}),
    ],
)
def test_weights_are_read(text: str, weights: dict[str, float]) -> None:
    assert parse_weights(text) == weights


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("3", "no label is named"),
        ("", "no label is named"),
        ("Edema=3,2", "'2' is not of the form NAME=VALUE"),
        ("Edema=", "not of the form"),
        ("Edema=x", "'x' of 'Edema' is no number of 0 or more"),
        ("Edema=-1", "no number of 0 or more"),
        ("Edema=inf", "no number of 0 or more"),
        ("Edema=nan", "no number of 0 or more"),
        ("Edema=3,Edema=2", "given twice"),
    ],
)
def test_what_is_no_weight_is_refused(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        parse_weights(text)
    with pytest.raises(UsageError, match=reason):
        refuse_unread_guidance(False, text, None)


@pytest.mark.parametrize(
    ("labels", "hint"), [(("Edema", "Mass"), "Edema, Mass"), ((), "no labels")]
)
def test_an_unknown_label_is_refused_with_the_names(labels: tuple[str, ...], hint: str) -> None:
    with pytest.raises(UsageError, match="gan does not know the label 'Edma'") as caught:
        weights_of("Edma=2", labels, "gan")
    assert hint in str(caught.value.hint)


def test_an_interval_needs_guidance() -> None:
    with pytest.raises(UsageError, match="only with --guidance or --label-guidance"):
        refuse_unread_guidance(False, None, "0.1:0.7")
    refuse_unread_guidance(True, None, "0.1:0.7")
    refuse_unread_guidance(False, "Edema=2", "0.1:0.7")
