"""Encoder of ZegCLIP: a frozen CLIP ViT with learned prompts in every block."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.encoders.architecture import build_clip, check_architecture, read_model_config
from ovss.encoders.trainable import set_trainable
from ovss.encoders.vocabulary_encoder import VocabularyEncoder
from ovss.encoders.weights import find_pretrained, load_pretrained, preprocess_of
from ovss.interfaces import Encoder, PromptTower
from ovss.io.option_values import check_range
from ovss.layers.pixels import prepare_pixels, register_pixel_statistics
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .prompts import DeepPrompts, attend_with_prompts

__all__ = ["DeepPromptEncoder"]


@ENCODERS.register_module()
class DeepPromptEncoder(Encoder):
    """Frozen CLIP ViT with trained visual prompts in every block (VPT-Deep, ECCV 2022).

    The dense tokens are the patches of the last block, after its ordinary attention; the pooled
    embedding is the class token. Both pass a trained norm before CLIP's own.

    Args:
        model: open_clip architecture, bundled config (``mini_clip``), or path of a model JSON file.
        pretrained: open_clip tag such as ``openai``, path of a weight file, ``mini_clip`` for the
            bundled weights, or None for random weights.
        prompts: number of prompts in each block.
        dropout: dropout rate of the prompts.
        grid: side of the grid of position embeddings in patches. They are resized to it bilinearly
            after loading, and again in each call if the image has another grid. None keeps the grid
            of pre-training.
        class_embeddings: number of times that the class embedding is added to the class token; 2 in
            the authors' code.
        pixel_mean: mean of the pixels in 0..255; None means that of CLIP.
        pixel_std: standard deviation of the pixels in 0..255; None means that of CLIP.
        text_cache: cache for text embeddings: ``disk`` (which includes memory), ``memory`` or
            ``off``.

    Raises:
        ValueError: an unknown name, a value out of range, or an unsupported architecture.
        FileNotFoundError: a weight file that does not exist.
        RuntimeError: weights that cannot be downloaded, are corrupt, or belong to another
            architecture.
    """

    learned = ("prompts",)
    checkpointed = ("**.resblocks.*.mlp",)
    compiled = ("**.resblocks.*.mlp",)

    def __init__(
        self,
        model: str,
        pretrained: str | None = None,
        prompts: int = 10,
        dropout: float = 0.1,
        grid: int | None = 32,
        class_embeddings: int = 2,
        pixel_mean: Sequence[float] | None = None,
        pixel_std: Sequence[float] | None = None,
        text_cache: str = "disk",
    ) -> None:
        super().__init__()
        check_range("DeepPromptEncoder", 1, prompts=prompts, class_embeddings=class_embeddings)
        check_range("DeepPromptEncoder", 0, 1, dropout=dropout)
        config = read_model_config(model)
        check_architecture(model, config)
        self._encode_vocabulary = VocabularyEncoder(config, text_cache)
        weights = find_pretrained(model, config, pretrained)
        self.clip = build_clip(config, fill=weights is None)
        visual = self.clip.visual
        if visual.pool_type != "tok":
            raise ValueError(
                f"DeepPromptEncoder expects a CLIP whose image embedding is its class token, got "
                f"pool type {visual.pool_type!r}. Choose another architecture."
            )
        if weights is not None:
            load_pretrained(self.clip, model, weights)
        if grid is not None:
            check_range("DeepPromptEncoder", 1, grid=grid)
            _store_positions(visual, (grid, grid))
        del self.clip.logit_scale  # scales cosines, which this method does not use
        set_trainable(self.clip, "none")
        self.patch_size: tuple[int, int] = visual.patch_size
        self.joint_dim: int = visual.output_dim
        self.class_embeddings = class_embeddings
        width, depth = visual.transformer.width, len(visual.transformer.resblocks)
        self.prompts = DeepPrompts(prompts, width, depth, max(self.patch_size), dropout)
        own = preprocess_of(model, config, pretrained)
        statistics = [_channels(given, known) for given, known in zip((pixel_mean, pixel_std), own)]
        register_pixel_statistics(self, statistics)

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes dense tokens and the pooled embedding, neither normalised.

        Args:
            image_B3HW: RGB in 0..255, of any size and number type.

        Raises:
            ValueError: a tensor that is not (B, 3, H, W).
        """
        pixels_B3HW = prepare_pixels(image_B3HW, self.mean_311, self.std_311, None, self.patch_size)
        visual = self.clip.visual
        tokens_BND, grid = self._first_tokens(pixels_B3HW)
        for block, prompts_1MD in zip(visual.transformer.resblocks, self.prompts()):
            tokens_BND = attend_with_prompts(block, tokens_BND, prompts_1MD)
        joint_BNC = visual.ln_post(self.prompts.norm(tokens_BND)) @ visual.proj
        return ImageFeatures(
            dense_BChw=joint_BNC[:, 1:].transpose(1, 2).unflatten(2, grid),
            pooled_BC=joint_BNC[:, 0],
        )

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding per category and template: (T, P, C) float32, L2-normalised.

        Raises:
            ValueError: a blank name, or a prompt that is too long for the text tower. The message
                names the category.
        """
        return self._encode_vocabulary(self.clip, vocabulary)

    def prompt_tower(self) -> PromptTower | None:
        return self._encode_vocabulary.prompt_tower(self.clip)

    def _first_tokens(self, pixels_B3HW: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Input (B, 1 + h * w, D) of the first block, without prompts, and the grid (h, w)."""
        visual = self.clip.visual
        patches_BDhw = visual.conv1(pixels_B3HW.to(visual.conv1.weight.dtype))
        grid = (patches_BDhw.shape[2], patches_BDhw.shape[3])
        positions_ND = _resized(visual.positional_embedding, visual.grid_size, grid)
        class_D = self.class_embeddings * visual.class_embedding + positions_ND[0]
        patches_BND = patches_BDhw.flatten(2).transpose(1, 2) + positions_ND[1:]
        class_B1D = class_D.expand(patches_BND.shape[0], 1, -1)
        return visual.ln_pre(torch.cat([class_B1D, patches_BND], dim=1)), grid


def _store_positions(visual: nn.Module, grid: tuple[int, int]) -> None:
    """Replaces the position embeddings of a tower by those of another grid."""
    old = visual.positional_embedding.detach()
    visual.positional_embedding = nn.Parameter(_resized(old, visual.grid_size, grid))
    visual.grid_size = grid


def _resized(positions_ND: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Position embeddings of another grid: bilinear, class token first and unchanged."""
    if old == new:
        return positions_ND
    grid_1Dhw = positions_ND[1:].T.unflatten(1, old)[None]
    grid_1Dhw = F.interpolate(grid_1Dhw, size=new, mode="bilinear", align_corners=False)
    return torch.cat([positions_ND[:1], grid_1Dhw[0].flatten(1).T])


def _channels(given: Sequence[float] | None, known: Sequence[float]) -> Sequence[float]:
    """Values for red, green and blue: those given, or the known ones.

    Raises:
        ValueError: another number of values.
    """
    if given is None:
        return known
    if len(given) != 3:
        raise ValueError(
            f"DeepPromptEncoder expects pixel statistics of 3 channels, got {len(given)} values. "
            f"Give one for red, green and blue."
        )
    return given
