"""Rules that choose the trainable parameters of a CLIP model."""

from __future__ import annotations

from torch import nn

from ovss.io.excerpts import excerpt

from .attention import Attention

__all__ = ["TRAINABLE", "set_trainable"]

TRAINABLE = ("none", "qv", "attention", "full")
NEVER = ("logit_scale", "logit_bias")


def set_trainable(clip: nn.Module, image: str, text: str | None = None) -> None:
    """Sets ``requires_grad`` of every parameter of `clip` by a rule for each tower.

    ========= ================================================================================
    none      nothing
    qv        query and value matrices of every block, without biases (CAT-Seg)
    attention all parameters of the attention modules: q, k, v, their bias, output projection
    full      all parameters of the tower, including position embeddings
    ========= ================================================================================

    ``logit_scale`` and ``logit_bias`` belong to the contrastive loss and never train, because the
    outputs of the encoder do not depend on them. Fixed sine-cosine positions stay fixed.

    Args:
        clip: CLIP module with `attention.Attention` in its blocks.
        image: rule for the image tower.
        text: rule for the text tower; None means the rule of the image tower.

    Raises:
        ValueError: an unknown rule, or a rule about attention for a tower without attention.
    """
    text = image if text is None else text
    for rule in (image, text):
        if rule not in TRAINABLE:
            raise ValueError(
                f"Unknown rule {excerpt(rule)} for trainable parameters. Choose one of "
                f"{', '.join(TRAINABLE)}."
            )
    fixed = {id(p) for p in clip.parameters() if not p.requires_grad}
    trainable = {
        "image": _trainable(clip.visual, image),
        "text": _trainable(clip, text),
    }
    for name, parameter in clip.named_parameters():
        side = "image" if name.startswith("visual.") else "text"
        trains = id(parameter) in trainable[side] and name not in NEVER
        parameter.requires_grad_(trains and id(parameter) not in fixed)


def _trainable(module: nn.Module, rule: str) -> set[int]:
    """Ids of the parameters that a rule trains."""
    attentions = [part for part in module.modules() if isinstance(part, Attention)]
    if rule in ("qv", "attention") and not attentions:
        raise ValueError(
            f"Rule {rule!r} trains nothing in a tower without attention. Use 'none' or 'full'."
        )
    if rule == "qv":
        return {id(p) for a in attentions for p in (a.q_proj_weight, a.v_proj_weight)}
    if rule == "attention":
        return {id(p) for a in attentions for p in a.parameters()}
    return {id(p) for p in module.parameters()} if rule == "full" else set()
