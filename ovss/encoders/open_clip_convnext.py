"""Encoder for open_clip models with a ConvNeXt, which has levels at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ovss.interfaces import Encoder, PromptTower
from ovss.io.excerpts import excerpt
from ovss.layers.pixels import (
    pad_to_multiple,
    place_in_multiple,
    prepare_pixels,
    register_pixel_statistics,
    whole_cells,
)
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .architecture import build_clip, check_convnext, read_model_config, with_dropout
from .convnext import convnext_features
from .trainable import set_trainable
from .vocabulary_encoder import VocabularyEncoder
from .weights import find_pretrained, load_pretrained, preprocess_of

__all__ = ["OpenCLIPConvNeXtEncoder"]

FITS = ("resize", "pad")


@ENCODERS.register_module()
class OpenCLIPConvNeXtEncoder(Encoder):
    """CLIP model of open_clip with a ConvNeXt as image tower.

    It provides dense tokens in the joint space, the pooled embedding of pre-training, outputs of
    stages, and text embeddings. Each level has its own resolution, finer than the dense tokens by
    the factor in `level_scales`. ``encoder.clip`` is open_clip's own module, so its state dict has
    open_clip's keys; only the attention matrices of the text tower are split, as in
    `OpenCLIPEncoder`.

    Args:
        model: open_clip architecture such as ``convnext_base_w_320``, or path of a model JSON file.
        pretrained: open_clip tag, path of a ``.safetensors`` or ``.pt`` file, or None for random
            weights.
        image_size: side, or (height, width), to which images are resized bilinearly. None keeps
            their own size, rounded to whole cells of the last stage (32 pixels).
        fit: ``resize`` fits images into whole cells by resizing, ``pad`` by padding with zeros at
            the bottom and on the right, which needs ``image_size=None``.
        levels: 0-based stages whose outputs become `ImageFeatures.levels`.
        trainable: rule of `trainable.set_trainable` for the parameters that train, ``none`` or
            ``full``.
        trainable_text: rule for the text tower; None means the rule of `trainable`.
        drop_path: stochastic depth rate of the last block in training. The rate grows linearly from
            0 at the first block.
        dropout: dropout rate inside the image head in training.
        text_cache: cache for text embeddings: ``disk`` (which includes memory), ``memory`` or
            ``off``.

    Raises:
        ValueError: an unknown name, a value out of range, or an unsupported architecture.
        FileNotFoundError: a weight file that does not exist.
        RuntimeError: weights that cannot be downloaded, are corrupt, or belong to another
            architecture.
    """

    tower = "convnext"
    checkpointed = (
        "**.resblocks.*.attn",
        "**.resblocks.*.mlp",
        "**.trunk.stages.*.blocks.*",
    )
    compiled = ("**.resblocks.*.mlp", "**.trunk.stages.*.blocks.*")

    def __init__(
        self,
        model: str,
        pretrained: str | None = None,
        image_size: int | tuple[int, int] | None = None,
        levels: Sequence[int] = (),
        trainable: str = "none",
        trainable_text: str | None = None,
        drop_path: float = 0.0,
        dropout: float = 0.0,
        text_cache: str = "disk",
        fit: str = "resize",
    ) -> None:
        super().__init__()
        if fit not in FITS or (fit == "pad" and image_size is not None):
            raise ValueError(
                f"OpenCLIPConvNeXtEncoder expects fit of {' or '.join(FITS)}, and 'pad' with "
                f"image_size=None only, got {excerpt(fit)} with image_size={image_size}."
            )
        config = read_model_config(model)
        check_convnext(model, config)
        config = with_dropout(config, drop_path, dropout)
        self._encode_vocabulary = VocabularyEncoder(config, text_cache)
        weights = find_pretrained(model, config, pretrained)
        self.clip = build_clip(config, fill=weights is None)
        stages = self.clip.visual.trunk.feature_info
        wrong = [stage for stage in levels if not 0 <= stage < len(stages)]
        if wrong:
            raise ValueError(
                f"levels names stages {wrong}, but the image tower has 0..{len(stages) - 1}."
            )
        stride = stages[-1]["reduction"]
        self.cell: tuple[int, int] = (stride, stride)
        self.image_size, self.fit = whole_cells(image_size, self.cell), fit
        self.levels = tuple(levels)
        self.joint_dim: int = config["embed_dim"]
        self.level_dims = tuple(stages[stage]["num_chs"] for stage in levels)
        self.level_scales = tuple(stride // stages[stage]["reduction"] for stage in levels)

        if weights is not None:
            load_pretrained(self.clip, model, weights)
        set_trainable(self.clip, trainable, trainable_text)
        register_pixel_statistics(self, preprocess_of(model, config, pretrained))

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of images.

        Args:
            image_B3HW: RGB in 0..255, of any size and number type.

        Returns:
            Dense tokens and pooled embeddings, neither normalised; the levels, each
            (B, D_i, scale_i * h, scale_i * w). `padding` is set if `fit` is ``pad``.

        Raises:
            ValueError: a tensor that is not (B, 3, H, W).
        """
        statistics = self.mean_311, self.std_311
        if self.fit == "pad":
            padding = place_in_multiple(image_B3HW, self.cell[0])
            pixels_B3HW = pad_to_multiple(image_B3HW, *statistics, padding)
            features = convnext_features(self.clip.visual, pixels_B3HW, self.levels)
            return replace(features, padding=padding)
        pixels_B3HW = prepare_pixels(image_B3HW, *statistics, self.image_size, self.cell)
        return convnext_features(self.clip.visual, pixels_B3HW, self.levels)

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
