"""SAM3Decoder: one pass of SAM 3's detector for each kept category."""

from __future__ import annotations

import torch
from torch import Tensor

from ovss.interfaces import Decoder
from ovss.io.option_values import check_range
from ovss.registry import DECODERS
from ovss.structures import Alignment, Masks

from .parts import DECODER, build_sam3

__all__ = ["SAM3Decoder", "combined_scores"]

CERTAIN = 1e-6
"""Probability at which scores are cut before they become logits."""


@DECODERS.register_module()
class SAM3Decoder(Decoder):
    """Masks of SAM 3, combined to one score map for each category as in SegEarth-OV3.

    With the masks m of the detected objects, their scores o, the semantic map s and the presence
    score p of a category, all probabilities (arXiv 2512.08730):

        score = p * max(max over objects with o > confidence of m o, s)
        o     = probability of the object * p

    The logits are those of this score, so that ``activation="sigmoid"`` gives the score. Only kept
    categories are decoded, so the time grows with their number and not with the vocabulary. Passes
    of one image share its features.

    Args:
        architecture: as in `SAM3Encoder`.
        pretrained: as in `SAM3Encoder`; the same folder.
        confidence: smallest score of an object that counts. SegEarth-OV3 uses 0.5, 0.3 or 0.2,
            depending on the dataset.
        at_once: number of categories decoded at a time, which bounds the memory.

    Raises:
        FileNotFoundError: a folder that does not exist.
        MissingExtraError: transformers is not installed, or too old for SAM 3.
        ValueError: weights of another architecture, or a number out of range.
    """

    any_level_scale = True

    def __init__(
        self,
        architecture: dict | None = None,
        pretrained: str | None = None,
        confidence: float = 0.3,
        at_once: int = 4,
    ) -> None:
        super().__init__()
        check_range("SAM3Decoder", 0, 1, confidence=confidence)
        check_range("SAM3Decoder", 1, at_once=at_once)
        self.sam = build_sam3("SAM3Decoder", DECODER, architecture, pretrained)
        config = self.sam.config
        self.level_dims = (config.vision_config.fpn_hidden_size,) * 3
        self.text_level_dims = (config.detr_encoder_config.hidden_size, 1)
        self.confidence, self.at_once = confidence, at_once

    def forward(self, aligned: Alignment) -> Masks:
        """Decodes the kept categories of each image."""
        levels, selection = aligned.features.levels, aligned.selection
        tokens_TLD, mark_TL1 = aligned.text.levels
        size = levels[0].shape[2:]
        probs_BKhw = levels[0].new_zeros(*selection.index_BK.shape, *size)
        for image, category, slot in self._chunks(selection.index_BK, selection.valid_BK):
            maps = [level[image : image + 1] for level in levels]
            mark_NL = mark_TL1[category, :, 0] > 0
            mark_NL[:, 0] = True  # the start mark, without which there is nothing to attend to
            probs_BKhw[image, slot] = self.decode(maps, tokens_TLD[category], mark_NL)
        probs_BKhw = probs_BKhw.clamp(CERTAIN, 1 - CERTAIN)
        return Masks(probs_BKhw.logit(), selection)

    def _chunks(self, index_BK: Tensor, valid_BK: Tensor) -> list[tuple[int, Tensor, Tensor]]:
        """Image, categories and slots of each pass."""
        if index_BK.is_meta:
            every = torch.arange(index_BK.shape[1], device=index_BK.device)
            kept = [every] * index_BK.shape[0]
        else:
            kept = [valid_K.nonzero()[:, 0] for valid_K in valid_BK]
        return [
            (image, index_BK[image, slot_N], slot_N)
            for image, slots in enumerate(kept)
            for slot_N in slots.split(self.at_once)
        ]

    def decode(self, maps: list[Tensor], tokens_NLD: Tensor, mark_NL: Tensor) -> Tensor:
        """Score maps (N, h, w) of some categories in one image.

        Args:
            maps: three levels of the image, each (1, D, h, w), fine first.
            tokens_NLD: tokens of the names.
            mark_NL: True where there is a token.
        """
        found = self._detect(maps, tokens_NLD, mark_NL)
        return combined_scores(*found, self.confidence)

    def _detect(
        self, maps: list[Tensor], tokens_NLD: Tensor, mark_NL: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits of the masks, the objects, the semantic map and the presence."""
        from transformers.models.sam3.modeling_sam3 import Sam3SinePositionEmbedding

        sam, count, coarse = self.sam, tokens_NLD.shape[0], maps[-1]
        # transformers looks into a mask, which has no values on the meta device
        seen_NL = None if mark_NL.is_meta else mark_NL
        place = Sam3SinePositionEmbedding(coarse.shape[1] // 2, normalize=True)
        repeated = [level.expand(count, -1, -1, -1) for level in maps]
        place_NDhw = place(repeated[-1].shape, coarse.device, coarse.dtype)
        encoded = sam.detr_encoder(
            vision_features=[repeated[-1]],
            text_features=tokens_NLD,
            vision_pos_embeds=[place_NDhw],
            text_mask=seen_NL,
        )
        decoded = sam.detr_decoder(
            vision_features=encoded.last_hidden_state,
            text_features=tokens_NLD,
            vision_pos_encoding=encoded.pos_embeds_flattened,
            text_mask=seen_NL,
            # on the host, because the decoder reads the numbers
            spatial_shapes=torch.tensor([coarse.shape[2:]], device="cpu"),
        )
        queries_1NQD = decoded.intermediate_hidden_states[-1:]
        object_NQ = sam.dot_product_scoring(queries_1NQD, tokens_NLD, mark_NL)[0, :, :, 0]
        masks = sam.mask_decoder(
            decoder_queries=queries_1NQD[0],
            backbone_features=repeated,
            encoder_hidden_states=encoded.last_hidden_state,
            prompt_features=tokens_NLD,
            prompt_mask=seen_NL,
        )
        return masks.pred_masks, object_NQ, masks.semantic_seg, decoded.presence_logits[-1]


def combined_scores(
    mask_NQhw: Tensor,
    object_NQ: Tensor,
    semantic_N1hw: Tensor,
    presence_N1: Tensor,
    confidence: float,
) -> Tensor:
    """Score maps (N, h, w) from the logits of SAM 3, see `SAM3Decoder`."""
    presence_N1 = presence_N1.sigmoid()
    object_NQ = object_NQ.sigmoid() * presence_N1
    object_NQ = torch.where(object_NQ > confidence, object_NQ, 0)
    best_Nhw = (mask_NQhw.sigmoid() * object_NQ[:, :, None, None]).amax(1)
    return presence_N1[:, :, None] * torch.maximum(best_Nhw, semantic_N1hw[:, 0].sigmoid())
