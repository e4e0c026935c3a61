"""Converts GroupViT checkpoints: the authors' layout, and that of Hugging Face transformers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor

from ovss.models.checkpoint import CheckpointError
from ovss.models.conversion import Conversion, rename, split_projections

_IMAGE, _TEXT = "img_encoder", "text_encoder"
_LEAVES = ("weight", "bias")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_BLOCK = {
    "norm1": "norm1",
    "attn.proj": "attention.project",
    "norm2": "norm2",
    "mlp.fc1": "mlp.0",
    "mlp.fc2": "mlp.2",
}
_GROUPING = {
    "norm_tokens": "norm_tokens",
    "norm_x": "norm_x",
    "mlp_inter.fc1": "mix.mlp.0",
    "mlp_inter.fc2": "mix.mlp.2",
    "norm_post_tokens": "norm_mixed",
    "pre_assign_attn.attn.q_proj": "look.query",
    "pre_assign_attn.attn.k_proj": "look.key",
    "pre_assign_attn.attn.v_proj": "look.value",
    "pre_assign_attn.attn.proj": "look.project",
    "pre_assign_attn.norm2": "norm_look",
    "pre_assign_attn.mlp.fc1": "look_mlp.0",
    "pre_assign_attn.mlp.fc2": "look_mlp.2",
    "pre_assign_attn.norm_post": "norm_post",
    "assign.q_proj": "assign.query",
    "assign.k_proj": "assign.key",
    "assign.v_proj": "assign.value",
    "assign.proj": "assign.project",
    "norm_new_x": "norm_new",
    "mlp_channels.fc1": "mlp.0",
    "mlp_channels.fc2": "mlp.2",
}
_TEXT_BLOCK = ("attn.out_proj", "ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj")
_PROJECTOR = {"linear_hidden.0": "0", "linear_hidden.1": "1", "linear_out": "3"}
_FUSED = "attention.qkv"
_DROPS = {"multi_label_logit_scale": "only the loss of training uses it"}
_COUNTER = "num_batches_tracked"

_HUGGING_FACE = (
    ("vision_model.embeddings.patch_embeddings.projection", f"{_IMAGE}.patch_embed.proj"),
    ("vision_model.embeddings.layernorm", f"{_IMAGE}.patch_embed.norm"),
    ("vision_model.embeddings.position_embeddings", f"{_IMAGE}.pos_embed"),
    ("vision_model.encoder.stages.", f"{_IMAGE}.layers."),
    ("vision_model.layernorm", f"{_IMAGE}.norm"),
    ("text_model.embeddings.token_embedding", f"{_TEXT}.token_embedding"),
    ("text_model.embeddings.position_embedding.weight", f"{_TEXT}.positional_embedding"),
    ("text_model.encoder.layers.", f"{_TEXT}.transformer.resblocks."),
    ("text_model.final_layer_norm", f"{_TEXT}.ln_final"),
    ("visual_projection.0", "img_projector.linear_hidden.0"),
    ("visual_projection.1", "img_projector.linear_hidden.1"),
    ("visual_projection.3", "img_projector.linear_out"),
    ("text_projection.0", "text_projector.linear_hidden.0"),
    ("text_projection.1", "text_projector.linear_hidden.1"),
    ("text_projection.3", "text_projector.linear_out"),
)
"""Starts of names: of Hugging Face, of the authors."""

_HUGGING_FACE_PARTS = (
    (r"(img_encoder\.layers\.\d+)\.layers\.", r"\1.blocks."),
    (r"\.layer_norm1\.", ".norm1."),
    (r"\.layer_norm2\.", ".norm2."),
    (r"pre_assign_attn\.attn\.out_proj", "pre_assign_attn.attn.proj"),
    (r"assign\.out_proj", "assign.proj"),
    (r"(img_encoder\.layers\.\d+\.blocks\.\d+)\.self_attn\.out_proj", r"\1.attn.proj"),
    (r"(text_encoder\.transformer\.resblocks\.\d+)\.norm1", r"\1.ln_1"),
    (r"(text_encoder\.transformer\.resblocks\.\d+)\.norm2", r"\1.ln_2"),
    (r"(text_encoder\.transformer\.resblocks\.\d+)\.mlp\.fc1", r"\1.mlp.c_fc"),
    (r"(text_encoder\.transformer\.resblocks\.\d+)\.mlp\.fc2", r"\1.mlp.c_proj"),
    (r"(text_encoder\.transformer\.resblocks\.\d+)\.self_attn\.", r"\1.attn."),
    (r"(img_encoder\.layers\.\d+\.blocks\.\d+)\.self_attn\.", r"\1.attn."),
)
"""Patterns inside names, applied in this order after the starts."""


def convert(tensors: Mapping[str, Tensor]) -> Conversion:
    """Renames a published state dict of either layout.

    Fused projections are split, axes of length 1 removed.

    Raises:
        CheckpointError: the tensors are not those of GroupViT.
    """
    published = dict(tensors)
    if any(name.startswith("vision_model.") for name in tensors):
        published = official_layout(tensors)
    positions = published.get(f"{_IMAGE}.pos_embed")
    if positions is None:
        raise CheckpointError(f"expected {_IMAGE}.pos_embed, found no such tensor")
    conversion = rename(published, dict(official_names(published)), _DROPS)
    for name in list(conversion.tensors):
        value = conversion.tensors[name]
        if name.endswith((".positions", ".group_tokens")):
            conversion.tensors[name] = value.squeeze(0)
        elif "projector" in name or "text_projection" in name:
            conversion.tensors[name] = _projector_value(name, value)
        elif f"{_FUSED}." in name:
            _split(conversion, name)
    split_projections(conversion)
    return conversion


def official_names(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Pairs of published and our name; the numbers of stages and blocks are those of `tensors`."""
    ours = "encoder.model.visual"
    yield "logit_scale", "head.log_scale"
    yield f"{_IMAGE}.pos_embed", f"{ours}.positions"
    yield from _leaves(f"{_IMAGE}.patch_embed.proj", f"{ours}.patches")
    yield from _leaves(f"{_IMAGE}.patch_embed.norm", f"{ours}.norm_patches")
    yield from _leaves(f"{_IMAGE}.norm", f"{ours}.norm")
    for stage in range(_count(tensors, rf"{_IMAGE}\.layers\.(\d+)\.")):
        yield from _stage_names(tensors, stage)
    text = "encoder.model.text"
    yield f"{_TEXT}.positional_embedding", f"{text}.positional_embedding"
    yield f"{_TEXT}.token_embedding.weight", f"{text}.token_embedding.weight"
    yield from _leaves(f"{_TEXT}.ln_final", f"{text}.ln_final")
    for block in range(_count(tensors, rf"{_TEXT}\.transformer\.resblocks\.(\d+)\.")):
        part = f"transformer.resblocks.{block}"
        for leaf in ("in_proj_weight", "in_proj_bias"):
            yield f"{_TEXT}.{part}.attn.{leaf}", f"{text}.{part}.attn.{leaf}"
        for name in _TEXT_BLOCK:
            yield from _leaves(f"{_TEXT}.{part}.{name}", f"{text}.{part}.{name}")
    for name, target in (
        ("img_projector", "encoder.model.visual_projector"),
        ("text_projector", f"{text}.text_projection"),
    ):
        for published, part in _PROJECTOR.items():
            yield from _leaves(f"{name}.{published}", f"{target}.{part}")
        for leaf in _STATISTICS:
            yield f"{name}.linear_hidden.1.{leaf}", f"{target}.1.{leaf}"


def _stage_names(tensors: Mapping[str, Tensor], stage: int) -> Iterator[tuple[str, str]]:
    root, ours = f"{_IMAGE}.layers.{stage}", f"encoder.model.visual.stages.{stage}"
    for block in range(_count(tensors, rf"{re.escape(root)}\.blocks\.(\d+)\.")):
        for name, part in _BLOCK.items():
            yield from _leaves(f"{root}.blocks.{block}.{name}", f"{ours}.blocks.{block}.{part}")
        yield from _leaves(f"{root}.blocks.{block}.attn.qkv", f"{ours}.blocks.{block}.{_FUSED}")
    if f"{root}.group_token" in tensors:
        yield f"{root}.group_token", f"{ours}.group_tokens"
        for name, part in _GROUPING.items():
            yield from _leaves(f"{root}.downsample.{name}", f"{ours}.grouping.{part}")
    if f"{root}.group_projector.0.weight" in tensors:
        yield from _leaves(f"{root}.group_projector.0", f"{ours}.inherit_norm")
        yield from _leaves(f"{root}.group_projector.1.fc1", f"{ours}.inherit.mlp.0")
        yield from _leaves(f"{root}.group_projector.1.fc2", f"{ours}.inherit.mlp.2")


def official_layout(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of Hugging Face's GroupViTModel under the authors' names.

    Raises:
        CheckpointError: a block whose query, key and value are not all there.
    """
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if not name.endswith("position_ids"):
            found[_official_name(name)] = value
    parts = re.compile(r"(.*\.attn)\.([qkv])_proj\.(weight|bias)$")
    for name in list(found):
        match = parts.match(name)
        if match is None or ".downsample." in name:
            continue
        module, letter, leaf = match.groups()
        if letter != "q":
            continue
        names = [f"{module}.{each}_proj.{leaf}" for each in "qkv"]
        missing = [each for each in names if each not in found]
        if missing:
            raise CheckpointError(f"expected {missing[0]}, found no such tensor")
        joined = _joined([found.pop(each) for each in names])
        target = f"{module}.qkv.{leaf}" if _IMAGE in module else f"{module}.in_proj_{leaf}"
        found[target] = joined
    for name in [f"{each}_projector.linear_hidden.1.{_COUNTER}" for each in ("img", "text")]:
        found.setdefault(name, found["logit_scale"].new_zeros(()).long())
    return found


def _official_name(name: str) -> str:
    for start, official in _HUGGING_FACE:
        if name.startswith(start):
            name = official + name.removeprefix(start)
            break
    for pattern, replacement in _HUGGING_FACE_PARTS:
        name = re.sub(pattern, replacement, name)
    return name


def _joined(values: list[Tensor]) -> Tensor:
    import torch

    return torch.cat(values)


def _projector_value(name: str, value: Tensor) -> Tensor:
    """Value of a projector's tensor; convolutions over one token become matrices."""
    if name.endswith(_COUNTER):
        return value.long()
    return value.flatten(1) if value.ndim == 3 else value


def _split(conversion: Conversion, name: str) -> None:
    """Splits a fused projection of a block into query, key and value."""
    parts = conversion.tensors.pop(name).chunk(3)
    published = conversion.source.pop(name)
    for word, part in zip(("query", "key", "value"), parts, strict=True):
        own = name.replace("attention.qkv", f"attention.{word}")
        conversion.tensors[own] = part.contiguous()
        conversion.source[own] = published


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    """Number of different indices that a pattern finds in names."""
    return len({match.group(1) for name in tensors if (match := re.match(pattern, name))})


def _leaves(published: str, ours: str) -> Iterator[tuple[str, str]]:
    for leaf in _LEAVES:
        yield f"{published}.{leaf}", f"{ours}.{leaf}"
