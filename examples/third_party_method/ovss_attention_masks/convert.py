"""Converter of `ovss convert attention_masks`: the decoder of published ZegCLIP checkpoints.

The result loads into ``AttentionToMaskDecoder(512, 512, project_cells=False, average_heads=True)``.
The image tower is dropped because a plain CLIP encoder does not support its deep prompts.
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
    "backbone.": "the image tower has deep prompts, which a plain CLIP encoder does not support",
    "text_encoder.": "the text tower is CLIP's own, which the encoder reads from its file",
    "decode_head.loss_decode.": "a buffer of the loss",
}


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames the tensors of the decoder and lists the others as dropped.

    Raises:
        CheckpointError: the tensors of a ZegCLIP decoder are missing, or others are unknown.
    """
    if _QUERY not in tensors:
        raise CheckpointError(f"expected a tensor {_QUERY}, found none")
    depth = len({name.split(".")[3] for name in tensors if name.startswith(f"{_LAYERS}.")})
    conversion = rename(tensors, dict(_names(depth)), dict(_drops(tensors)))
    # Our decoder scales its descriptor, the product with the image by C and the text by C ** 0.5.
    # Dividing the weight by the same factors gives the authors' queries.
    weight_dc = conversion.tensors["decoder.words.weight"].clone()
    channels = weight_dc.shape[1] // 2
    weight_dc[:, :channels] /= channels
    weight_dc[:, channels:] /= channels**0.5
    conversion.tensors["decoder.words.weight"] = weight_dc
    return conversion


def _names(depth: int) -> Iterator[tuple[str, str]]:
    """Pairs of published name and our name."""
    modules = {"decode_head.q_proj": "words"}
    for layer in range(depth):
        for published, ours in _PARTS.items():
            modules[f"{_LAYERS}.{layer}.{published}"] = f"layers.{layer}.{ours}"
    for published, ours in modules.items():
        for leaf in ("weight", "bias"):
            yield f"{published}.{leaf}", f"decoder.{ours}.{leaf}"


def _drops(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Pairs of published name and reason for dropping it."""
    for name in tensors:
        for prefix, reason in _DROPS.items():
            if name.startswith(prefix):
                yield name, reason
        if name.startswith(f"{_LAYERS}.") and name.split(".")[4] in ("self_attn", "norm1"):
            yield name, "the authors' code never calls it"
