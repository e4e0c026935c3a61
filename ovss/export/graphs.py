"""The parts of a model that are exported, each a function of tensors alone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ovss.inference import activate
from ovss.interfaces import AlignmentHead, PostProcessor
from ovss.layers.region_maps import region_maps
from ovss.ops import crop_padding, resize_image_part
from ovss.postprocessors import Identity
from ovss.segmentor import OpenVocabSegmentor
from ovss.selection import Selection
from ovss.structures import (
    ImageFeatures,
    NameRule,
    RegionMasks,
    RegionScores,
    Scores,
    TextFeatures,
)

__all__ = ["RefineGraph", "ViewGraph", "refines_maps", "rules_of"]


def rules_of(model: OpenVocabSegmentor) -> list[NameRule]:
    """Rules by which components mark categories by name, without repetition."""
    parts = (each for each in model.modules() if isinstance(each, AlignmentHead | PostProcessor))
    rules = (part.seen for part in parts)
    return list(dict.fromkeys(rule for rule in rules if rule is not None and rule.names))


def refines_maps(model: OpenVocabSegmentor) -> bool:
    """True if a post-processor changes merged maps; one that reads regions is in the view graph."""
    return not isinstance(model.post_processor, Identity) and not (
        model.decoder.gives is RegionMasks and model.post_processor.reads_regions
    )


class ViewGraph(nn.Module):
    """From a view and text embeddings to maps that are ready to be merged.

    Args:
        model: model.
        rules: rules whose marks are inputs.

    Inputs: the view (1, 3, H, W) in 0..255, text embeddings (T, P, C), and marks (T,) for each
    rule. Outputs: for maps, values (1, K, h, w) and the categories (1, K) of their slots; for
    regions of a whole image, shares (1, K, Q), mask logits (1, Q, h, w) and categories. If the
    post-processor reads them, the dense tokens and the image embedding follow.
    """

    def __init__(self, model: OpenVocabSegmentor, rules: Sequence[NameRule]) -> None:
        super().__init__()
        self.model, self.rules = model, tuple(rules)
        one_view = model.inference.is_one_view
        self.gives_regions = model.decoder.gives is RegionMasks and one_view
        self.gives_features = refines_maps(model) and model.post_processor.needs_whole_view

    def forward(
        self, view_13HW: Tensor, text_TPC: Tensor, marks: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        text = TextFeatures(text_TPC, marked=dict(zip(self.rules, marks, strict=True)))
        features = self.model.encoder.encode_image(view_13HW)
        masks = self.model.segment(features, text)
        if isinstance(masks, RegionMasks) and self.gives_regions:
            scores = RegionScores(
                masks.share_BKQ,
                masks.mask_BQhw,
                masks.selection,
                features,
                text,
                view_13HW,
                masks.padding,
                masks.merge_at_input,
                masks.ownership,
            )
            if self.model.post_processor.reads_regions:
                scores = self.model.post_processor(scores)
            outputs: tuple[Tensor, ...] = (
                scores.share_BKQ,
                scores.mask_BQhw,
                scores.selection.index_BK,
            )
        else:
            outputs = self._maps(masks, features, view_13HW), masks.selection.index_BK
        if self.gives_features:
            outputs = (*outputs, features.dense_BChw, features.pooled_BC)
        return outputs

    def _maps(self, masks, features: ImageFeatures, view_13HW: Tensor) -> Tensor:
        """Values of one view, as `ovss.inference` merges them."""
        config, size = self.model.inference, (view_13HW.shape[2], view_13HW.shape[3])
        if isinstance(masks, RegionMasks):
            maps_1KHW = region_maps(masks, size)
        elif config.is_one_view:
            maps_1KHW = crop_padding(masks.logits_BKHW, features.padding)
        else:
            maps_1KHW = resize_image_part(masks.logits_BKHW, size, features.padding)
        if config.merge == "logits" and not config.is_one_view:
            return maps_1KHW
        return activate(maps_1KHW, masks.selection, config.activation)


class RefineGraph(nn.Module):
    """The post-processor: from merged maps to refined ones.

    Args:
        model: model.
        rules: rules whose marks are inputs.

    Inputs: maps (1, K, Y, X), their categories (1, K), the canvas (1, 3, Y', X'), dense tokens and
    image embedding of the whole image (zeros if no view shows it), text embeddings and marks.
    Outputs: maps and categories.
    """

    def __init__(self, model: OpenVocabSegmentor, rules: Sequence[NameRule]) -> None:
        super().__init__()
        self.post_processor, self.rules = model.post_processor, tuple(rules)
        self.reads_features = model.post_processor.needs_whole_view

    def forward(
        self,
        maps_1KYX: Tensor,
        index_1K: Tensor,
        canvas_13YX: Tensor,
        dense_1Chw: Tensor,
        pooled_1C: Tensor,
        text_TPC: Tensor,
        marks: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor]:
        text = TextFeatures(text_TPC, marked=dict(zip(self.rules, marks, strict=True)))
        valid_1K = torch.ones_like(index_1K, dtype=torch.bool)
        kept = (index_1K.shape[1],)
        selection = Selection(index_1K, valid_1K, text.num_categories, None, kept)
        features = ImageFeatures(dense_1Chw, pooled_1C) if self.reads_features else None
        scores = Scores(maps_1KYX, selection, features, text, canvas_13YX)
        refined = self.post_processor(scores)
        return refined.probs_BKHW, refined.selection.index_BK
