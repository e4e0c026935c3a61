"""Text tower of a CLIP model, for encoders whose image tower comes from elsewhere."""

from __future__ import annotations

from torch import nn

from .architecture import build_clip, check_text, read_model_config
from .trainable import set_trainable
from .vocabulary_encoder import VocabularyEncoder
from .weights import find_pretrained, load_pretrained

__all__ = ["build_text_only"]


def build_text_only(
    model: str, pretrained: str | None, text_cache: str
) -> tuple[nn.Module, VocabularyEncoder, int]:
    """Builds a frozen text tower.

    Args:
        model: open_clip architecture, bundled config (``mini_clip``), or path of a model JSON file.
        pretrained: open_clip tag such as ``openai``, path of a weight file of the whole model,
            ``mini_clip`` for the bundled weights, or None for random weights.
        text_cache: cache for text embeddings: ``disk`` (which includes memory), ``memory`` or
            ``off``.

    Returns:
        The CLIP module without its image tower, the function that encodes vocabularies with it, and
        its number of channels C.

    Raises:
        ValueError: an unknown name, or an unsupported text tower.
        FileNotFoundError: a weight file that does not exist.
        RuntimeError: weights that cannot be downloaded, are corrupt, or belong to another
            architecture.
    """
    config = read_model_config(model)
    check_text(model, config)
    encode = VocabularyEncoder(config, text_cache)
    weights = find_pretrained(model, config, pretrained)
    clip = build_clip(config, fill=weights is None)
    if weights is not None:
        load_pretrained(clip, model, weights)
    set_trainable(clip, "none")
    clip.visual = None
    del clip.logit_scale
    return clip, encode, config["embed_dim"]
