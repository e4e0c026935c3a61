"""Encoder for open_clip models with a vision transformer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ovss.interfaces import Encoder, PromptTower
from ovss.io.excerpts import excerpt
from ovss.layers.patches import check_positions, whole_patches
from ovss.layers.pixels import prepare_pixels, register_pixel_statistics, whole_cells
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .architecture import build_clip, check_architecture, read_model_config
from .dense import LastBlock, dense_mode
from .learned_context import learned_context
from .trainable import set_trainable
from .vit import image_features, last_block, pooled_embedding, to_joint_space
from .vocabulary_encoder import VocabularyEncoder
from .weights import find_pretrained, load_pretrained, preprocess_of

__all__ = ["OpenCLIPEncoder"]


@ENCODERS.register_module()
class OpenCLIPEncoder(Encoder):
    """CLIP model of open_clip with a vision transformer.

    It provides dense tokens in the joint space, the pooled embedding of pre-training, outputs of
    inner blocks, and text embeddings. ``encoder.clip`` is open_clip's own module, so its state dict
    has open_clip's keys, such as ``clip.visual.transformer.resblocks.0.mlp.c_fc.weight``. Only
    ``attn.in_proj_weight`` differs: it is split into ``attn.q_proj_weight``, ``attn.k_proj_weight``
    and ``attn.v_proj_weight``. A state dict with the fused key also loads.

    Args:
        model: open_clip architecture, bundled config (``mini_clip``), or path of a model JSON file.
        pretrained: open_clip tag such as ``openai``, path of a ``.safetensors`` or ``.pt`` file,
            ``mini_clip`` for the bundled weights, or None for random weights.
        image_size: side, or (height, width), to which images are resized bilinearly. None keeps
            their own size, rounded to whole patches.
        levels: 0-based blocks whose output patches become `ImageFeatures.levels`.
        dense: computation of dense tokens in the last block: a key of `dense.DENSE_MODES`, or a
            dict with the key as ``type`` and its arguments, such as ``dict(type="naclip",
            std=5.0)``.
        trainable: rule of `trainable.set_trainable` for the parameters that train.
        trainable_text: rule for the text tower; None means the rule of `trainable`.
        attention: blocks whose patch-to-patch attention is averaged over heads and blocks: 0-based
            indices, or True for all blocks but the last. False provides no attention.
        class_attention: 0-based blocks whose attention from the class token to the patches is
            provided, for all heads.
        attention_gradient: True to let gradients flow through `attention`. False needs less memory
            in training.
        text_cache: cache for text embeddings: ``disk`` (which includes memory), ``memory`` or
            ``off``.
        prompt_vectors: number of learned vectors that follow the start mark of every prompt (CoOp,
            IJCV 2022); 0 for none.
        train_prompts: True to train these vectors.
        stride: distance in pixels between neighbouring patches at inference; None for the patch
            size. A smaller one gives finer dense tokens from overlapping patches (PACL's trick, for
            any dense mode): half the distance means four times the tokens. It must divide the patch
            size.
        positions: rule for resizing position embeddings to the grid of an image, a key of
            `ovss.layers.patches.POSITION_RULES`. Published methods use different ones.
        fit: treatment of images whose sides do not divide into patches, without
            `image_size`: ``"resize"`` to the nearest multiples, or ``"crop"`` the last pixels off,
            as a convolution does it; the dense tokens then stand for the whole image all the same.

    Raises:
        TypeError: an argument that the dense mode does not have.
        ValueError: an unknown name, a value out of range, or an unsupported architecture.
        FileNotFoundError: a weight file that does not exist.
        RuntimeError: weights that cannot be downloaded, are corrupt, or belong to another
            architecture.
    """

    tower = "vit"
    learned = ("context_MD",)
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
        prompt_vectors: int = 0,
        train_prompts: bool = False,
        stride: int | None = None,
        positions: str = "bicubic",
        fit: str = "resize",
    ) -> None:
        super().__init__()
        config = read_model_config(model)
        check_architecture(model, config)
        self._encode_vocabulary = VocabularyEncoder(config, text_cache)
        weights = find_pretrained(model, config, pretrained)
        self.clip = build_clip(config, fill=weights is None)
        visual = self.clip.visual
        depth = len(visual.transformer.resblocks)
        if fit not in ("resize", "crop"):
            raise ValueError(
                f"OpenCLIPEncoder.fit must be 'resize' or 'crop', got {excerpt(fit)}. Choose one."
            )
        self.fit = fit
        self.patch_size: tuple[int, int] = visual.patch_size
        self.image_size = whole_cells(image_size, self.patch_size)
        self.stride = _stride(stride, self.patch_size)
        self.positions = check_positions("OpenCLIPEncoder", positions)
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
        self.context_MD = learned_context(self.clip, config, prompt_vectors, train_prompts)
        register_pixel_statistics(self, preprocess_of(model, config, pretrained))

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of images.

        Args:
            image_B3HW: RGB in 0..255, of any size and number type.

        Returns:
            Dense tokens and pooled embeddings, neither normalised; the levels, each (B, D, h, w);
            attention, if configured. The rows of the attention sum to less than 1, because the part
            on the class token is left out.

        Raises:
            ValueError: a tensor that is not (B, 3, H, W).
        """
        if self.fit == "crop" and self.image_size is None and image_B3HW.ndim == 4:
            image_B3HW = whole_patches(image_B3HW, self.patch_size)
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
            None if self.training else self.stride,
            self.positions,
        )

    def last_block(self, pixels_B3HW: Tensor) -> LastBlock:
        """Runs all blocks of the image tower but the last one.

        Args:
            pixels_B3HW: normalised pixels; H and W are multiples of the patch size.
        """
        return last_block(self.clip.visual, pixels_B3HW, self.positions)

    def to_joint_space(self, tokens_BND: Tensor) -> Tensor:
        """Output tokens of the last block in the joint space, (B, N, C), not normalised."""
        return to_joint_space(self.clip.visual, tokens_BND)

    def pooled_embedding(self, last: LastBlock) -> Tensor:
        """Image embedding of pre-training, (B, C), not normalised."""
        return pooled_embedding(self.clip.visual, last)

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding per category and template: (T, P, C) float32, L2-normalised.

        Embeddings are cached in memory and on disk, and computed in full precision even under
        autocast. While the text tower is being trained they are computed in every call, with
        gradients, and not cached.

        Raises:
            ValueError: a blank name, or a prompt that is too long for the text tower. The message
                names the category.
        """
        return self._encode_vocabulary(self.clip, vocabulary, self.context_MD)

    def prompt_tower(self) -> PromptTower | None:
        return self._encode_vocabulary.prompt_tower(self.clip, self.context_MD)


def _block_indices(name: str, indices: Sequence[int], depth: int) -> tuple[int, ...]:
    wrong = [index for index in indices if not 0 <= index < depth]
    if wrong:
        raise ValueError(f"{name} names blocks {wrong}, but the image tower has 0..{depth - 1}.")
    return tuple(indices)


def _stride(stride: int | None, patch_size: tuple[int, int]) -> int | None:
    if stride is not None and (stride < 1 or any(side % stride for side in patch_size)):
        raise ValueError(
            f"OpenCLIPEncoder.stride must divide the patch size {patch_size}, got {stride}. Choose "
            f"a divisor, such as {max(1, patch_size[0] // 2)}."
        )
    return stride
