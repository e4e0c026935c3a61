"""Encoder of SAN: CLIP with a side adapter that proposes regions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.encoders.architecture import build_clip, check_architecture, read_model_config
from ovss.encoders.trainable import set_trainable
from ovss.encoders.vocabulary_encoder import VocabularyEncoder
from ovss.encoders.weights import find_pretrained, load_pretrained, preprocess_of
from ovss.interfaces import Encoder, PromptTower
from ovss.io.option_values import check_range
from ovss.layers.patches import embed_patches, tokens_as_map
from ovss.layers.pixels import pad_to_multiple, place_in_multiple, register_pixel_statistics
from ovss.layers.region_tokens import TokenSight, project_tokens, run_block, run_with_regions
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, Padding, Proposals, TextFeatures, Vocabulary

from .masks import MaskBiasDecoder
from .options import check_blocks_and_sizes
from .side import SideAdapter

__all__ = ["SANEncoder"]


@ENCODERS.register_module()
class SANEncoder(Encoder):
    """CLIP ViT with a side adapter, which proposes regions.

    The side adapter sees the padded image at full size and CLIP's features after some blocks. Its
    query tokens give masks, and a bias on the attention of region tokens in CLIP's last blocks.
    `ImageFeatures.dense_BChw` and `pooled_BC` are CLIP's own outputs of its unchanged last block.

    Args:
        model: open_clip architecture, bundled config (``mini_clip``), or path of a model JSON file.
        pretrained: open_clip tag such as ``openai``, path of a weight file, ``mini_clip`` for the
            bundled weights, or None for random weights.
        clip_scale: factor from the padded image to CLIP's input.
        split: number of blocks of CLIP before the region tokens enter.
        fusion: pairs of a number of CLIP's blocks and a number of the adapter's blocks: the feature
            after the former is added after the latter; 0 stands for the input of the first block.
        queries: Q, the number of proposals.
        width: number of channels of the side adapter.
        depth: number of blocks of the side adapter.
        heads: number of attention heads of the side adapter.
        patch: side of a patch of the side adapter, in pixels.
        grid: side of the grid of the adapter's learned positions, in patches; other grids get
            interpolated positions.
        mask_dim: number of channels of the inner products that give masks and biases.
        supervised: numbers of blocks of the adapter after which masks train; the last one is used
            at inference.
        divisor: multiple of pixels to which images are padded on the right and at the bottom.
        train_positions: True to train CLIP's position embedding, as the authors do. Everything else
            in CLIP is frozen.
        text_cache: cache for text embeddings: ``disk`` (which includes memory), ``memory`` or
            ``off``.

    Raises:
        ValueError: an unknown name, a value out of range, or an unsupported architecture.
        FileNotFoundError: a weight file that does not exist.
        RuntimeError: weights that cannot be downloaded, are corrupt, or belong to another
            architecture.
    """

    tower = "vit"
    gives_proposals = True
    proposal_sources = 1
    learned = ("masks", "side")
    checkpointed = ("**.resblocks.*.attn", "**.resblocks.*.mlp", "side.blocks.*")
    compiled = ("**.resblocks.*.mlp", "side.blocks.*")

    def __init__(
        self,
        model: str,
        pretrained: str | None = None,
        clip_scale: float = 0.5,
        split: int = 9,
        fusion: Sequence[tuple[int, int]] = ((0, 0), (3, 1), (6, 2), (9, 3)),
        queries: int = 100,
        width: int = 240,
        depth: int = 8,
        heads: int = 6,
        patch: int = 16,
        grid: int = 40,
        mask_dim: int = 256,
        supervised: Sequence[int] = (7, 8),
        divisor: int = 32,
        train_positions: bool = True,
        text_cache: str = "disk",
    ) -> None:
        super().__init__()
        config = read_model_config(model)
        check_architecture(model, config)
        self._encode_vocabulary = VocabularyEncoder(config, text_cache)
        weights = find_pretrained(model, config, pretrained)
        self.clip = build_clip(config, fill=weights is None)
        visual = self.clip.visual
        self.patch_size: tuple[int, int] = visual.patch_size
        self.joint_dim: int = visual.output_dim
        self.clip_scale, self.split, self.divisor = clip_scale, split, divisor
        self.fused_blocks = tuple(block for block, _ in fusion)
        self.supervised = tuple(supervised)
        stages = tuple(stage for _, stage in fusion)
        check_range("SANEncoder", 1, queries=queries, width=width, depth=depth, heads=heads,
                    patch=patch, grid=grid, mask_dim=mask_dim, divisor=divisor)  # fmt: skip
        check_blocks_and_sizes(self, stages, depth, patch)
        self.side = SideAdapter(
            visual.transformer.width, stages, width, depth, heads, patch, (grid, grid), queries
        )
        clip_heads = visual.transformer.resblocks[0].attn.heads
        self.masks = MaskBiasDecoder(width, mask_dim, clip_heads)
        if weights is not None:
            load_pretrained(self.clip, model, weights)
        set_trainable(self.clip, "none")
        visual.positional_embedding.requires_grad_(train_positions)
        register_pixel_statistics(self, preprocess_of(model, config, pretrained))

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of images, with proposals.

        Args:
            image_B3HW: RGB in 0..255, of any size and number type.

        Raises:
            ValueError: a tensor that is not (B, 3, H, W).
        """
        padding = place_in_multiple(image_B3HW, self.divisor)
        pixels_B3HW = pad_to_multiple(image_B3HW, self.mean_311, self.std_311, padding)
        return self.features(pixels_B3HW.to(self.side.queries.dtype), padding)

    def features(self, pixels_B3HW: Tensor, padding: Padding) -> ImageFeatures:
        """Computes the features of normalised and padded pixels.

        Args:
            pixels_B3HW: normalised pixels, zero in the padding.
            padding: place of the image in them.
        """
        tokens_BND, fused, cells = self.first_blocks(pixels_B3HW)
        taps = self.supervised if self.training else self.supervised[-1:]
        outputs, grid = self.side(pixels_B3HW, fused, taps)
        decoded = [self.masks(queries_BQD, patches_BLD) for queries_BQD, patches_BLD in outputs]
        tokens_BND, embed_BMC = self._recognise(
            tokens_BND, [_pooled(bias_BHQL, grid, cells) for _, bias_BHQL in decoded]
        )
        layers = [
            (mask_BQL.unflatten(2, grid), embed_BQC[:, :, None])
            for (mask_BQL, _), embed_BQC in zip(decoded, embed_BMC.chunk(len(taps), 1), strict=True)
        ]
        return ImageFeatures(
            dense_BChw=tokens_as_map(tokens_BND[:, 1:], cells),
            pooled_BC=tokens_BND[:, 0],
            proposals=Proposals.of_layers(layers, padding),
            padding=padding,
        )

    def first_blocks(self, pixels_B3HW: Tensor) -> tuple[Tensor, list[Tensor], tuple[int, int]]:
        """Runs CLIP's blocks before the region tokens enter, on the image at its scale.

        Returns:
            Tokens (B, 1 + h * w, D), the features to fuse, each (B, D, h, w), and the grid (h, w).
        """
        visual = self.clip.visual
        # coordinates follow from the factor itself, not from the ratio of the rounded sizes
        small_B3hw = F.interpolate(
            pixels_B3HW, scale_factor=self.clip_scale, mode="bilinear", align_corners=False
        )
        tokens_BND, cells = embed_patches(visual, small_B3hw)
        inner = {0: tokens_BND}
        for index, block in enumerate(visual.transformer.resblocks[: self.split], 1):
            inner[index] = tokens_BND = run_block(block, tokens_BND)
        return tokens_BND, [tokens_as_map(inner[i][:, 1:], cells) for i in self.fused_blocks], cells

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding per category and template: (T, P, C) float32, L2-normalised.

        Raises:
            ValueError: a blank name, or a prompt that is too long for the text tower. The message
                names the category.
        """
        return self._encode_vocabulary(self.clip, vocabulary)

    def prompt_tower(self) -> PromptTower | None:
        return self._encode_vocabulary.prompt_tower(self.clip)

    def _recognise(self, tokens_BND: Tensor, biases: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Runs CLIP's last blocks with the region tokens of all taps, which do not interact.

        Returns:
            Ordinary tokens (B, N, C) and region tokens (B, taps * Q, C) in the joint space.
        """
        visual = self.clip.visual
        bias_BHMN = torch.cat(biases, dim=2)
        region_BMD = tokens_BND[:, :1].expand(-1, bias_BHMN.shape[2], -1)
        sight = TokenSight(bias_BHMN, sees_class=False, sees_itself=True)
        last = visual.transformer.resblocks[self.split :]
        output_BND, region_BMD = run_with_regions(last, tokens_BND, region_BMD, sight)
        assert output_BND is not None
        return project_tokens(visual, output_BND), project_tokens(visual, region_BMD)


def _pooled(bias_BHQL: Tensor, grid: tuple[int, int], cells: tuple[int, int]) -> Tensor:
    """Largest bias in each cell of CLIP, (B, heads, Q, h * w)."""
    maps_BMhw = bias_BHQL.flatten(1, 2).unflatten(2, grid)
    pooled_BMhw = F.adaptive_max_pool2d(maps_BMhw, cells)
    return pooled_BMhw.flatten(2).unflatten(1, bias_BHQL.shape[1:3])
