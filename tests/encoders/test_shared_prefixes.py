"""Prompts whose common beginning is computed once give the embeddings of the plain pass."""

from __future__ import annotations

import pytest
import torch

from ovss.encoders import OpenCLIPEncoder, open_clip_text
from ovss.encoders.open_clip_text import embed_vocabulary
from ovss.encoders.shared_prefixes import PrefixedPrompts
from ovss.encoders.text_transformer import TextRules, text_tower
from ovss.structures import Vocabulary

NAMES = ("cat", "traffic light", "traffic cone", "owl", "a long name of a thing", "sofa, couch")
TEMPLATES = ("a photo of a {}.", "{}", "{} in the scene", "there is {article} {} here", "the {}")
CAUSAL = {
    "plain": {},
    "quick_gelu": {"quick_gelu": True},
    "layer_scale": {"text": {"ls_init_value": 0.3}},
    "end_mark": {"text": {"pool_type": "eos", "eos_id": 49407}},
    "one_block": {"text": {"layers": 1}},
    "separate": {"custom_text": True},
}


@pytest.fixture
def both(tiny, reference, monkeypatch):
    """Embeddings of a vocabulary with shared prefixes, and by the plain pass."""

    def make(vocabulary: Vocabulary, context: torch.Tensor | None = None, **variant):
        path = tiny(**variant)
        encoder = OpenCLIPEncoder(str(path), str(reference(path)[1]), text_cache="off").eval()
        encode = encoder._encode_vocabulary
        tower, tokenizer = text_tower(encoder.clip), encode._get_tokenizer()
        given = (tower, encode._rules, tokenizer, vocabulary, context)
        with torch.no_grad():
            shared = embed_vocabulary(*given)
            with monkeypatch.context() as plain:
                plain.setattr(open_clip_text, "_embed_prefixed", lambda *_: None)
                return shared, embed_vocabulary(*given)

    return make


@pytest.mark.parametrize("variant", CAUSAL)
@pytest.mark.parametrize("rule", ["first", "average"])
def test_shared_prefixes_are_exact(both, variant, rule):
    shared, plain = both(Vocabulary(NAMES, TEMPLATES, rule), **CAUSAL[variant])
    torch.testing.assert_close(shared, plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("tokens", [1, 7, 8192])
def test_one_template_in_chunks_of_any_size(both, monkeypatch, template, tokens):
    monkeypatch.setattr(open_clip_text, "TOKENS_PER_CHUNK", tokens)
    shared, plain = both(Vocabulary((*NAMES, "cat"), (template,)))
    torch.testing.assert_close(shared, plain, atol=1e-5, rtol=0)
    torch.testing.assert_close(shared[0], shared[-1], atol=1e-6, rtol=0)


def test_prompts_of_every_length_up_to_the_whole_context(both):
    names = tuple("word " * count for count in range(1, 16))
    text = {"context_length": 20}
    shared, plain = both(Vocabulary(names, ("a {}.", "{}")), text=text)
    torch.testing.assert_close(shared, plain, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="at most 20"):
        both(Vocabulary(("word " * 19,), ("a {}.",)), text=text)


def test_learned_vectors_belong_to_the_prefix(both):
    context = torch.randn(3, 24)
    shared, plain = both(Vocabulary(NAMES, TEMPLATES), context)
    torch.testing.assert_close(shared, plain, atol=1e-5, rtol=0)
    without, _ = both(Vocabulary(NAMES, TEMPLATES))
    assert not torch.allclose(without, shared, atol=1e-3)


def test_towers_that_see_both_ways_are_computed_whole(tiny, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("this tower has no prefixes to share")

    monkeypatch.setattr(open_clip_text, "_embed_prefixed", refuse)
    for text in ({"no_causal_mask": True}, {"pool_type": "last"}):
        path = tiny(text=text, custom_text=True)
        encoder = OpenCLIPEncoder(str(path), text_cache="off").eval()
        encoder.encode_text(Vocabulary(NAMES, TEMPLATES))


def test_every_token_is_computed_once_for_each_template(tiny, monkeypatch):
    from ovss.encoders import shared_prefixes

    counts = []
    plain = shared_prefixes.embed_tokens

    def spy(tower, ids_NL, context_MD=None, start=0):
        counts.append(ids_NL.numel())
        return plain(tower, ids_NL, context_MD, start)

    monkeypatch.setattr(shared_prefixes, "embed_tokens", spy)
    encoder = OpenCLIPEncoder(str(tiny()), text_cache="off").eval()
    encoder.encode_text(Vocabulary(("cat", "dog", "cow"), ("a photo of a {}.", "the {}")))
    # start mark and words once (padded to 5), then name, full stop and end mark of each prompt
    assert counts[0] == 2 * 5
    assert sum(counts[1:]) == 3 * 3 + 3 * 2


def test_prefixes_end_before_the_last_token():
    prompts = PrefixedPrompts([[1, 2, 3], [1, 2, 3], [1, 5, 3], [1, 2]], [0, 0, 1, 1])
    assert prompts.prefixes() == [[1, 2], [1]]
    chunks = list(prompts.chunks([2, 1], tokens=2))
    assert sorted(index for chunk in chunks for index in chunk) == [0, 1, 2, 3]
    assert [2] in chunks


@pytest.mark.parametrize("pool", ["argmax", "eos"])
def test_prompts_end_with_the_token_that_is_read(pool):
    rules = TextRules(causal=True, pool=pool, eos_id=9, context_length=8)
    assert rules.shortened([7, 1, 9, 0, 0]) == [7, 1, 9]
    if pool == "eos":
        assert rules.shortened([7, 1, 0]) == [7]
