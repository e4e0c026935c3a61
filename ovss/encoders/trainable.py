"""What trains in a CLIP: four named rules, by module, never by a part of a name."""

from __future__ import annotations

from torch import nn

from .attention import Attention

__all__ = ["TRAINABLE", "set_trainable"]

TRAINABLE = ("none", "qv", "attention", "full")
NEVER = ("logit_scale", "logit_bias")


def set_trainable(clip: nn.Module, image: str, text: str | None = None) -> None:
    """Set ``requires_grad`` of every parameter of `clip`.

    ========= ================================================================================
    none      nothing
    qv        the query and value matrices of every block, no bias (CAT-Seg's rule)
    attention every parameter of the attention modules: q, k, v, their bias, output projection
    full      every parameter of the tower, position embeddings included
    ========= ================================================================================

    ``logit_scale`` and ``logit_bias`` belong to the contrastive loss and never train here: no
    output of the encoder depends on them. Fixed sine-cosine positions stay fixed.

    Args:
        clip: with `attention.Attention` in its blocks.
        image: rule of the image tower.
        text: rule of the text tower; None: the same.

    Raises:
        ValueError: an unknown rule, or one about attention for a tower that has none.
    """
    text = image if text is None else text
    for rule in (image, text):
        if rule not in TRAINABLE:
            raise ValueError(f"no rule {rule!r} for what trains: choose of {', '.join(TRAINABLE)}")
    fixed = {id(p) for p in clip.parameters() if not p.requires_grad}
    chosen = {
        "image": _chosen(clip.visual, image),
        "text": _chosen(clip, text),
    }
    for name, parameter in clip.named_parameters():
        side = "image" if name.startswith("visual.") else "text"
        trains = id(parameter) in chosen[side] and name not in NEVER
        parameter.requires_grad_(trains and id(parameter) not in fixed)


def _chosen(module: nn.Module, rule: str) -> set[int]:
    attentions = [part for part in module.modules() if isinstance(part, Attention)]
    if rule in ("qv", "attention") and not attentions:
        raise ValueError(f"rule {rule!r} trains nothing of a tower without attention: none or full")
    if rule == "qv":
        return {id(p) for a in attentions for p in (a.q_proj_weight, a.v_proj_weight)}
    if rule == "attention":
        return {id(p) for a in attentions for p in a.parameters()}
    return {id(p) for p in module.parameters()} if rule == "full" else set()
