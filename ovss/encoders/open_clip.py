"""CLIP vision transformers of open_clip as an encoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ovss.interfaces import Encoder
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .architecture import build_clip, check_architecture, read_model_config
from .dense import dense_mode
from .pixels import prepare_pixels, register_pixel_statistics, whole_cells
from .trainable import set_trainable
from .vit import image_features
from .vocabulary_encoder import VocabularyEncoder
from .weights import find_pretrained, load_pretrained, preprocess_of

__all__ = ["OpenCLIPEncoder"]


@ENCODERS.register_module()
class OpenCLIPEncoder(Encoder):
    """Any open_clip ViT: dense tokens in the joint space, the true pooled embedding, taps, text.

    ``encoder.clip`` is open_clip's own module, so its state dict has open_clip's keys
    (``clip.visual.transformer.resblocks.0.mlp.c_fc.weight``,
    ``clip.token_embedding.weight``), except that each ``attn.in_proj_weight`` is three:
    ``attn.q_proj_weight``, ``attn.k_proj_weight``, ``attn.v_proj_weight``. A state dict with the
    fused key loads too.

    Args:
        model: open_clip architecture, a config shipped here (``mini_clip``), or a model JSON.
        pretrained: open_clip tag (``openai``, ``laion2b_s34b_b88k``), a local ``.safetensors`` or
            ``.pt`` file, ``mini_clip`` for the weights shipped here, or None for random weights.
        image_size: pixels are resized to this (side, or height and width) by bilinear
            interpolation. None takes a picture at its own size, rounded to whole patches.
        levels: 0-based blocks whose output patches are given as `ImageFeatures.levels`.
        dense: how the last block makes dense tokens: a key of `dense.DENSE_MODES`, or a dict of it
            as ``type`` and its arguments, ``dict(type="naclip", std=5.0)``.
        trainable: what trains, a rule of `trainable.set_trainable`, in both towers.
        trainable_text: another rule for the text tower; None takes `trainable`.
        attention: give patch-to-patch attention averaged over heads and blocks: True for all
            blocks but the last, or the 0-based blocks.
        class_attention: give the class token's attention to the patches, all heads of these
            0-based blocks.
        attention_gradient: let gradients through `attention`. Without, training keeps less memory.
        text_cache: ``disk`` (and memory), ``memory`` or ``off``.

    Raises:
        TypeError: an argument that the dense mode does not have.
        ValueError: an unknown name or a value out of range; an architecture without dense tokens.
        FileNotFoundError, RuntimeError: weights that are absent, unreachable, corrupt or of another
            architecture.
    """

    checkpointed = ("**.resblocks.*.attn", "**.resblocks.*.mlp")
    compiled = ("**.resblocks.*.mlp",)

    def __init__(
        self,
        model: str,
        pretrained: str | None = None,
        image_size: int | tuple[int, int] | None = None,
        levels: Sequence[int] = (),
        dense: str | dict = "maskclip",
        trainable: str = "none",
        trainable_text: str | None = None,
        attention: bool | Sequence[int] = False,
        class_attention: Sequence[int] = (),
        attention_gradient: bool = True,
        text_cache: str = "disk",
    ) -> None:
        super().__init__()
        config = read_model_config(model)
        check_architecture(model, config)
        self._encode_vocabulary = VocabularyEncoder(config, text_cache)
        weights = find_pretrained(model, config, pretrained)
        self.clip = build_clip(config, fill=weights is None)
        visual = self.clip.visual
        depth = len(visual.transformer.resblocks)
        self.patch_size: tuple[int, int] = visual.patch_size
        self.image_size = whole_cells(image_size, self.patch_size)
        self.levels = _block_indices("levels", levels, depth)
        layers = range(depth - 1) if attention is True else attention or ()
        self.attention = _block_indices("attention", layers, depth)
        self.dense = dense_mode(dense, depth)
        self.joint_dim: int = visual.output_dim
        self.level_dims = (visual.transformer.width,) * len(self.levels)
        self.gives_attention = bool(self.attention)
        self.class_attention = _block_indices("class_attention", class_attention, depth)
        self.attention_gradient = attention_gradient
        heads = visual.transformer.resblocks[0].attn.heads
        self.class_attention_dim = heads * len(self.class_attention)

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
            normalised; the tapped levels (B, D, h, w); attention (B, h * w, h * w) if asked for,
            whose rows sum to less than 1 because the class token's share is left out.
        """
        pixels_B3HW = prepare_pixels(
            image_B3HW, self.mean_311, self.std_311, self.image_size, self.patch_size
        )
        return image_features(
            self.clip.visual,
            pixels_B3HW,
            self.dense,
            self.levels,
            self.attention,
            self.class_attention,
            self.attention_gradient,
        )

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Embeddings (T, P, C) of every category under every template, float32, L2-normalised.

        Kept in memory and on disk unless the text tower trains: then they are made anew, with
        gradients. Kept ones are made in full precision, whatever autocast says.

        Raises:
            ValueError: a blank name or a prompt too long for the text tower, naming the category.
        """
        return self._encode_vocabulary(self.clip, vocabulary)


def _block_indices(name: str, indices: Sequence[int], depth: int) -> tuple[int, ...]:
    wrong = [index for index in indices if not 0 <= index < depth]
    if wrong:
        raise ValueError(f"{name} names blocks {wrong}, but the image tower has 0..{depth - 1}")
    return tuple(indices)
