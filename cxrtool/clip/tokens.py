"""Text to token numbers, and what did not fit.

In: strings. Out: [N, context] int64, begun, ended and padded as open_clip's byte-pair tokenizer
does (its vocabulary ships inside the open_clip wheel, nothing is downloaded). A text longer than
the context loses its end; `cut` says what.
"""

from collections.abc import Sequence

from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

_MARKS = 2  # start and end of text take two places of the context


class Tokenizer:
    """The byte-pair tokenizer of one CLIP.

    Args:
        inner: Open_clip's, which knows the context.

    Attributes:
        context: Tokens a text may have, start and end marks included.
    """

    def __init__(self, inner: SimpleTokenizer) -> None:
        self.context = inner.context_length
        self._inner = inner

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Token numbers, [N, context] int64; longer texts are cut at the end."""
        tokens: Tensor = self._inner(list(texts))
        return tokens

    def cut(self, text: str) -> str:
        """The end of a text that the model never reads, "" where everything fits."""
        rest = self._inner.encode(text)[self.context - _MARKS :]
        return str(self._inner.decode(rest)).strip()
