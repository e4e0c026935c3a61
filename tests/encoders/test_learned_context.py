"""Learned vectors in prompts."""

from __future__ import annotations

import pytest
import torch

from ovss.encoders import OpenCLIPEncoder
from ovss.encoders.open_clip_text import text_tower
from ovss.encoders.tokenizer import Tokenizer
from ovss.structures import Vocabulary

WORDS = Vocabulary(("cat", "fire hydrant"), ("{}.",))


def encoder(**options) -> OpenCLIPEncoder:
    torch.manual_seed(0)
    return OpenCLIPEncoder("mini_clip", "mini_clip", image_size=64, text_cache="memory", **options)


@torch.no_grad()
def test_vectors_of_words_give_the_prompt_of_these_words():
    """The embeddings of the tokens of "a photo of a" in place of learned vectors."""
    model = encoder(prompt_vectors=4).eval()
    ids = Tokenizer({"context_length": 77})("a photo of a")[1:-1]
    assert len(ids) == model.context_MD.shape[0]
    model.context_MD.copy_(text_tower(model.clip).token_embedding.weight[ids])
    expected = encoder().eval().encode_text(Vocabulary(WORDS.names, ("a photo of a {}.",)))
    assert torch.allclose(model.encode_text(WORDS).embeds_TPC, expected.embeds_TPC, atol=1e-5)


def test_trained_vectors_get_a_gradient_and_no_cache():
    model = encoder(prompt_vectors=4, train_prompts=True).train()
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert trained == ["context_MD"]
    first = model.encode_text(WORDS).embeds_TPC
    first[0, 0, 0].backward()
    assert model.context_MD.grad.abs().sum() > 0
    with torch.no_grad():
        model.context_MD.add_(1.0)
    assert not torch.allclose(model.encode_text(WORDS).embeds_TPC, first)
    model.eval()
    with torch.no_grad():
        before = model.encode_text(WORDS).embeds_TPC
        assert model.encode_text(WORDS).embeds_TPC is before, "cached while nothing changes"
        model.context_MD.add_(1.0)
        assert not torch.allclose(model.encode_text(WORDS).embeds_TPC, before)


def test_vectors_count_as_tokens():
    with pytest.raises(ValueError, match=r"With 74 learned vectors it has 78 tokens.*Shorten"):
        encoder(prompt_vectors=74).encode_text(WORDS)
    with pytest.raises(ValueError, match="prompt_vectors"):
        encoder(prompt_vectors=-1)
