"""Edits by a flow: against a velocity whose answer is known, and what must not matter."""

import pytest
import torch
from torch import Tensor

from cxrtool.editing.flow_method import FlowEditor, Shown
from cxrtool.editing.targets import Part, Target
from cxrtool.generators.flow.edits import START, edited, side_of, where_it_acts
from cxrtool.training.protocols import LabelChange

SIZE = 16


def pattern() -> Tensor:
    """Where the label of `velocity` acts: a square in the middle, on both sides."""
    there = torch.zeros(1, SIZE, SIZE)
    there[:, 6:12, 3:13] = 1.0
    return there


def velocity(x: Tensor, t: Tensor, y: Tensor, known: Tensor) -> Tensor:
    """The first label brightens the pattern by one gray unit from noise to image."""
    return -(y * known)[:, 0, None, None, None] * pattern() + 0.0 * x


def shown(n: int = 3, first: int = 0) -> Shown:
    images = torch.linspace(-0.5, 0.0, 8 * SIZE * SIZE).view(8, 1, SIZE, SIZE)[first : first + n]
    return Shown(images, torch.zeros(n, 2), torch.ones(n, 2), list(range(first, first + n)))


def change(strength: float = 1.0, side: str | None = None, n: int = 3) -> LabelChange:
    after = torch.zeros(n, 2)
    after[:, 0] = 1.0
    return LabelChange(torch.zeros(n, 2), after, torch.ones(n, 2), strength, side)


def run(start: Shown, asked: LabelChange) -> Tensor:
    return edited(velocity, start.images, asked, start.noise, lambda: None)


@pytest.mark.parametrize("strength", [0.0, 0.4, 0.7, 1.0])
def test_an_edit_goes_as_far_as_velocity_strength_and_time_say(strength: float) -> None:
    start, asked = shown(), change(strength)
    place = where_it_acts(velocity, start.images, asked, start.noise, lambda: None)
    moved = run(start, asked) - start.images
    torch.testing.assert_close(moved, strength * START * place * pattern())
    assert float(place[:, :, 8:10, 5:11].min()) == 1.0  # inside of where the label acts
    assert float(place[:, :, :4].max()) == 0.0  # far from it


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_other_side_stays_to_the_bit(side: str) -> None:
    start = shown()
    moved = run(start, change(1.0, side)) - start.images
    own = slice(SIZE // 2 + 1, None) if side == "left" else slice(0, SIZE // 2 - 1)
    other = slice(0, SIZE // 2 - 1) if side == "left" else slice(SIZE // 2 + 1, None)
    assert float(moved[..., other].abs().max()) == 0.0
    assert float(moved[..., own].max()) > 0.5


def test_sides_make_up_the_picture() -> None:
    torch.testing.assert_close(side_of("left", 33) + side_of("right", 33), side_of(None, 33))


def test_an_image_is_edited_alike_whatever_stands_beside_it() -> None:
    together = run(shown(3), change(n=3))
    alone = torch.cat([run(shown(1, k), change(n=1)) for k in range(3)])
    torch.testing.assert_close(together, alone)


class Flow:
    """A generator of two labels with the velocity above."""

    labels: tuple[str, ...] = ("Edema", "No Finding")
    size, z_dim, channels = SIZE, SIZE * SIZE, 1

    def generate(self, z: Tensor, y: Tensor, truncation: float = 1.0, noise: str = "") -> Tensor:
        raise NotImplementedError

    def edited(self, x: Tensor, change: LabelChange, noise: object, on_step: object) -> Tensor:
        return edited(velocity, x, change, noise, on_step)  # type: ignore[arg-type]


def editor(*parts: Part, single: bool = False) -> FlowEditor:
    others = {"Edema": ["No Finding"]}
    return FlowEditor(Flow(), single, Target("asked", parts), others, lambda: None)


@pytest.mark.parametrize(
    ("sign", "known", "before", "after", "told"),
    [
        ("+", 1.0, [0.0, 0.0], [1.0, 0.0], [1.0, 1.0]),
        ("-", 1.0, [1.0, 0.0], [0.0, 0.0], [1.0, 1.0]),
        ("+", 0.0, [0.0, 0.0], [1.0, 0.0], [1.0, 0.0]),  # of an image that nobody has read
    ],
)
def test_labels_before_and_after(
    sign: str, known: float, before: list[float], after: list[float], told: list[float]
) -> None:
    part = Part("edema", sign, ("Edema",))
    y = torch.tensor([[0.0, 0.0]])
    got = editor(part).labels(part, y, torch.full((1, 2), known))
    assert [row.tolist() for row in got] == [[before], [after], [told]]


def test_no_finding_goes_where_a_finding_comes_and_a_single_label_replaces_the_others() -> None:
    part, healthy = Part("edema", "+", ("Edema",)), torch.tensor([[0.0, 1.0]])
    for single in (False, True):
        _, after, _ = editor(part, single=single).labels(part, healthy, torch.ones(1, 2))
        assert after.tolist() == [[1.0, 0.0]]
    away = Part("edema", "-", ("Edema",))
    _, _, told = editor(away, single=True).labels(
        away, torch.tensor([[1.0, 0.0]]), torch.ones(1, 2)
    )
    assert told.tolist() == [[1.0, 0.0]]  # something else is there, and nobody says what


def test_severity_is_a_share_of_the_strength_and_signs_undo_each_other() -> None:
    way = {}
    for severity in ("mild", None, "moderate", "severe"):
        part = Part("edema", "+", ("Edema",), severity=severity)
        way[severity] = float(editor(part).edit(shown(), 0.5)[1]["way"].mean())
    assert way["mild"] < way["moderate"] < way["severe"]
    assert way[None] == way["moderate"]
    there, back = (Part("edema", sign, ("Edema",)) for sign in "+-")
    images, _ = editor(there, back).edit(shown(), 0.5)
    torch.testing.assert_close(images, shown().images)
