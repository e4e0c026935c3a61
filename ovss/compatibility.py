"""Rules that decide whether components fit together, checked on the attributes they declare.

The segmentor checks these rules when a model is built, and ``ovss list --compatible-with`` uses the
same rules to find components that can be combined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .structures import RegionMasks
from .vocabularies.prompts import PromptConfig


@dataclass(frozen=True)
class Rule:
    """One requirement of one component on another.

    Args:
        dim: name of the requirement in error messages.
        part: component with the requirement, as an argument name of `OpenVocabSegmentor`.
        source: component that must meet it.
        needs: attribute of `part` that holds the required value, or a function of `part` and
            `source` that returns it; None means the attribute `dim`. A required value of None or
            False imposes nothing.
        gives: attribute of `source` that holds the provided value, or a function of `source` that
            returns it; None means the attribute `dim`.
        advice: imperative sentence without its full stop, added to the error message.
    """

    dim: str
    part: str
    source: str
    needs: str | Callable[[Any, Any], Any] | None = None
    gives: str | Callable[[Any], Any] | None = None
    advice: str = ""

    def required(self, part: Any, source: Any) -> Any:
        """Required value, or None or False if nothing is required."""
        if callable(self.needs):
            return self.needs(part, source)
        return getattr(part, self.needs or self.dim)

    def provided(self, source: Any) -> Any:
        """Value that `source` provides."""
        if callable(self.gives):
            return self.gives(source)
        return getattr(source, self.gives or self.dim)


def _scales_on_grid(part: Any, encoder: Any) -> tuple[int, ...] | None:
    """Required scales of the levels if `part` reads them on the feature grid only."""
    needs_grid = part.level_dims and not part.any_level_scale
    return (1,) * len(encoder.level_scales) if needs_grid else None


def _activation(decoder: Any, inference: Any) -> str | None:
    """Required activation: scores of regions are sums, which no sigmoid may change."""
    if decoder.gives is RegionMasks:
        return "none"
    return "sigmoid" if inference.activation == "none" else None


def _sources(head: Any, encoder: Any) -> int | None:
    """Required number of sources; an encoder without proposals breaks another rule already."""
    return head.proposal_sources if encoder.gives_proposals else None


def _training_sources(head: Any, encoder: Any) -> int | None:
    """Required number of sources in training if the encoder gives fewer then."""
    if not encoder.gives_proposals or head.training_sources <= _sources_in_training(encoder):
        return None
    return head.training_sources


def _sources_in_training(encoder: Any) -> int:
    """Number of sources that an encoder gives in training."""
    return encoder.training_sources or encoder.proposal_sources


def _merged_of_encoder(encoder: Any, _: Any) -> str | None:
    """Required kind of values merged over windows: regions cannot be spliced."""
    return "scores" if encoder.gives_proposals else None


def _merged_of_reader(part: Any, _: Any) -> str | None:
    """Required kind of values merged over windows: attention between patches is not spliced."""
    return "scores" if part.needs_attention else None


RULES = (
    *(
        Rule(dim, part, "encoder")
        for part in ("head", "decoder")
        for dim in ("joint_dim", "level_dims")
    ),
    *(Rule("level_scales", part, "encoder", _scales_on_grid) for part in ("head", "decoder")),
    *(
        Rule("attention", part, "encoder", "needs_attention", "gives_attention")
        for part in ("head", "decoder")
    ),
    Rule("class_attention_dim", "decoder", "encoder"),
    Rule("text_level_dims", "decoder", "encoder"),
    Rule(
        "proposals",
        "head",
        "encoder",
        "needs_proposals",
        "gives_proposals",
        "Wrap the encoder in WithProposals, or choose a head that compares cells",
    ),
    Rule(
        "proposal_sources",
        "head",
        "encoder",
        _sources,
        advice="Give the head one of `scales` for each source of the proposals",
    ),
    Rule(
        "training_sources",
        "head",
        "encoder",
        _training_sources,
        _sources_in_training,
        "Set embed_in_training=True in WithProposals, or let the head train fewer sources",
    ),
    Rule(
        "alignment",
        "decoder",
        "head",
        "reads",
        "gives",
        "RegionHead goes with ComposeDecoder; heads that compare cells go with the other decoders",
    ),
    Rule(
        "masks",
        "criterion",
        "decoder",
        "reads",
        "gives",
        "set_matching trains masks of regions; bce and cross_entropy train maps of categories",
    ),
    Rule(
        "activation",
        "decoder",
        "inference",
        _activation,
        advice="Set the activation of inference to none for masks of regions and to sigmoid or "
        "softmax for maps of categories",
    ),
    Rule(
        "one_view",
        "encoder",
        "inference",
        "needs_whole_image",
        "is_one_view",
        "Set the mode of inference to whole",
    ),
    *(
        Rule(
            "merged",
            part,
            "inference",
            needs,
            advice="Set the merge of inference to probs or logits",
        )
        for part, needs in (
            ("encoder", _merged_of_encoder),
            ("head", _merged_of_reader),
            ("decoder", _merged_of_reader),
        )
    ),
    Rule("cost_dim", "decoder", "head"),
    Rule("raw_dim", "decoder", "head"),
    Rule("num_templates", "head", "prompts", gives="count"),
    Rule("whole_view", "post_processor", "inference", "needs_whole_view", "gives_whole_view"),
)


def misfits(parts: Mapping[str, Any]) -> list[str]:
    """Lists the requirements that are not met, one clause each; empty if everything fits.

    Args:
        parts: some parts of a model by kind: ``encoder``, ``head``, ``decoder``,
            ``post_processor``, ``criterion``, ``prompts`` or ``inference``. Rules about missing
            parts are skipped.
    """
    messages = []
    for rule in RULES:
        part, source = parts.get(rule.part), parts.get(rule.source)
        if part is None or source is None:
            continue
        needs, gives = rule.required(part, source), rule.provided(source)
        if needs is not None and needs is not False and needs != gives:
            advice = f". {rule.advice}" if rule.advice else ""
            messages.append(
                f"{type(part).__name__} expects {rule.dim}={_text(needs)}, "
                f"but {type(source).__name__} produces {rule.dim}={_text(gives)}{advice}"
            )
    return messages


def _text(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else str(value)


def check_dimensions(
    encoder: Any,
    head: Any,
    decoder: Any,
    post_processor: Any = None,
    prompts: PromptConfig | None = None,
    inference: Any = None,
    criterion: Any = None,
) -> None:
    """Checks that the declared dimensions of the components fit together.

    Raises:
        ValueError: requirements that are not met. The message names each dimension and the two
            components.
    """
    messages = misfits(
        {
            "encoder": encoder,
            "head": head,
            "decoder": decoder,
            "post_processor": post_processor,
            "prompts": prompts,
            "inference": inference,
            "criterion": criterion,
        }
    )
    if messages:
        raise ValueError(f"Incompatible components: {'. '.join(messages)}.")
