"""SAM3Encoder: features of SAM 3's towers, once for an image, and of a CLIP model."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.encoders.tokenizer import Tokenizer
from ovss.interfaces import Encoder
from ovss.io.fingerprint import Fingerprint
from ovss.layers.pixels import prepare_pixels, register_pixel_statistics
from ovss.ops import resize
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary
from ovss.vocabularies.prompts import names_by_category

from .parts import ENCODER, build_sam3

__all__ = ["SAM3Encoder"]

HALF = (127.5, 127.5, 127.5)
"""Mean and standard deviation of the pixels in SAM 3's pre-training."""

MEMORY = 4
"""Number of vocabularies whose embeddings are kept."""


@ENCODERS.register_module()
class SAM3Encoder(Encoder):
    """Image and text towers of SAM 3 (arXiv 2511.16719; extra ``sam3``), computed once.

    The levels of the image, fine first, and those of the text (a token for each piece of the name,
    and a mark where there is one) are what `SAM3Decoder` reads. SAM 3's features of images and
    names are not comparable by their cosine. A selector therefore needs a CLIP model, whose dense
    tokens and text embeddings then form the joint space; without one only ``KeepAll`` makes sense.

    Args:
        architecture: arguments of `Sam3Config` of transformers; None for those of `pretrained`, or
            the published size.
        pretrained: local folder in the layout of transformers, with weights as safetensors; None
            for random weights.
        clip: config of an encoder that gives dense tokens for a selector; None for SAM 3's own.
        image_size: side of the square to which images are resized; None for that of pre-training.

    Raises:
        FileNotFoundError: a folder that does not exist.
        MissingExtraError: transformers is not installed, or too old for SAM 3.
        ValueError: weights of another architecture, or a size that is not a whole number of
            patches.
    """

    level_scales = (4, 2, 1)

    def __init__(
        self,
        architecture: dict | None = None,
        pretrained: str | None = None,
        clip: dict | None = None,
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        self.sam = build_sam3("SAM3Encoder", ENCODER, architecture, pretrained)
        vision, text = self.sam.config.vision_config, self.sam.config.text_config
        tower = vision.backbone_config
        self.image_size: int = image_size or tower.image_size
        if self.image_size % tower.patch_size:
            raise ValueError(
                f"SAM3Encoder.image_size must be a multiple of the patch of {tower.patch_size} "
                f"pixels, got {self.image_size}."
            )
        self.patch_size = tower.patch_size
        self.level_dims = (vision.fpn_hidden_size,) * 3
        self.text_dim: int = self.sam.text_projection.out_features
        self.text_level_dims = (self.text_dim, 1)
        self.inner: Any = None if clip is None else ENCODERS.build(clip)
        self.joint_dim = vision.fpn_hidden_size if clip is None else self.inner.joint_dim
        self.tokenizer = Tokenizer({"context_length": text.max_position_embeddings})
        self._known: OrderedDict[tuple, tuple[Tensor, Tensor]] = OrderedDict()
        self._fingerprint = Fingerprint()
        register_pixel_statistics(self, (HALF, HALF))

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of images.

        Args:
            image_B3HW: RGB in 0..255.
        """
        size = (self.image_size, self.image_size)
        cell = (self.patch_size, self.patch_size)
        pixels_B3SS = prepare_pixels(image_B3HW, self.mean_311, self.std_311, size, cell)
        levels = tuple(self.sam.get_vision_features(pixels_B3SS).fpn_hidden_states[:3])
        if self.inner is None:
            return ImageFeatures(levels[2], levels[2].mean((2, 3)), levels)
        features = self.inner.encode_image(image_B3HW)
        grid = (levels[2].shape[2], levels[2].shape[3])
        return ImageFeatures(resize(features.dense_BChw, grid), features.pooled_BC, levels)

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes the tokens of each name, and one embedding per template for a selector.

        SAM 3 reads names as they are, without a template, and one synonym of each category.

        Raises:
            ValueError: a blank name, or one that is too long for SAM 3.
        """
        tokens_TLD, mark_TL1 = self._name_tokens(vocabulary)
        if self.inner is not None:
            source_TPC = self.inner.encode_text(vocabulary).source_TPC
        else:
            mean_TD = (tokens_TLD * mark_TL1).sum(1) / mark_TL1.sum(1)
            mean_TC = mean_TD[:, : self.joint_dim]
            rest = self.joint_dim - mean_TC.shape[1]
            source_TPC = F.normalize(F.pad(mean_TC, (0, rest)), dim=1)[:, None]
        return TextFeatures(source_TPC, (tokens_TLD, mark_TL1), vocabulary)

    def _name_tokens(self, vocabulary: Vocabulary) -> tuple[Tensor, Tensor]:
        """Tokens (T, L, D) of the names, and 1 where there is one, (T, L, 1)."""
        names = tuple(synonyms[0] for synonyms in names_by_category(vocabulary))
        towers = dict(self.sam.text_encoder.named_parameters(prefix="text"))
        towers |= dict(self.sam.text_projection.named_parameters(prefix="projection"))
        parameter = next(iter(towers.values()))
        key = (names, str(parameter.device), "" if parameter.is_meta else self._fingerprint(towers))
        if key not in self._known:
            self._known[key] = self._encode_names(names)
        self._known.move_to_end(key)
        while len(self._known) > MEMORY:
            self._known.popitem(last=False)
        return self._known[key]

    @torch.no_grad()
    @torch.inference_mode(mode=False)
    def _encode_names(self, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        device = self.mean_311.device
        rows = [self.tokenizer(name) for name in names]
        longest = max(map(len, rows))
        ids_TL = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
        lengths_T1 = torch.tensor([[len(row)] for row in rows], device=device)
        mark_TL = torch.arange(longest, device=device) < lengths_T1
        parts = [
            self.sam.get_text_features(input_ids=ids, attention_mask=mark.long()).pooler_output
            for ids, mark in zip(ids_TL.split(64), mark_TL.split(64), strict=True)
        ]
        return torch.cat(parts), mark_TL[:, :, None].to(parts[0].dtype)
