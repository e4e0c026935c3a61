"""Encoder for open_clip models whose image tower is a vision transformer of timm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ovss.interfaces import Encoder, PromptTower
from ovss.io.excerpts import excerpt
from ovss.layers.patches import check_positions
from ovss.layers.pixels import prepare_pixels, register_pixel_statistics, whole_cells
from ovss.layers.timm_tokens import patch_of
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .architecture import build_clip, check_timm, read_model_config
from .dense import LastBlock, dense_mode
from .timm_tower import embed_cells, embed_image, timm_features, timm_last_block
from .trainable import set_trainable
from .vocabulary_encoder import VocabularyEncoder
from .weights import find_pretrained, load_pretrained, preprocess_of

__all__ = ["TimmCLIPEncoder"]

RULES = ("none", "full")
CLASS_MODES = ("cat_seg", "sc_clip")
"""Dense modes that read the class token."""


@ENCODERS.register_module()
class TimmCLIPEncoder(Encoder):
    """CLIP model of open_clip with a vision transformer of timm: SigLIP, EVA-CLIP, PE and others.

    It provides dense tokens in the joint space, the pooled embedding of pre-training, outputs of
    inner blocks, and text embeddings. Towers with an attention pool (SigLIP, SigLIP 2, PE) apply it
    to each cell alone. ``encoder.clip`` is open_clip's own module, whose keys the state dict has;
    only the attention matrices of the text tower are split, as in `OpenCLIPEncoder`.

    Args:
        model: open_clip architecture such as ``ViT-B-16-SigLIP2``, ``EVA02-B-16``,
            ``PE-Core-B-16`` or ``MobileCLIP2-B``, or path of a model JSON file.
        pretrained: open_clip tag such as ``webli``, path of a ``.safetensors`` or ``.pt`` file, or
            None for random weights.
        image_size: side, or (height, width), to which images are resized bilinearly. None keeps
            their own size, rounded to whole patches.
        levels: 0-based blocks whose output patches become `ImageFeatures.levels`.
        dense: computation of dense tokens, as in `OpenCLIPEncoder`; ``cat_seg`` and
            ``sc_clip`` need a class token.
        rotate: True if dense modes that compare queries or keys with each other do so with their
            rotary positions (EVA-02, PE); False compares contents alone, as DeCLIP does.
        trainable: rule of `trainable.set_trainable` for the image tower, ``none`` or ``full``.
        trainable_text: rule for the text tower; None means the rule of `trainable`.
        text_cache: cache for text embeddings: ``disk`` (which includes memory), ``memory`` or
            ``off``.
        positions: rule for the position embeddings of another grid, a key of
            `ovss.layers.patches.POSITION_RULES`; timm's own is ``antialias``.
        pixel_mean: mean of the pixels in 0..1; None for that of the tag, or of the tags of the
            architecture if they agree.
        pixel_std: standard deviation of the pixels in 0..1; None as for `pixel_mean`.

    Raises:
        TypeError: an argument that the dense mode does not have.
        ValueError: an unknown name, a value out of range, or an unsupported architecture.
        FileNotFoundError: a weight file that does not exist.
        RuntimeError: weights that cannot be downloaded, are corrupt, or belong to another
            architecture.
    """

    checkpointed = ("**.trunk.blocks.*.mlp", "**.resblocks.*.attn", "**.resblocks.*.mlp")
    compiled = ("**.trunk.blocks.*.mlp", "**.resblocks.*.mlp")

    def __init__(
        self,
        model: str,
        pretrained: str | None = None,
        image_size: int | tuple[int, int] | None = None,
        levels: Sequence[int] = (),
        dense: str | dict = "maskclip",
        rotate: bool = False,
        trainable: str = "none",
        trainable_text: str | None = None,
        text_cache: str = "disk",
        positions: str = "bicubic",
        pixel_mean: Sequence[float] | None = None,
        pixel_std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if trainable not in RULES:
            raise ValueError(
                f"TimmCLIPEncoder.trainable must be {' or '.join(RULES)}, got {excerpt(trainable)}."
            )
        config = read_model_config(model)
        check_timm(model, config)
        self._encode_vocabulary = VocabularyEncoder(config, text_cache)
        weights = find_pretrained(model, config, pretrained)
        self.clip = build_clip(config)
        trunk: Any = self.clip.visual.trunk
        depth = len(trunk.blocks)
        wrong = [index for index in levels if not 0 <= index < depth]
        if wrong:
            raise ValueError(
                f"levels names blocks {wrong}, but the image tower has 0..{depth - 1}."
            )
        self.patch_size: tuple[int, int] = patch_of(trunk)
        self.image_size = whole_cells(image_size, self.patch_size)
        self.positions = check_positions("TimmCLIPEncoder", positions)
        self.levels, self.rotate = tuple(levels), rotate
        self.dense = dense_mode(dense, depth)
        if not trunk.num_prefix_tokens and _mode_name(dense) in CLASS_MODES:
            raise ValueError(
                f"Dense mode {_mode_name(dense)} adds the class token's input to every patch, but "
                f"the image tower of {model} has no class token. Choose maskclip."
            )
        self.joint_dim: int = config["embed_dim"]
        self.level_dims = (trunk.embed_dim,) * len(self.levels)
        if weights is not None:
            load_pretrained(self.clip, model, weights)
        set_trainable(self.clip, trainable, trainable_text)
        known = preprocess_of(model, config, pretrained)
        statistics = [
            values if own is None else [255 * value for value in own]
            for own, values in zip((pixel_mean, pixel_std), known, strict=True)
        ]
        register_pixel_statistics(self, statistics)

    @property
    def scale_and_bias(self) -> tuple[Tensor, Tensor]:
        """Scale and bias of pre-training: a pair matches with sigmoid(scale * cosine + bias).

        The bias is 0 for models that were trained with a softmax, which does not see a bias.
        """
        bias: Tensor | None = self.clip.logit_bias
        scale = self.clip.logit_scale.exp()
        return scale, torch.zeros_like(scale) if bias is None else bias

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of images.

        Args:
            image_B3HW: RGB in 0..255, of any size and number type.

        Returns:
            Dense tokens and pooled embeddings, neither normalised; the levels, each (B, D, h, w).

        Raises:
            ValueError: a tensor that is not (B, 3, H, W).
        """
        statistics = self.mean_311, self.std_311
        pixels_B3HW = prepare_pixels(image_B3HW, *statistics, self.image_size, self.patch_size)
        visual = self.clip.visual
        return timm_features(
            visual, pixels_B3HW, self.dense, self.levels, self.positions, self.rotate
        )

    def last_block(self, pixels_B3HW: Tensor) -> LastBlock:
        """Runs all blocks of the image tower but the last one.

        Args:
            pixels_B3HW: normalised pixels; H and W are multiples of the patch size.
        """
        return timm_last_block(self.clip.visual, pixels_B3HW, self.positions, self.rotate)[0]

    def to_joint_space(self, tokens_BND: Tensor) -> Tensor:
        """Output tokens of the last block in the joint space, (B, N, C), not normalised."""
        return embed_cells(self.clip.visual, tokens_BND)

    def pooled_embedding(self, last: LastBlock) -> Tensor:
        """Image embedding of pre-training, (B, C), not normalised."""
        return embed_image(self.clip.visual, last)

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding per category and template: (T, P, C) float32, L2-normalised.

        Embeddings are cached in memory and on disk, and computed in full precision even under
        autocast. While the text tower is being trained they are computed in every call, with
        gradients, and not cached.

        Raises:
            ValueError: a blank name, or a prompt that is too long for the text tower. The message
                names the category.
        """
        return self._encode_vocabulary(self.clip, vocabulary)

    def prompt_tower(self) -> PromptTower | None:
        return self._encode_vocabulary.prompt_tower(self.clip)


def _mode_name(dense: str | dict) -> str:
    return dense if isinstance(dense, str) else str(dense.get("type"))
