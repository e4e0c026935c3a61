"""Names of EVA-02 CLIP: those of its authors' checkpoints and DeCLIP's, as open_clip names them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_MODULES = (
    ("mlp.ffn_ln", "mlp.norm"),
    ("attn.inner_attn_ln", "attn.norm"),
    ("mlp.w1", "mlp.fc1_g"),
    ("mlp.w2", "mlp.fc1_x"),
    ("mlp.w3", "mlp.fc2"),
    ("attn.q_bias", "attn.q_proj.bias"),
    ("attn.v_bias", "attn.v_proj.bias"),
)
"""Parts of names inside a block: the authors', open_clip's."""

_PREFIX = "visual."
ROPE_REASON = "sines and cosines are computed for each grid"


def is_rotary(name: str) -> bool:
    """True for the buffers of rotary positions, which every block repeats."""
    return ".rope." in name


def open_clip_name(name: str) -> str:
    """Name of a tensor of EVA-CLIP in open_clip.

    >>> open_clip_name("visual.blocks.0.mlp.w1.weight")
    'visual.trunk.blocks.0.mlp.fc1_g.weight'
    """
    if not name.startswith(_PREFIX):
        return name
    for published, ours in _MODULES:
        name = name.replace(published, ours)
    return f"{_PREFIX}trunk.{name.removeprefix(_PREFIX)}"


def published_name(name: str) -> str:
    """Inverse of `open_clip_name`.

    >>> published_name("visual.trunk.blocks.0.attn.q_proj.bias")
    'visual.blocks.0.attn.q_bias'
    """
    if not name.startswith(f"{_PREFIX}trunk."):
        return name
    for published, ours in _MODULES:
        name = name.replace(ours, published)
    return _PREFIX + name.removeprefix(f"{_PREFIX}trunk.")


def with_open_clip_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Renames a state dict of EVA-CLIP or DeCLIP; one of open_clip stays as it is."""
    marker = f"{_PREFIX}cls_token"
    prefix = next((n.removesuffix(marker) for n in tensors if n.endswith(marker)), None)
    if prefix is None:
        return dict(tensors)
    return {
        open_clip_name(name.removeprefix(prefix)): value
        for name, value in tensors.items()
        if not is_rotary(name)
    }
