"""The text side: open_clip's numbers, synonyms, length, training."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from open_clip.tokenizer import SimpleTokenizer

from ovss.encoders import OpenCLIPEncoder, open_clip_text
from ovss.structures import Vocabulary
from ovss.vocabularies.prompts import fill_template

NAMES = ("cat", "traffic light", "grass", "a very long name of a thing indeed")
TEMPLATES = ("a photo of a {}.", "{}", "the {} in the scene")
VARIANTS = {
    "plain": {},
    "quick_gelu": {"quick_gelu": True},
    "custom_text": {"custom_text": True},
    "layer_scale": {"text": {"ls_init_value": 0.3}},
    "both_ways": {"text": {"no_causal_mask": True, "pool_type": "last"}, "custom_text": True},
    "end_mark": {"text": {"pool_type": "eos", "eos_id": 49407}},
    "projection_bias": {"text": {"proj_bias": True}},
}


def expected_embeds(module, names, templates) -> torch.Tensor:
    tokenizer = SimpleTokenizer(context_length=20)
    rows = [module.encode_text(tokenizer([t.replace("{}", n) for t in templates])) for n in names]
    return F.normalize(torch.stack(rows), dim=-1)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_text_is_open_clips_own_though_shorter(tiny, reference, variant):
    path = tiny(**VARIANTS[variant])
    module, weights = reference(path)
    encoder = OpenCLIPEncoder(str(path), str(weights), text_cache="off").eval()
    text = encoder.encode_text(Vocabulary(NAMES, TEMPLATES))
    assert text.embeds_TPC.shape == (4, 3, 16)
    torch.testing.assert_close(
        text.embeds_TPC, expected_embeds(module, NAMES, TEMPLATES), atol=1e-5, rtol=1e-4
    )


@torch.no_grad()
def test_only_as_many_tokens_as_needed(tiny, monkeypatch):
    seen = []
    plain = open_clip_text.embed_prompts

    def spy(tower, rules, ids_NL, context_MD):
        seen.append(ids_NL.shape)
        return plain(tower, rules, ids_NL, context_MD)

    monkeypatch.setattr(open_clip_text, "embed_prompts", spy)
    causal = OpenCLIPEncoder(str(tiny()), text_cache="off").eval()
    causal.encode_text(Vocabulary(("cat",), ("{}",)))
    both_ways = OpenCLIPEncoder(str(tiny(text={"no_causal_mask": True})), text_cache="off").eval()
    both_ways.encode_text(Vocabulary(("cat", "dog"), ("{}",)))
    assert seen == [(1, 3), (2, 20)]


@torch.no_grad()
def test_chunks_change_nothing_and_are_bounded(tiny, monkeypatch):
    encoder = OpenCLIPEncoder(str(tiny()), text_cache="off").eval()
    vocabulary = Vocabulary(NAMES, TEMPLATES)
    whole = encoder.encode_text(vocabulary).embeds_TPC
    monkeypatch.setattr(open_clip_text, "TOKENS_PER_CHUNK", 12)
    torch.testing.assert_close(encoder.encode_text(vocabulary).embeds_TPC, whole)


@torch.no_grad()
def test_a_long_encoding_shows_a_bar_on_the_terminal(tiny, monkeypatch, capsys):
    monkeypatch.setattr(open_clip_text, "TOKENS_PER_CHUNK", 12)
    monkeypatch.setattr(open_clip_text, "SECONDS_BEFORE_BAR", 0.0)
    encoder = OpenCLIPEncoder(str(tiny()), text_cache="off").eval()
    encoder.encode_text(Vocabulary(NAMES, TEMPLATES))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    encoder.encode_text(Vocabulary(NAMES, TEMPLATES))
    printed = capsys.readouterr()
    assert "encoding 12 prompts (4 names x 3 templates)" in printed.err
    assert printed.out == ""


@torch.no_grad()
def test_synonyms_first_or_averaged_per_template(tiny, reference):
    path = tiny()
    module, weights = reference(path)
    encoder = OpenCLIPEncoder(str(path), str(weights), text_cache="off").eval()
    names = ("sofa, couch, settee", "cat", " dog ,hound")
    first = encoder.encode_text(Vocabulary(names, TEMPLATES)).embeds_TPC
    expected = expected_embeds(module, ("sofa", "cat", "dog"), TEMPLATES)
    torch.testing.assert_close(first, expected, atol=1e-5, rtol=1e-4)

    average = encoder.encode_text(Vocabulary(names, TEMPLATES, "average")).embeds_TPC
    groups = (("sofa", "couch", "settee"), ("cat",), ("dog", "hound"))
    means = [expected_embeds(module, group, TEMPLATES).mean(0) for group in groups]
    expected = F.normalize(torch.stack(means), dim=-1)
    torch.testing.assert_close(average, expected, atol=1e-5, rtol=1e-4)


def test_too_long_a_prompt_names_the_category(tiny):
    encoder = OpenCLIPEncoder(str(tiny()), text_cache="off")
    name = "word " * 30
    with pytest.raises(ValueError, match=r"Category 'word word.*33 tokens.*at most 20"):
        encoder.encode_text(Vocabulary(("cat", name.strip()), ("{}.",)))
    with pytest.raises(ValueError, match="Category 1 has a blank name"):
        encoder.encode_text(Vocabulary(("cat", " , ")))


def test_articles():
    assert fill_template("There is {article} {}.", "owl") == "There is an owl."
    assert fill_template("There is {article} {}.", "bed {x}") == "There is a bed {x}."


def test_what_trains_gets_gradients_and_what_is_evaluated_gets_none(tiny):
    encoder = OpenCLIPEncoder(str(tiny()), trainable="qv").train()
    vocabulary = Vocabulary(NAMES)
    target = torch.randn(16)
    (encoder.encode_text(vocabulary).embeds_TPC @ target).sum().backward()
    missing = [
        name
        for name, parameter in encoder.clip.transformer.named_parameters()
        if parameter.requires_grad == (parameter.grad is None)
    ]
    assert missing == []
    assert not encoder.eval().encode_text(vocabulary).embeds_TPC.requires_grad
    encoder.train()
    with torch.no_grad():
        assert not encoder.encode_text(vocabulary).embeds_TPC.requires_grad


def test_kept_embeddings_serve_training_after_inference_mode(tiny):
    encoder = OpenCLIPEncoder(str(tiny())).eval()
    vocabulary = Vocabulary(NAMES)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        made = encoder.encode_text(vocabulary).embeds_TPC
    assert made.dtype == torch.float32
    assert not made.is_inference()
    weight = torch.ones(16, requires_grad=True)
    (encoder.encode_text(vocabulary).embeds_TPC @ weight).sum().backward()
    assert np.isfinite(weight.grad.numpy()).all()
