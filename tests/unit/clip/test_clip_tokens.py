"""Tokens against open_clip's own tokenizer, and what a long text loses."""

from __future__ import annotations

from dataclasses import replace

import open_clip
import torch

from cxrtool.clip.model import ClipModel, create

from .conftest import micro

LONG = "there is a small left pleural effusion. " * 12 + "the last words"


def _model(context: int) -> ClipModel:
    config = micro().model_cfg
    text = {**config["text_cfg"], "context_length": context}
    changed = replace(micro(), model_cfg={**config, "text_cfg": text})
    return create(changed, seed=0, device="cpu")


def test_tokens_are_those_of_open_clip() -> None:
    texts = ["Cardiomegaly.", "no pleural effusion", LONG]
    assert torch.equal(_model(77).tokenizer(texts), open_clip.tokenize(texts))


def test_a_short_text_loses_nothing() -> None:
    assert _model(77).cut("no acute cardiopulmonary process") == ""


def test_what_is_cut_is_exactly_what_does_not_change_the_tokens() -> None:
    model = _model(16)
    lost = model.cut(LONG)
    assert lost.endswith("the last words")
    kept = LONG.lower().replace(".", " .")
    kept = " ".join(kept.split())[: -len(lost)]
    assert torch.equal(model.tokenizer([LONG]), model.tokenizer([kept]))
    assert model.cut(kept) == ""


def test_the_context_is_respected() -> None:
    tokens = _model(10).tokenizer([LONG, "a"])
    assert tokens.shape == (2, 10)
    end = tokens.max()
    assert tokens[0, -1] == end  # a text that was cut still ends
    assert (tokens[1] == end).sum() == 1
