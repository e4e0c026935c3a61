"""Encoder of EBSeg: CLIP and SAM, which propose regions with three embeddings each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.encoders.architecture import build_clip, check_architecture, read_model_config
from ovss.encoders.dense_paths import clip_surgery
from ovss.encoders.last_block import LastBlock
from ovss.encoders.trainable import set_trainable
from ovss.encoders.vocabulary_encoder import VocabularyEncoder
from ovss.encoders.weights import find_pretrained, load_pretrained, preprocess_of
from ovss.interfaces import Encoder, PromptTower
from ovss.io.option_values import check_range
from ovss.layers.hard_pool import hard_pool
from ovss.layers.mask_queries import MaskQueries, MaskQueryDecoder
from ovss.layers.patches import embed_patches, tokens_as_map
from ovss.layers.pixel_decoder import PixelDecoder
from ovss.layers.pixels import pad_to_multiple, place_in_multiple, register_pixel_statistics
from ovss.layers.region_tokens import TokenSight, project_tokens, run_block, run_with_regions
from ovss.registry import ENCODERS, check_arguments
from ovss.structures import ImageFeatures, Padding, Proposals, TextFeatures, Vocabulary

from .options import check_options
from .parts import PyramidFusion, RegionBias, ScaledClassEmbedding
from .sam import MEAN, STD, SAMPyramid, load_sam

__all__ = ["EBSegEncoder"]


@ENCODERS.register_module()
class EBSegEncoder(Encoder):
    """CLIP ViT and the image encoder of SAM, with a query decoder that proposes regions.

    Each proposal has three embeddings: that of the query decoder, that of a region token in CLIP's
    last blocks, and the mean of CLIP's dense tokens under the mask. The dense tokens are those of
    CLIP Surgery. In training the third embedding is left out, and `ImageFeatures.dense_BChw` holds
    the tokens of CLIP's ordinary last block.

    Args:
        model: open_clip architecture, bundled config (``mini_clip``), or path of a model JSON file.
        pretrained: open_clip tag such as ``openai``, path of a weight file, ``mini_clip`` for the
            bundled weights, or None for random weights.
        sam: arguments of `sam.SAMPyramid`, and ``pretrained``: path of a published SAM checkpoint
            with this image encoder, such as ``sam_vit_b_01ec64.pth``; None for random weights.
        clip_scale: factor from the padded image to CLIP's input.
        split: number of blocks of CLIP before the region tokens enter.
        surgery: 0-based first block of CLIP Surgery's second path.
        taps: numbers of CLIP's blocks whose outputs are added to the three coarser levels.
        queries: Q, the number of proposals.
        dim: number of channels of the pixel decoder and of the queries.
        heads: number of attention heads of both.
        pixel_layers: number of layers of the pixel decoder.
        pixel_feedforward: number of hidden channels of its MLPs.
        layers: number of layers of the query decoder.
        feedforward: number of hidden channels of its MLPs.
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
    proposal_sources = 3
    training_sources = 2
    learned = ("bias", "fusion", "pixels", "queries")
    checkpointed = (
        "**.resblocks.*.attn",
        "**.resblocks.*.mlp",
        "sam.trunk.blocks.*",
        "pixels.layers.*",
        "queries.layers.*",
        "bias",
    )
    compiled = ("**.resblocks.*.mlp", "queries.layers.*")

    def __init__(
        self,
        model: str,
        pretrained: str | None = None,
        sam: dict[str, Any] | None = None,
        clip_scale: float = 0.5,
        split: int = 9,
        surgery: int = 2,
        taps: Sequence[int] = (3, 6, 9),
        queries: int = 100,
        dim: int = 256,
        heads: int = 8,
        pixel_layers: int = 6,
        pixel_feedforward: int = 1024,
        layers: int = 9,
        feedforward: int = 2048,
        divisor: int = 32,
        train_positions: bool = True,
        text_cache: str = "disk",
    ) -> None:
        super().__init__()
        config = read_model_config(model)
        check_architecture(model, config)
        check_range("EBSegEncoder", 1, divisor=divisor, dim=dim, heads=heads)
        self._encode_vocabulary = VocabularyEncoder(config, text_cache)
        weights = find_pretrained(model, config, pretrained)
        self.clip = build_clip(config, fill=weights is None)
        visual = self.clip.visual
        self.joint_dim: int = visual.output_dim
        self.clip_scale, self.split, self.surgery = clip_scale, split, surgery
        self.taps, self.divisor = tuple(taps), divisor
        arguments = dict(sam or {})
        sam_pretrained = arguments.pop("pretrained", None)
        check_arguments(SAMPyramid, arguments)
        self.sam = SAMPyramid(**arguments)
        check_options(self)
        self.fusion = PyramidFusion(visual.transformer.width, self.sam.width, len(self.taps))
        self.pixels = PixelDecoder(
            (self.sam.width,) * 4, dim, None, heads, pixel_layers, 4, pixel_feedforward
        )
        embedding = ScaledClassEmbedding(dim, self.joint_dim)
        self.queries = MaskQueryDecoder(
            embedding, queries, dim, None, heads, layers, 3, feedforward
        )
        self.bias = RegionBias(dim, visual.transformer.resblocks[0].attn.heads)
        if weights is not None:
            load_pretrained(self.clip, model, weights)
        load_sam(self.sam, sam_pretrained)
        set_trainable(self.clip, "none")
        visual.positional_embedding.requires_grad_(train_positions)
        register_pixel_statistics(self, preprocess_of(model, config, pretrained))
        register_pixel_statistics(self, (MEAN, STD), "sam_")

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of images, with proposals.

        Args:
            image_B3HW: RGB in 0..255, of any size and number type.

        Raises:
            ValueError: a tensor that is not (B, 3, H, W).
        """
        padding = place_in_multiple(image_B3HW, self.divisor)
        clip_B3HW = pad_to_multiple(image_B3HW, self.mean_311, self.std_311, padding)
        sam_B3HW = pad_to_multiple(image_B3HW, self.sam_mean_311, self.sam_std_311, padding)
        return self.features(clip_B3HW, sam_B3HW, padding)

    def features(self, clip_B3HW: Tensor, sam_B3HW: Tensor, padding: Padding) -> ImageFeatures:
        """Computes the features of normalised and padded pixels.

        Args:
            clip_B3HW: pixels normalised as CLIP expects, zero in the padding.
            sam_B3HW: pixels normalised as SAM expects, zero in the padding.
            padding: place of the image in them.
        """
        visual = self.clip.visual
        # coordinates follow from the factor itself, not from the ratio of the rounded sizes
        small_B3hw = F.interpolate(clip_B3HW, scale_factor=self.clip_scale, mode="bilinear")
        tokens_BND, grid = embed_patches(visual, small_B3hw)
        steps, fused = [], {}
        for index, block in enumerate(visual.transformer.resblocks[: self.split]):
            steps.append(LastBlock(block, tokens_BND, grid))
            tokens_BND = run_block(block, tokens_BND)
            if index + 1 in self.taps:
                fused[index + 1] = tokens_as_map(tokens_BND[:, 1:], grid)
        levels = self.fusion(self.sam(sam_B3HW), [fused[tap] for tap in self.taps])
        fine_BDhw, coarse = self.pixels(levels)
        layers = self.queries(fine_BDhw, coarse)
        mask_embed_BMD = torch.cat([layer.mask_embed_BQM for layer in layers], dim=1)
        bias_BHMN = self.bias(mask_embed_BMD, fine_BDhw, grid)
        dense_BChw, pooled_BC, token_BMC = self._recognise(tokens_BND, bias_BHMN, steps, grid)
        embeds = F.normalize(token_BMC, dim=2).chunk(len(layers), 1)
        unit_BChw = None if self.training else F.normalize(dense_BChw, dim=1)
        made = [
            (layer.mask_BQhw, _sources(layer, embed_BQC, unit_BChw))
            for layer, embed_BQC in zip(layers, embeds, strict=True)
        ]
        proposals = Proposals.of_layers(made, padding)
        return ImageFeatures(dense_BChw, pooled_BC, proposals=proposals, padding=padding)

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding per category and template: (T, P, C) float32, L2-normalised.

        Raises:
            ValueError: a blank name, or a prompt that is too long for the text tower. The message
                names the category.
        """
        return self._encode_vocabulary(self.clip, vocabulary)

    def prompt_tower(self) -> PromptTower | None:
        return self._encode_vocabulary.prompt_tower(self.clip)

    def _recognise(
        self, tokens_BND: Tensor, bias_BHMN: Tensor, steps: list[LastBlock], grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Runs CLIP's last blocks with the region tokens of all layers, which do not interact.

        Args:
            tokens_BND: input of the first of these blocks.
            bias_BHMN: bias on the attention of each region token.
            steps: blocks before, with their inputs.
            grid: grid of the patches.

        Returns:
            Dense tokens (B, C, h, w), pooled embedding (B, C) and region tokens (B, M, C).
        """
        visual = self.clip.visual
        region_BMD = tokens_BND[:, :1].expand(-1, bias_BHMN.shape[2], -1)
        sight = TokenSight(bias_BHMN, sees_class=False, sees_itself=True)
        output_BND: Tensor | None = tokens_BND
        for block in visual.transformer.resblocks[self.split :]:
            assert output_BND is not None
            steps.append(LastBlock(block, output_BND, grid))
            is_last = len(steps) == len(visual.transformer.resblocks)
            output_BND, region_BMD = run_with_regions(
                [block], output_BND, region_BMD, sight, finish=self.training or not is_last
            )
        region_BMC = project_tokens(visual, region_BMD)
        if output_BND is not None:
            tokens_BNC = project_tokens(visual, output_BND)
            return tokens_as_map(tokens_BNC[:, 1:], grid), tokens_BNC[:, 0], region_BMC
        last = LastBlock(steps[-1].block, steps[-1].tokens_BND, grid, tuple(steps[:-1]))
        dense_BND = clip_surgery(last, depth=len(steps) - self.surgery)
        pooled_BC = project_tokens(visual, last.class_token_BD())
        return tokens_as_map(project_tokens(visual, dense_BND), grid), pooled_BC, region_BMC


def _sources(layer: MaskQueries, token_BQC: Tensor, unit_BChw: Tensor | None) -> Tensor:
    """Embeddings (B, Q, S, C) of one layer. The mean of the unit dense tokens keeps its length.

    Without dense tokens a proposal has two embeddings.
    """
    sources = [layer.class_BQC, token_BQC.to(layer.class_BQC)]
    if unit_BChw is not None:
        sources.append(hard_pool(unit_BChw, layer.mask_BQhw)[0].to(layer.class_BQC))
    return torch.stack(sources, dim=2)
