"""Tokens against open_clip's own tokenizer, and what a long text loses."""

from __future__ import annotations

import open_clip
import torch

from cxrtool.clip.tokens import Tokenizer

LONG = "there is a small left pleural effusion. " * 12 + "the last words"


def _tokenizer(context: int) -> Tokenizer:
    return Tokenizer(open_clip.get_tokenizer(context_length=context))


def test_tokens_are_those_of_open_clip() -> None:
    texts = ["Cardiomegaly.", "no pleural effusion", LONG]
    assert torch.equal(_tokenizer(77)(texts), open_clip.tokenize(texts))


def test_a_short_text_loses_nothing() -> None:
    tokenizer = _tokenizer(77)
    assert tokenizer.cut("no acute cardiopulmonary process") == ""


def test_what_is_cut_is_exactly_what_does_not_change_the_tokens() -> None:
    tokenizer = _tokenizer(16)
    lost = tokenizer.cut(LONG)
    assert lost.endswith("the last words")
    kept = LONG.lower().replace(".", " .")
    kept = " ".join(kept.split())[: -len(lost)]
    assert torch.equal(tokenizer([LONG]), tokenizer([kept]))
    assert tokenizer.cut(kept) == ""


def test_the_context_is_respected() -> None:
    tokens = _tokenizer(10)([LONG, "a"])
    assert tokens.shape == (2, 10)
    end = tokens.max()
    assert tokens[0, -1] == end  # a text that was cut still ends
    assert (tokens[1] == end).sum() == 1
