"""GroupViTEncoder: image and text towers trained from captions; groups of cells are proposals."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ovss.encoders.vocabulary_encoder import VocabularyEncoder
from ovss.interfaces import Encoder, PromptTower
from ovss.io.option_values import check_range
from ovss.layers.pixels import prepare_pixels, register_pixel_statistics, whole_cells
from ovss.ops import resize
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, Padding, Proposals, TextFeatures, Vocabulary

from .tower import Grouped, GroupingTower, Projector, build_text_tower

__all__ = ["GroupViTEncoder"]

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Pixel statistics of ImageNet, which the authors use."""

SLOPE = 20.0
"""Factor from shares to mask logits: above 0 where the group has more than half of a pixel."""


class GroupViT(nn.Module):
    """Both towers of GroupViT and their projectors.

    Args:
        visual: image tower.
        projector: projector of the image tower.
        text: text tower, whose last part is its projector.
    """

    def __init__(self, visual: GroupingTower, projector: Projector, text: nn.Module) -> None:
        super().__init__()
        self.visual = visual
        self.visual_projector = projector
        self.text = text


@ENCODERS.register_module()
class GroupViTEncoder(Encoder):
    """Encoder of GroupViT (CVPR 2022, arXiv 2202.11094).

    Grouping blocks gather the cells into a few groups, which are the proposals: a mask logit is
    `SLOPE` times (share of the group in a cell - 1/2). The pooled embedding is that of the mean of
    the groups. Dense tokens are the groups' embeddings, mixed by the shares.

    Args:
        image_size: side, or (height, width), to which images are resized bilinearly; None keeps
            their own size, rounded to whole patches.
        patch: side of a patch in pixels.
        grid: side of the grid of the learned positions, in patches.
        width: number of channels of the image tower.
        heads: number of heads of the image tower.
        depths: number of blocks of each stage.
        groups: number of groups of each stage but the last.
        joint_dim: C, the number of channels of the joint space.
        hidden: number of hidden channels of the projectors.
        text_width, text_layers, text_heads: sizes of the text tower.
        context_length: largest number of tokens of a prompt.
        trainable: True to train both towers; False to freeze them.
        text_cache: cache for text embeddings: ``disk`` (which includes memory), ``memory`` or
            ``off``.

    Raises:
        ValueError: a number out of range, or numbers of stages and groups that do not fit.
    """

    gives_proposals = True
    proposal_sources = 1
    checkpointed = ("model.visual.stages.*.blocks.*", "**.resblocks.*.attn", "**.resblocks.*.mlp")
    compiled = ("model.visual.stages.*.blocks.*", "**.resblocks.*.mlp")

    def __init__(
        self,
        image_size: int | tuple[int, int] | None = None,
        patch: int = 16,
        grid: int = 14,
        width: int = 384,
        heads: int = 6,
        depths: Sequence[int] = (6, 3, 3),
        groups: Sequence[int] = (64, 8),
        joint_dim: int = 256,
        hidden: int = 4096,
        text_width: int = 256,
        text_layers: int = 12,
        text_heads: int = 4,
        context_length: int = 77,
        trainable: bool = False,
        text_cache: str = "disk",
    ) -> None:
        super().__init__()
        check_range("GroupViTEncoder", 1, patch=patch, grid=grid, width=width, heads=heads,
                    joint_dim=joint_dim, hidden=hidden, text_width=text_width,
                    text_layers=text_layers, text_heads=text_heads)  # fmt: skip
        if len(depths) != len(groups) + 1 or min(*depths, *groups, 1) < 1 or not groups:
            raise ValueError(
                f"GroupViTEncoder expects groups for each stage but the last, and numbers of at "
                f"least 1, got depths={tuple(depths)} and groups={tuple(groups)}."
            )
        text = {"context_length": context_length, "vocab_size": 49408, "width": text_width}
        text |= {"heads": text_heads, "layers": text_layers}
        self._encode_vocabulary = VocabularyEncoder(
            {"text_cfg": text, "quick_gelu": True}, text_cache
        )
        self.joint_dim = joint_dim
        self.patch_size = (patch, patch)
        self.image_size = whole_cells(image_size, self.patch_size)
        self.model = GroupViT(
            GroupingTower(patch, grid, width, heads, depths, groups),
            Projector(width, hidden, joint_dim),
            build_text_tower(text, Projector(text_width, hidden, joint_dim)),
        )
        self.model.requires_grad_(trainable)
        register_pixel_statistics(self, (MEAN, STD))

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of images, with proposals.

        A proposal is valid if its group owns at least one pixel of the encoder's input.

        Args:
            image_B3HW: RGB in 0..255, of any size and number type.

        Raises:
            ValueError: a tensor that is not (B, 3, H, W).
        """
        pixels_B3HW = prepare_pixels(
            image_B3HW, self.mean_311, self.std_311, self.image_size, self.patch_size
        )
        return self.features(pixels_B3HW.to(self.model.visual.positions.dtype))

    def features(self, pixels_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of normalised pixels in whole patches."""
        grouped = self.model.visual(pixels_B3HW)
        projector, tokens_BQD = self.model.visual_projector, grouped.tokens_BQD
        embed_BQC = _project_rows(projector, tokens_BQD)
        size = (pixels_B3HW.shape[2], pixels_B3HW.shape[3])
        return ImageFeatures(
            dense_BChw=torch.einsum("bqc,bqhw->bchw", embed_BQC, grouped.assigned_BQhw),
            pooled_BC=projector(tokens_BQD.mean(1)),
            proposals=_proposals(grouped, embed_BQC, size),
        )

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding per category and template: (T, P, C) float32, L2-normalised.

        Raises:
            ValueError: a blank name, or a prompt that is too long for the text tower. The message
                names the category.
        """
        return self._encode_vocabulary(self.model, vocabulary)

    def prompt_tower(self) -> PromptTower | None:
        return self._encode_vocabulary.prompt_tower(self.model)


def _project_rows(projector: Projector, tokens_BQD: Tensor) -> Tensor:
    """Projects the token of each group by the running statistics, also in training.

    The statistics are those of pooled embeddings, which are what the authors train.
    """
    first, norm, activation, last = projector
    hidden_BQc = first(tokens_BQD)
    scale_c = norm.weight * (norm.running_var + norm.eps).rsqrt()
    normed_BQc = (hidden_BQc - norm.running_mean) * scale_c + norm.bias
    return last(activation(normed_BQc))


def _proposals(grouped: Grouped, embed_BQC: Tensor, size: tuple[int, int]) -> Proposals:
    mask_BQhw = SLOPE * (grouped.assigned_BQhw - 0.5)
    with torch.no_grad():
        owner_B1HW = resize(mask_BQhw, size).argmax(1, keepdim=True)
        count_BQ = torch.zeros_like(mask_BQhw[..., 0, 0]).scatter_add_(
            1, owner_B1HW.flatten(1), torch.ones_like(owner_B1HW.flatten(1), dtype=mask_BQhw.dtype)
        )
    # the authors decide on the owner of a pixel at the size of the input
    return Proposals(mask_BQhw, embed_BQC[:, :, None], count_BQ > 0, padding=Padding(size, size))
