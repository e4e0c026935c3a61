"""DeCLIPEncoder: an EVA-02 CLIP whose last block gives dense tokens."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ovss.encoders.architecture import read_model_config
from ovss.encoders.vocabulary_encoder import VocabularyEncoder
from ovss.encoders.weights import find_pretrained, fitted, preprocess_of
from ovss.interfaces import Encoder, PromptTower
from ovss.io.excerpts import excerpt
from ovss.io.weight_files import read_weights
from ovss.layers.pixels import prepare_pixels, register_pixel_statistics, whole_cells
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .eva import MODES, build_eva_clip, eva_features, eva_problem
from .eva_names import with_open_clip_names

__all__ = ["DeCLIPEncoder"]

TRAINABLE = ("none", "attention")


@ENCODERS.register_module()
class DeCLIPEncoder(Encoder):
    """EVA-02 CLIP with the dense tokens of DeCLIP (CVPR 2025), as PCA-Seg uses them.

    The last block gives the attention branch alone, with weights softmax(q q') + softmax(k k') of
    queries and keys without positions. Dense tokens have length 1. ``encoder.clip`` is open_clip's
    own module; only the attention matrices of the text tower are split.

    Args:
        model: open_clip architecture, ``EVA02-B-16`` or ``EVA02-L-14-336``.
        pretrained: open_clip tag such as ``merged2b_s8b_b131k``, path of a weight file with the
            names of open_clip, EVA-CLIP or DeCLIP, or None for random weights.
        image_size: side, or (height, width), to which images are resized bilinearly. None keeps
            their own size, rounded to whole patches.
        levels: 0-based blocks whose output patches become `ImageFeatures.levels`.
        mode: ``csa`` as above, ``qq`` for softmax(q q') alone, for weights that were distilled so.
        trainable: ``none``; or ``attention`` for what PCA-Seg trains, the query and value matrices
            of all image blocks, and the query, key and value matrices of the text tower.
        text_cache: cache for text embeddings: ``disk`` (which includes memory), ``memory`` or
            ``off``.

    Raises:
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
        mode: str = "csa",
        trainable: str = "none",
        text_cache: str = "disk",
    ) -> None:
        super().__init__()
        config = read_model_config(model)
        reason = eva_problem(config)
        if reason:
            raise ValueError(f"{model} cannot be used with DeCLIPEncoder because {reason}.")
        for name, value, known in (("mode", mode, MODES), ("trainable", trainable, TRAINABLE)):
            if value not in known:
                raise ValueError(
                    f"DeCLIPEncoder.{name} must be one of {', '.join(known)}, got {excerpt(value)}."
                )
        self._encode_vocabulary = VocabularyEncoder(config, text_cache)
        weights = find_pretrained(model, config, pretrained)
        self.clip = build_eva_clip(config)
        trunk = self.clip.visual.trunk
        wrong = [index for index in levels if not 0 <= index < len(trunk.blocks)]
        if wrong:
            raise ValueError(
                f"levels names blocks {wrong}, but the image tower has 0..{len(trunk.blocks) - 1}."
            )
        self.patch_size: tuple[int, int] = tuple(trunk.patch_embed.patch_size)
        self.image_size = whole_cells(image_size, self.patch_size)
        self.levels, self.mode = tuple(levels), mode
        self.joint_dim: int = config["embed_dim"]
        self.level_dims = (trunk.embed_dim,) * len(self.levels)
        if weights is not None:
            tensors = with_open_clip_names(read_weights(weights)[0])
            self.clip.load_state_dict(fitted(tensors, self.clip, model, weights))
        _set_trainable(self.clip, trainable == "attention")
        register_pixel_statistics(self, preprocess_of(model, config, pretrained))

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of images; dense tokens have length 1.

        Args:
            image_B3HW: RGB in 0..255, of any size and number type.

        Raises:
            ValueError: a tensor that is not (B, 3, H, W).
        """
        pixels_B3HW = prepare_pixels(
            image_B3HW, self.mean_311, self.std_311, self.image_size, self.patch_size
        )
        trunk = self.clip.visual.trunk
        pixels_B3HW = pixels_B3HW.to(trunk.patch_embed.proj.weight.dtype)
        return eva_features(trunk, pixels_B3HW, self.levels, self.mode)

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding per category and template: (T, P, C) float32, L2-normalised.

        Raises:
            ValueError: a blank name, or a prompt that is too long for the text tower. The message
                names the category.
        """
        return self._encode_vocabulary(self.clip, vocabulary)

    def prompt_tower(self) -> PromptTower | None:
        return self._encode_vocabulary.prompt_tower(self.clip)


def _set_trainable(clip: nn.Module, trains: bool) -> None:
    """Trains matrices of the attention modules, without biases; everything else is frozen."""
    image = ("attn.q_proj.weight", "attn.v_proj.weight")
    text = tuple(f"attn.{letter}_proj_weight" for letter in "qkv")
    for name, parameter in clip.named_parameters():
        parameter.requires_grad_(trains and name.endswith((*image, *text)))
