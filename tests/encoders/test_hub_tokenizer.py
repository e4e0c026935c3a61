"""A SigLIP-like text tower with a tokenizer in the hub's format, from a folder on this machine."""

from __future__ import annotations

import pytest
import torch
from test_timm_clip import _register
from timm import is_model

from ovss.encoders import TimmCLIPEncoder
from ovss.structures import Vocabulary

transformers = pytest.importorskip("transformers")


@pytest.fixture
def tokenizer_folder(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<pad>", "<unk>", *["a", "photo", "of", "cat", "long", "haired", "dog"]]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>", eos_token="<pad>"
    )
    fast.save_pretrained(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


@torch.no_grad()
def test_prompts_are_padded_and_the_last_token_is_pooled(tiny, reference, tokenizer_folder):
    if not is_model("ovss_tiny_siglip"):
        _register("siglip")
    vision = dict(timm_model_name="ovss_tiny_siglip", timm_pool="map", timm_proj="none")
    text = dict(
        context_length=8, vocab_size=16, no_causal_mask=True, pool_type="last", proj_bias=True,
        hf_tokenizer_name=str(tokenizer_folder), tokenizer_kwargs={"clean": "canonicalize"},
    )  # fmt: skip
    path = tiny(vision, text, custom_text=True, embed_dim=32, init_logit_bias=-10)
    module, weights = reference(path)
    encoder = TimmCLIPEncoder(str(path), str(weights), text_cache="off").eval()
    found = encoder.encode_text(Vocabulary(("Cat!", "long-haired dog"), ("a photo of {}",)))
    ids = torch.tensor([[2, 3, 4, 5, 0, 0, 0, 0], [2, 3, 4, 1, 8, 0, 0, 0]])
    expected = module.encode_text(ids, normalize=True)
    torch.testing.assert_close(found.embeds_TPC[:, 0], expected, atol=2e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="'cat dog cat dog cat dog' cannot be encoded"):
        encoder.encode_text(Vocabulary(("cat dog cat dog cat dog",), ("a photo of {}",)))
