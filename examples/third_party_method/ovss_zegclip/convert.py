"""Converts the decoder of published ZegCLIP checkpoints, for `ovss convert zegclip`.

The result loads into ``AttentionToMaskDecoder(512, 512, project_cells=False, average_heads=True)``.
The image tower is dropped because its deep prompts have no place in a plain CLIP encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ovss.models.checkpoint import CheckpointError
from ovss.models.conversion import Conversion, rename

_QUERY = "decode_head.q_proj.weight"
_LAYERS = "decode_head.decoder_1.layers"
_PARTS = {
    "multihead_attn.q": "query",
    "multihead_attn.k": "key",
    "multihead_attn.v": "value",
    "multihead_attn.proj": "out",
    "norm2": "norm1",
    "norm3": "norm2",
    "linear1": "mlp.0",
    "linear2": "mlp.2",
}
_DROPS = {
    "backbone.": "the image tower has deep prompts, which a plain CLIP encoder does not have",
    "text_encoder.": "the text tower is CLIP's own, which the encoder reads from its file",
    "decode_head.loss_decode.": "a buffer of the loss",
}


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Maps the decoder's names.

    Raises:
        CheckpointError: the checkpoint has no ZegCLIP decoder, or names that are not its own.
    """
    if _QUERY not in tensors:
        raise CheckpointError(f"it has no {_QUERY}")
    depth = len({name.split(".")[3] for name in tensors if name.startswith(f"{_LAYERS}.")})
    conversion = rename(tensors, dict(_names(depth)), dict(_drops(tensors)))
    # Our descriptor is scaled: its product with the image by C, its text by C ** 0.5.
    weight_dc = conversion.tensors["decoder.words.weight"].clone()
    channels = weight_dc.shape[1] // 2
    weight_dc[:, :channels] /= channels
    weight_dc[:, channels:] /= channels**0.5
    conversion.tensors["decoder.words.weight"] = weight_dc
    return conversion


def _names(depth: int) -> Iterator[tuple[str, str]]:
    """Published name, our name."""
    modules = {"decode_head.q_proj": "words"}
    for layer in range(depth):
        for published, ours in _PARTS.items():
            modules[f"{_LAYERS}.{layer}.{published}"] = f"layers.{layer}.{ours}"
    for published, ours in modules.items():
        for leaf in ("weight", "bias"):
            yield f"{published}.{leaf}", f"decoder.{ours}.{leaf}"


def _drops(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Published name, reason."""
    for name in tensors:
        for prefix, reason in _DROPS.items():
            if name.startswith(prefix):
                yield name, reason
        if name.startswith(f"{_LAYERS}.") and name.split(".")[4] in ("self_attn", "norm1"):
            yield name, "the authors' code never calls it"
