"""Names of Mask2Former's parts in published checkpoints, for the converters of several methods."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["pixel_decoder_names", "query_decoder_names"]

_LEAVES = ("weight", "bias")
_PIXEL_LAYER = {
    "self_attn.sampling_offsets": "attention.offset",
    "self_attn.attention_weights": "attention.weight",
    "self_attn.value_proj": "attention.value",
    "self_attn.output_proj": "attention.out",
    "norm1": "norm1",
    "linear1": "mlp.0",
    "linear2": "mlp.2",
    "norm2": "norm2",
}
_QUERY_LAYER = {
    "transformer_cross_attention_layers.{}.multihead_attn": "cross",
    "transformer_self_attention_layers.{}.self_attn": "among",
}
_QUERY_NORMS = {
    "transformer_cross_attention_layers.{}.norm": "norm1",
    "transformer_self_attention_layers.{}.norm": "norm2",
    "transformer_ffn_layers.{}.linear1": "mlp.0",
    "transformer_ffn_layers.{}.linear2": "mlp.2",
    "transformer_ffn_layers.{}.norm": "norm3",
}


def pixel_decoder_names(
    published: str, ours: str, levels: int = 3, layers: int = 6
) -> Iterator[tuple[str, str]]:
    """Published name and our name of each tensor of `ovss.layers.pixel_decoder.PixelDecoder`.

    Args:
        published: prefix of the published names, without its final dot.
        ours: prefix of our names, without its final dot.
        levels: number of levels that attend to one another.
        layers: number of layers.
    """
    modules = {
        f"input_proj.{i}.{part}": f"embeds.{i}.{part}" for i in range(levels) for part in "01"
    }
    for index in range(layers):
        for theirs, part in _PIXEL_LAYER.items():
            modules[f"transformer.encoder.layers.{index}.{theirs}"] = f"layers.{index}.{part}"
    modules |= {"adapter_1.norm": "lateral.1", "layer_1.norm": "smooth.1", "mask_features": "mask"}
    for theirs, part in modules.items():
        yield from ((f"{published}.{theirs}.{leaf}", f"{ours}.{part}.{leaf}") for leaf in _LEAVES)
    yield f"{published}.transformer.level_embed", f"{ours}.level_LD"
    yield f"{published}.adapter_1.weight", f"{ours}.lateral.0.weight"
    yield f"{published}.layer_1.weight", f"{ours}.smooth.0.weight"


def query_decoder_names(published: str, ours: str, layers: int = 9) -> Iterator[tuple[str, str]]:
    """Published name and our name of each tensor of `ovss.layers.mask_queries.MaskQueryDecoder`.

    The class embedding is left out, because it differs between methods.

    Args:
        published: prefix of the published names, without its final dot.
        ours: prefix of our names, without its final dot.
        layers: number of layers.
    """
    modules = {"decoder_norm": "norm"}
    modules |= {f"mask_embed.layers.{i}": f"mask_embedding.{2 * i}" for i in range(3)}
    for index in range(layers):
        own = f"layers.{index}"
        for theirs, part in _QUERY_NORMS.items():
            modules[theirs.format(index)] = f"{own}.{part}"
        for theirs, part in _QUERY_LAYER.items():
            theirs = theirs.format(index)
            modules[f"{theirs}.out_proj"] = f"{own}.{part}.out"
            for leaf in _LEAVES:
                yield f"{published}.{theirs}.in_proj_{leaf}", f"{ours}.{own}.{part}.inputs.{leaf}"
    for theirs, part in modules.items():
        yield from ((f"{published}.{theirs}.{leaf}", f"{ours}.{part}.{leaf}") for leaf in _LEAVES)
    for theirs, part in (("query_feat", "content"), ("query_embed", "position"),
                         ("level_embed", "level")):  # fmt: skip
        yield f"{published}.{theirs}.weight", f"{ours}.{part}.weight"
