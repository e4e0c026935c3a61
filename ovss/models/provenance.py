"""Caveats on the weights of a model: random ones, and bundled ones that know synthetic shapes."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from ovss.encoders.weights import BUNDLED as BUNDLED_ENCODERS
from ovss.segmentor import OpenVocabSegmentor

from .parts import pretrained_block
from .weights import WEIGHTS_DIR, find_weights, named_weights, random_parts

BUNDLED = "bundled mini weights: trained on synthetic shapes only"
RANDOM = "random weights in the {}: the masks mean nothing"


def weights_note(
    model: OpenVocabSegmentor, config: Config, weights: str | Path | None = "default"
) -> str:
    """Caveat on the weights of a model, shown wherever its results are; empty if there is none.

    Args:
        model: model built from `config`.
        config: config of the model.
        weights: argument of `ovss.models.weights.load_trained`.
    """
    checkpoint = named_weights(config, weights)
    if checkpoint is not None:
        is_bundled = find_weights(checkpoint).resolve().parent == WEIGHTS_DIR.resolve()
        return BUNDLED if is_bundled else ""
    source = pretrained_block(config.model.encoder).get("pretrained")
    parts = list(dict.fromkeys(["encoder"] * (source is None) + random_parts(model)))
    if parts:
        return RANDOM.format(" and ".join(part.replace("_", "-") for part in parts))
    return BUNDLED if (BUNDLED_ENCODERS / f"{source}.safetensors").is_file() else ""
