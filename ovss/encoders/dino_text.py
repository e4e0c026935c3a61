"""DINOv3 aligned with text (dino.txt): a vision head of two blocks, and a text tower."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ovss.interfaces import Encoder, PromptTower
from ovss.io.deferred import weights_are_deferred
from ovss.io.excerpts import some_of
from ovss.io.option_values import check_range
from ovss.io.weight_files import read_weights
from ovss.layers.patches import tokens_as_map
from ovss.layers.pixels import prepare_pixels, whole_cells
from ovss.layers.timm_tokens import tower_tokens
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .attention import split_attention
from .vision_model import VisionModel, build_vision_model
from .vocabulary_encoder import VocabularyEncoder

__all__ = ["DinoTextEncoder"]

HIDDEN = 2752 / 1024
"""Inner channels of the vision head's MLP, relative to its width."""


@ENCODERS.register_module()
class DinoTextEncoder(Encoder):
    """DINOv3 with its text-aligned head (dino.txt, arXiv 2412.16334; DINOv3, arXiv 2508.10104).

    Two blocks without positions follow the frozen backbone, on class token, registers and patches.
    The image embedding of pre-training is the class token's output followed by the mean of the
    patches', and the text embedding is as long. Patches therefore compare with the second half of
    the text embedding, which alone is returned. The pooled embedding is the mean of the patches.
    Nothing trains.

    Args:
        backbone: arguments of `vision_model.VisionModel`, a plain vision transformer of timm.
        pretrained: file with the weights of the vision head (``head.*``) and of the text tower
            (``text.*``), in the names of this module; None for random weights.
        image_size: side, or (height, width), to which images are resized bilinearly. None keeps
            their own size, rounded to whole patches.
        head_blocks: number of blocks of the vision head.
        head_heads: number of attention heads of each.
        text_width: number of channels of the text tower.
        text_heads: number of attention heads of the text tower.
        text_layers: number of blocks of the text tower.
        text_cache: cache for text embeddings: ``disk`` (which includes memory), ``memory`` or
            ``off``.

    Raises:
        TypeError: an argument that the backbone does not have.
        ValueError: a value out of range, or a backbone that is not supported.
        FileNotFoundError: a weight file that does not exist.
        RuntimeError: weights that cannot be downloaded, or belong to another architecture.
    """

    def __init__(
        self,
        backbone: dict,
        pretrained: str | None = None,
        image_size: int | tuple[int, int] | None = None,
        head_blocks: int = 2,
        head_heads: int = 16,
        text_width: int = 1280,
        text_heads: int = 20,
        text_layers: int = 24,
        text_cache: str = "disk",
    ) -> None:
        super().__init__()
        check_range("DinoTextEncoder", 0, head_blocks=head_blocks)
        check_range("DinoTextEncoder", 1, head_heads=head_heads, text_layers=text_layers)
        vision = build_vision_model(backbone)
        if not isinstance(vision, VisionModel) or vision.is_sam or vision.size is not None:
            raise ValueError(
                "DinoTextEncoder.backbone expects a plain vision transformer of timm without a "
                "size. Choose one such as vit_large_patch16_dinov3_qkvb.lvd1689m."
            )
        self.backbone = vision
        self.image_size = whole_cells(image_size, vision.patch)
        self.joint_dim: int = vision.dim
        self.head = _vision_head(vision.dim, head_blocks, head_heads)
        text = {
            "context_length": 77, "vocab_size": 49408, "width": text_width, "heads": text_heads,
            "layers": text_layers,
        }  # fmt: skip
        self._encode_vocabulary = VocabularyEncoder({"text_cfg": text}, text_cache, last=vision.dim)
        self.clip = _text_tower(text, 2 * vision.dim)
        if pretrained is not None and not weights_are_deferred():
            self._load(pretrained)
        self.requires_grad_(False)

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of images.

        Args:
            image_B3HW: RGB in 0..255, of any size and number type.
        """
        vision = self.backbone
        statistics = vision.mean_311, vision.std_311
        pixels_B3HW = prepare_pixels(image_B3HW, *statistics, self.image_size, vision.patch)
        pixels_B3HW = pixels_B3HW.to(vision.trunk.patch_embed.proj.weight.dtype)
        tokens_BND, grid = tower_tokens(
            vision.trunk, pixels_B3HW, vision.positions, with_prefix=True
        )
        dense_BMC = self.head(tokens_BND)[:, vision.trunk.num_prefix_tokens :]
        return ImageFeatures(tokens_as_map(dense_BMC, grid), dense_BMC.mean(1))

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding per category and template: (T, P, C) float32, L2-normalised.

        It is the half of the text embedding that met the mean of the patches in pre-training.

        Raises:
            ValueError: a blank name, or a prompt that is too long for the text tower. The message
                names the category.
        """
        return self._encode_vocabulary(self.clip, vocabulary)

    def prompt_tower(self) -> PromptTower | None:
        return self._encode_vocabulary.prompt_tower(self.clip)

    def _load(self, pretrained: str) -> None:
        if not Path(pretrained).is_file():
            raise FileNotFoundError(
                f"Weight file {pretrained} of DinoTextEncoder does not exist. Check the path."
            )
        tensors = read_weights(pretrained)[0]
        parts = {"head.": self.head, "text.": self.clip.text}
        expected = {p + n: v for p, part in parts.items() for n, v in part.state_dict().items()}
        wrong = [n for n, v in expected.items() if n not in tensors or tensors[n].shape != v.shape]
        if wrong:
            raise RuntimeError(
                f"The weights in {pretrained} do not fit DinoTextEncoder: {len(wrong)} of "
                f"{len(expected)} tensors are missing or of another shape ({some_of(wrong, 3)}). "
                f"Use weights of this architecture."
            )
        for prefix, part in parts.items():
            part.load_state_dict({name: tensors[prefix + name] for name in part.state_dict()})


def _vision_head(dim: int, blocks: int, heads: int) -> nn.Sequential:
    """Blocks without positions on all tokens, and a norm."""
    from timm.models.eva import EvaBlock

    made: list[nn.Module] = [
        EvaBlock(dim, heads, qkv_bias=False, mlp_ratio=HIDDEN, swiglu_mlp=True, init_values=1e-5)
        for _ in range(blocks)
    ]
    return nn.Sequential(*made, nn.LayerNorm(dim))


def _text_tower(config: dict[str, Any], dim: int) -> nn.Module:
    """Module with a causal text tower of CLIP, whose queries, keys and values have no bias."""
    from open_clip.transformer import TextTransformer

    clip = nn.Module()
    clip.text = TextTransformer(**config, output_dim=dim)
    split_attention(clip.text.transformer.resblocks)
    with torch.no_grad():
        for block in clip.text.transformer.resblocks:
            block.attn.in_proj_bias.zero_()
    return clip
