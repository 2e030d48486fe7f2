"""What networks of one package promise to the stages and packages that use them.

In: nothing. Out: structural types (`typing.Protocol`), so that `synthesize`, `edit`, the filters
and the evaluation take any generator, classifier or encoder without importing the package it lives
in.

Conventions: images are `float32 [N, C, H, W]` in [-1, 1]; label vectors `y` are `float32 [N, L]` in
{0, 1}, in the order of `labels`; every method runs without gradient bookkeeping of its own, so
callers choose (`torch.no_grad()` for sampling, plain calls for optimization through the network).
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Generator(Protocol):
    """Makes images from latent vectors and wanted labels.

    Attributes:
        labels: Names of the observations it is conditioned on; empty if unconditional.
        size: Height and width of its images, pixels.
        z_dim: Length of a latent vector.
        channels: Channels of its images (1 for radiographs).
    """

    labels: tuple[str, ...]
    size: int
    z_dim: int
    channels: int

    def generate(
        self, z: Tensor, y: Tensor, truncation: float = 1.0, noise: str = "const"
    ) -> Tensor:
        """Images for latents and labels; the same z and y always give the same images.

        Args:
            z: `[N, z_dim]` standard normal.
            y: `[N, L]` label values; `[N, 0]` for an unconditional generator.
            truncation: psi; 1 keeps the whole distribution, 0 gives the mean image of the
                condition.
            noise: "const" uses the stored noise images, "none" leaves noise out.

        Returns:
            `[N, channels, size, size]` float32 in [-1, 1].
        """


@runtime_checkable
class StyleGenerator(Generator, Protocol):
    """A generator with an intermediate latent space W, as StyleGAN has.

    Attributes:
        w_dim: Length of an intermediate latent vector.
        num_ws: How many of them one image takes (W+ has `num_ws * w_dim` numbers).
    """

    w_dim: int
    num_ws: int

    def mapping(self, z: Tensor, y: Tensor, truncation: float = 1.0) -> Tensor:
        """`[N, z_dim]` and `[N, L]` -> w `[N, num_ws, w_dim]`, truncated towards the mean of y."""

    def synthesis(self, w: Tensor, noise: str = "const") -> Tensor:
        """w `[N, num_ws, w_dim]` (W or W+) -> images `[N, channels, size, size]`, not clamped."""


Noise = Callable[[int], Tensor]
"""Number of a draw -> `[N, C, H, W]` standard normal, the same whenever it is asked."""


class LabelChange(NamedTuple):
    """Labels of N images before and after an edit.

    Attributes:
        before: `[N, L]` values.
        after: `[N, L]` values.
        known: `[N, L]` which of both are told, 1 or 0.
        strength: Weight of the difference; 1 for what the generator says of it.
        side: The patient's "left" or "right", to which the edit is kept; None for both.
    """

    before: Tensor
    after: Tensor
    known: Tensor
    strength: float
    side: str | None = None


@runtime_checkable
class LabelEditor(Generator, Protocol):
    """A generator that changes labels of images, its own or others."""

    def edited(
        self, x: Tensor, change: LabelChange, noise: Noise, on_step: Callable[[], None]
    ) -> Tensor:
        """Images after an edit.

        Args:
            x: `[N, channels, size, size]` in [-1, 1].
            change: What changes.
            noise: Laid over the images.
            on_step: Called before every call of the network; may raise to stop.

        Returns:
            `[N, channels, size, size]` in [-1, 1].
        """


class Partial(NamedTuple):
    """A synthesis network stopped between two layers.

    Attributes:
        features: `[N, C, H, W]`, input of the next convolution.
        image: `[N, channels, h, w]` so far; None before the first ToRGB layer.
    """

    features: Tensor
    image: Tensor | None


@runtime_checkable
class StyleSpace(StyleGenerator, Protocol):
    """A style generator whose per-channel scales (space S) can be read and set.

    The layers are named in the order in which the network uses them; `style_layers` maps each name
    to (channels, resolution of the layer's output in pixels, whether it is a ToRGB layer).
    """

    style_layers: dict[str, tuple[int, int, bool]]

    def styles(self, w: Tensor) -> dict[str, Tensor]:
        """w `[N, num_ws, w_dim]` -> layer name -> styles `[N, channels of that layer]`."""

    def synthesis_from_styles(self, styles: dict[str, Tensor], noise: str = "const") -> Tensor:
        """Styles of every layer -> images `[N, channels, size, size]`, not clamped."""

    def begin(self, n: int) -> Partial:
        """The state before the first layer, for n images."""

    def advance(
        self, partial: Partial, styles: dict[str, Tensor], first: int, last: int | None = None
    ) -> Partial:
        """Go through the layers first..last-1 (None: to the end), of which `styles` are needed."""


@runtime_checkable
class Classifier(Protocol):
    """Reads observations from images; adapts size and intensity by itself.

    Attributes:
        labels: Names of its outputs, in order.
        size: Input height and width of the network, pixels.
    """

    labels: tuple[str, ...]
    size: int

    def logits(self, x: Tensor) -> Tensor:
        """Images `[N, 1, H, W]` in [-1, 1], any H and W -> `[N, L]` logits."""

    def features(self, x: Tensor) -> Tensor:
        """Images `[N, 1, H, W]` in [-1, 1] -> `[N, D]` features before the last layer."""


@runtime_checkable
class Judge(Protocol):
    """Says of images how real they are and what they show: what a generator's own critic learned.

    Attributes:
        labels: Names of the observations it reads, in order; empty if it reads none.
        prevalence: `[L]` share of each observation among its training images.
        single: Whether an image has exactly one of them.
    """

    labels: tuple[str, ...]
    prevalence: Tensor
    single: bool

    def judge(self, x: Tensor, y: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Realness and label logits; those of an image do not depend on the others of the batch.

        Args:
            x: `[N, 1, H, W]` in [-1, 1].
            y: `[N, L]` the labels that were asked for.
            mask: `[N, L]` bool, which of them are known; None for all.

        Returns:
            (`[N]` realness logits, `[N, L]` label logits).
        """


class ImageEncoder(Protocol):
    """Embeds images; used for text guidance, fidelity metrics and nearest neighbours."""

    name: str

    def embed_images(self, x: Tensor) -> Tensor:
        """Images `[N, 1, H, W]` in [-1, 1], any H and W -> `[N, D]`, not normalized."""


class TextEncoder(Protocol):
    """Embeds texts into the space of an `ImageEncoder`."""

    name: str

    def embed_texts(self, texts: list[str]) -> Tensor:
        """N texts -> `[N, D]`, not normalized."""
