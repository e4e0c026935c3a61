"""CLIP ConvNeXts of open_clip as an encoder with levels at several resolutions."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ovss.interfaces import Encoder
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .architecture import build_clip, check_convnext, read_model_config, with_dropout
from .convnext import convnext_features
from .pixels import prepare_pixels, register_pixel_statistics, whole_cells
from .trainable import set_trainable
from .vocabulary_encoder import VocabularyEncoder
from .weights import find_pretrained, load_pretrained, preprocess_of

__all__ = ["OpenCLIPConvNeXtEncoder"]


@ENCODERS.register_module()
class OpenCLIPConvNeXtEncoder(Encoder):
    """Any open_clip model with a ConvNeXt image tower: dense tokens, pooled embedding, text.

    Levels are the outputs of stages, each at its own resolution: `level_scales` says how many times
    finer than the dense tokens. ``encoder.clip`` is open_clip's own module and its state dict has
    open_clip's keys, except that the text tower's attention matrices are three, as in
    `OpenCLIPEncoder`.

    Args:
        model: open_clip architecture (``convnext_base_w_320``) or a model JSON.
        pretrained: open_clip tag, a local ``.safetensors`` or ``.pt`` file, or None for random
            weights.
        image_size: pixels are resized to this (side, or height and width) by bilinear
            interpolation. None takes a picture at its own size, rounded to whole cells of the last
            stage (32 pixels).
        levels: 0-based stages whose outputs are given as `ImageFeatures.levels`.
        trainable: ``none`` or ``full``, a rule of `trainable.set_trainable`, in both towers.
        trainable_text: another rule for the text tower; None takes `trainable`.
        drop_path: in training, the share of images that the last block is left out for; it grows
            from 0 at the first block (stochastic depth).
        dropout: in training, the share of channels dropped inside the image head.
        text_cache: ``disk`` (and memory), ``memory`` or ``off``.

    Raises:
        ValueError: an unknown name or a value out of range; an architecture that is no ConvNeXt.
        FileNotFoundError, RuntimeError: weights that are absent, unreachable, corrupt or of another
            architecture.
    """

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
    ) -> None:
        super().__init__()
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
                f"levels names stages {wrong}, but the image tower has 0..{len(stages) - 1}"
            )
        stride = stages[-1]["reduction"]
        self.cell: tuple[int, int] = (stride, stride)
        self.image_size = whole_cells(image_size, self.cell)
        self.levels = tuple(levels)
        self.joint_dim: int = config["embed_dim"]
        self.level_dims = tuple(stages[stage]["num_chs"] for stage in levels)
        self.level_scales = tuple(stride // stages[stage]["reduction"] for stage in levels)

        if weights is not None:
            load_pretrained(self.clip, model, weights)
        set_trainable(self.clip, trainable, trainable_text)
        register_pixel_statistics(self, preprocess_of(model, config, pretrained))

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """RGB in 0..255, any size and number type.

        Raises:
            ValueError: not (B, 3, H, W).

        Returns:
            Dense tokens (B, C, h, w) in the joint space and pooled embeddings (B, C), neither
            normalised; the levels, each (B, D_i, scale_i * h, scale_i * w).
        """
        pixels_B3HW = prepare_pixels(
            image_B3HW, self.mean_311, self.std_311, self.image_size, self.cell
        )
        return convnext_features(self.clip.visual, pixels_B3HW, self.levels)

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Embeddings (T, P, C) of every category under every template, float32, L2-normalised.

        Kept in memory and on disk unless the text tower trains: then they are made anew, with
        gradients. Kept ones are made in full precision, whatever autocast says.

        Raises:
            ValueError: a blank name or a prompt too long for the text tower, naming the category.
        """
        return self._encode_vocabulary(self.clip, vocabulary)
