"""Which components fit together: one table of rules over what they declare.

The segmentor refuses by it what cannot work, and ``ovss list --compatible-with`` answers by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .vocabularies.prompts import PromptConfig


@dataclass(frozen=True)
class Rule:
    """One need of one part of a method, met or not by another.

    Args:
        dim: what it is called.
        part, source: who needs it, and who gives it: arguments of `OpenVocabSegmentor`.
        needs, gives: their attributes; None: called like `dim`. What is needed may also be a
            function of both. A need of None or False is none.
    """

    dim: str
    part: str
    source: str
    needs: str | Callable[[Any, Any], Any] | None = None
    gives: str | None = None

    def needed(self, part: Any, source: Any) -> Any:
        if callable(self.needs):
            return self.needs(part, source)
        return getattr(part, self.needs or self.dim)


def _on_the_grid(part: Any, encoder: Any) -> tuple[int, ...] | None:
    """Scales of the levels, for who reads them on the feature grid only."""
    on_grid = part.level_dims and not part.any_level_scale
    return (1,) * len(encoder.level_scales) if on_grid else None


RULES = (
    *(
        Rule(dim, part, "encoder")
        for part in ("head", "decoder")
        for dim in ("joint_dim", "level_dims")
    ),
    *(Rule("level_scales", part, "encoder", _on_the_grid) for part in ("head", "decoder")),
    *(
        Rule("attention", part, "encoder", "needs_attention", "gives_attention")
        for part in ("head", "decoder")
    ),
    Rule("class_attention_dim", "decoder", "encoder"),
    Rule("text_level_dims", "decoder", "encoder"),
    Rule("cost_dim", "decoder", "head"),
    Rule("raw_dim", "decoder", "head"),
    Rule("num_templates", "head", "prompts", gives="count"),
    Rule("whole_view", "post_processor", "inference", "needs_whole_view", "gives_whole_view"),
)


def misfits(parts: Mapping[str, Any]) -> list[str]:
    """What keeps parts from working together, one sentence each; empty if they fit.

    Args:
        parts: some of the parts of a method by their kind, ``encoder``, ``head``, ``decoder``,
            ``post_processor``, ``prompts``, ``inference``. Rules about absent ones are passed over.
    """
    found = []
    for rule in RULES:
        part, source = parts.get(rule.part), parts.get(rule.source)
        if part is None or source is None:
            continue
        needs = rule.needed(part, source)
        gives = getattr(source, rule.gives or rule.dim)
        if needs is not None and needs is not False and needs != gives:
            found.append(
                f"{type(part).__name__} needs {rule.dim} = {needs}, "
                f"{type(source).__name__} gives {gives}"
            )
    return found


def check_dimensions(
    encoder: Any,
    head: Any,
    decoder: Any,
    post_processor: Any = None,
    prompts: PromptConfig | None = None,
    inference: Any = None,
) -> None:
    """Refuse a composition whose declared dimensions do not fit.

    Raises:
        ValueError: naming each dimension and the two components.
    """
    found = misfits(
        {
            "encoder": encoder,
            "head": head,
            "decoder": decoder,
            "post_processor": post_processor,
            "prompts": prompts,
            "inference": inference,
        }
    )
    if found:
        raise ValueError("the components do not fit together: " + "; ".join(found))
