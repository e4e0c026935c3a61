"""Which protocols a method can run: its parts were learnt under one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ovss.dimensions import Prompts, misfits
from ovss.inference import InferenceConfig

from .protocol_fields import ProtocolError, ProtocolTemplate
from .protocols import named_protocols

__all__ = ["check_method"]


def check_method(
    model: Mapping[str, Any],
    template: ProtocolTemplate,
    inference: InferenceConfig,
    name: str | None,
) -> None:
    """Refuse a protocol that the method's parts cannot run.

    Args:
        model: a config's block. template: the protocol's fields.
        inference: canvas and views of `template`. name: what was asked for.

    Raises:
        ProtocolError: another number of prompt templates than the head learnt, or views without
            one of the whole picture where a post-processor looks at it.
    """
    import torch

    from ovss.registry import HEADS, POSTPROCESSORS

    behind = dict(model.get("post_processor") or {"type": "Identity"})
    with torch.device("meta"):
        parts = {
            "head": HEADS.build(dict(model["head"])),
            "post_processor": POSTPROCESSORS.build(behind),
        }
    asked = {"prompts": Prompts(template.prompts.templates), "inference": inference}
    found = misfits({**parts, **asked})
    if not found:
        return
    fit = [
        each.name
        for each in named_protocols().values()
        if not misfits({**parts, "prompts": Prompts(each.template.prompts.templates)})
    ]
    raise ProtocolError(
        f"the protocol {name or 'asked for'} cannot run with this method, whose parts were learnt "
        f"under another: {'; '.join(found)}. Its number of prompt templates is that of "
        f"{', '.join(fit) or 'no named protocol'}"
    )
