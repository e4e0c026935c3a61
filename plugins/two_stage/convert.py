"""Converts official checkpoints of ZegFormer, ZSSeg and OVSeg."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from ovss.models.clip_names import image_tower_names, text_tower_names
from ovss.models.conversion import Conversion, published_width, rename, split_projections
from ovss.models.swin_names import swin_places

from .backbone_names import backbone_names

_HEAD = "sem_seg_head"
_PREDICTOR = f"{_HEAD}.predictor"
_ADAPTER = "clip_adapter"
_VISION_BLOCKS = {768: 12, 1024: 24}
"""Width of the vision tower -> number of its blocks. The text tower has 12 blocks in both."""
_QUERY_LAYERS = 6
_LEVELS = 4

_LEAVES = ("weight", "bias")
_QUERY_PARTS = ("linear1", "linear2", "norm1", "norm2", "norm3")
_ATTENTIONS = ("self_attn", "multihead_attn")
_DROPS = {
    "criterion.empty_weight": "the weight of void in the loss is an option of the config",
    f"{_ADAPTER}.pixel_mean": "CLIP's pixel statistics belong to the architecture",
    f"{_ADAPTER}.pixel_std": "CLIP's pixel statistics belong to the architecture",
    f"{_PREDICTOR}.logit_scale": "the factor of the cosines is fixed, and an option of the config",
    **{
        f"{_ADAPTER}.prompt_learner.{part}_signal": "an embedding of a token of CLIP's own"
        for part in ("start", "dot", "end", "pad")
    },
}


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict.

    Names of both layouts of MaskFormer are known: with ``pixel_decoder.`` and, in older files,
    without. Fused projections of CLIP are split into query, key and value.

    Raises:
        CheckpointError: the tensors are not those of one of the three methods.
    """
    renamed = {_with_pixel_decoder(name): name for name in tensors}
    state = {name: tensors[published] for name, published in renamed.items()}
    table = {
        **{f"backbone.{n}": f"encoder.proposer.backbone.{o}" for n, o in backbone_names(state)},
        **{n: f"encoder.proposer.{o}" for n, o in proposer_names(state)},
        **dict(_method_names(state)),
    }
    conversion = rename(state, table, {**_DROPS, **swin_places("backbone")})
    split_projections(conversion)
    conversion.tensors["head.void"] = conversion.tensors["head.void"].flatten()
    return Conversion(
        conversion.tensors,
        {ours: renamed[name] for ours, name in conversion.source.items()},
        {renamed[name]: why for name, why in conversion.dropped.items()},
    )


def _with_pixel_decoder(name: str) -> str:
    """Name in the newer layout."""
    rest = name.removeprefix(f"{_HEAD}.")
    if rest != name and rest.startswith(("adapter_", "layer_", "mask_features.")):
        return f"{_HEAD}.pixel_decoder.{rest}"
    return name


def proposer_names(state: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Published name -> our name inside the proposer, without its backbone."""
    pixel, decoder = f"{_HEAD}.pixel_decoder", f"{_PREDICTOR}.transformer.decoder"
    modules = {f"{pixel}.mask_features": "pixel_decoder.mask_features"}
    for level in range(_LEVELS):
        for part, ours in (("adapter", "adapters"), ("layer", "layers")):
            if (part, level) != ("adapter", _LEVELS - 1):
                published = f"{pixel}.{part}_{level + 1}"
                yield f"{published}.weight", f"pixel_decoder.{ours}.{level}.0.weight"
                modules[f"{published}.norm"] = f"pixel_decoder.{ours}.{level}.1"
    for layer in range(_QUERY_LAYERS):
        published, own = f"{decoder}.layers.{layer}", f"decoder.layers.{layer}"
        modules |= {f"{published}.{part}": f"{own}.{part}" for part in _QUERY_PARTS}
        for part in _ATTENTIONS:
            modules[f"{published}.{part}.out_proj"] = f"{own}.{part}.out_proj"
            for leaf in _LEAVES:
                name = f"{part}.in_proj_{leaf}"
                yield f"{published}.{name}", f"{own}.{name}"
    modules[f"{decoder}.norm"] = "decoder.norm"
    modules[f"{_PREDICTOR}.input_proj"] = "decoder.project"
    yield f"{_PREDICTOR}.query_embed.weight", "decoder.places.weight"
    for index in range(3):
        modules[f"{_PREDICTOR}.mask_embed.layers.{index}"] = f"mask_embed.{2 * index}"
    if f"{_PREDICTOR}.projection_layer.weight" in state:  # ZegFormer
        modules[f"{_PREDICTOR}.projection_layer"] = "class_embed.0"
    else:
        for index in range(2):
            modules[f"{_PREDICTOR}.class_embed.layers.{index}"] = f"class_embed.{2 * index}"
    for published, ours in modules.items():
        for leaf in _LEAVES:
            yield f"{published}.{leaf}", f"{ours}.{leaf}"


def _method_names(state: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Published name -> our name of CLIP and of what a method adds."""
    prompts = f"{_ADAPTER}.clip_model.visual.mask_embedding"
    context = f"{_ADAPTER}.prompt_learner.prefix_prompt"
    is_zegformer = f"{_PREDICTOR}.bg_feature" in state
    void = f"{_PREDICTOR}.bg_feature" if is_zegformer else f"{_ADAPTER}.non_object_embedding"
    yield void, "head.void"
    if prompts in state:
        yield prompts, "encoder.embedders.0.prompt_LND"
    if context in state:
        yield context, "encoder.encoder.context_MD"
    clip = f"{_PREDICTOR if is_zegformer else _ADAPTER}.clip_model"
    if is_zegformer and not any(name.startswith(clip) for name in state):
        return  # this CLIP is the published one, and not part of the file
    width = published_width(state, f"{clip}.visual.proj", _VISION_BLOCKS, "rows")
    names = [f"visual.{name}" for name in image_tower_names(_VISION_BLOCKS[width])]
    for name in (*names, *text_tower_names()):
        yield f"{clip}.{name}", f"encoder.encoder.clip.{name}"
