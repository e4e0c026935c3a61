"""Encoder of SCAN: Mask2Former on a Swin transformer, calibrated by two CLIP towers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.encoders.architecture import build_clip, check_architecture, read_model_config
from ovss.encoders.trainable import set_trainable
from ovss.encoders.vocabulary_encoder import VocabularyEncoder
from ovss.encoders.weights import find_pretrained, fitted, load_pretrained, preprocess_of
from ovss.interfaces import Encoder, PromptTower
from ovss.io.option_values import check_range
from ovss.io.weight_files import read_weights
from ovss.layers.backbones import build_backbone
from ovss.layers.class_embedding import QueryClassEmbedding
from ovss.layers.mask_queries import MaskQueryDecoder
from ovss.layers.patches import embed_patches, tokens_as_map
from ovss.layers.pixel_decoder import PixelDecoder
from ovss.layers.pixels import pad_to_multiple, place_in_multiple, register_pixel_statistics
from ovss.layers.region_tokens import project_tokens, run_block
from ovss.registry import ENCODERS, check_arguments
from ovss.structures import ImageFeatures, Proposals, TextFeatures, Vocabulary

from .context import ContextCalibration
from .options import check_context
from .regions import ShiftedCrops

__all__ = ["SCANEncoder"]

IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@ENCODERS.register_module()
class SCANEncoder(Encoder):
    """Mask2Former with its own backbone, and CLIP for the context and for the regions.

    Each proposal has two embeddings: that of the query decoder, which has seen CLIP's features of
    the whole image; and that of the masked region as an image of its own, by a second copy of
    CLIP's image tower, see `regions.ShiftedCrops`. The second is left out in training. CLIP sees
    the padded image squashed to the size of its pre-training. Everything in CLIP is frozen.

    Args:
        model: open_clip architecture, bundled config (``mini_clip``), or path of a model JSON file.
        pretrained: open_clip tag, path of a weight file, ``mini_clip`` for the bundled weights, or
            None for random weights.
        backbone: arguments of `ovss.layers.backbones.build_backbone`.
        regions: arguments of `regions.ShiftedCrops`, and ``pretrained``: a CLIP fine-tuned on
            masked crops for the second copy, as for `pretrained`; None copies the first.
        taps: numbers of CLIP's blocks whose outputs are the context.
        sigmas: width of the frequency filter of each of them, in cells.
        queries: Q, the number of proposals.
        dim: number of channels of the pixel decoder and of the queries.
        heads: number of attention heads of both.
        pixel_layers: number of layers of the pixel decoder.
        pixel_feedforward: number of hidden channels of its MLPs.
        layers: number of layers of the query decoder.
        feedforward: number of hidden channels of its MLPs.
        supervised: number of earlier predictions that train, besides the last. There is one before
            the first layer and one after each layer; the authors' code leaves out the last but one.
        hidden: number of hidden channels of the class embedding.
        context: further arguments of `context.ContextCalibration`; None for the published ones.
        divisor: multiple of pixels to which images are padded on the right and at the bottom.
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
    proposal_sources = 2
    training_sources = 1
    learned = ("context", "pixels", "queries")
    checkpointed = ("backbone.layers.*.blocks.*", "pixels.layers.*", "queries.layers.*")
    compiled = ("**.resblocks.*.mlp", "queries.layers.*")

    def __init__(
        self,
        model: str,
        backbone: dict[str, Any],
        pretrained: str | None = None,
        regions: dict[str, Any] | None = None,
        taps: Sequence[int] = (6, 9, 12),
        sigmas: Sequence[float] = (9.0, 7.0, 3.0),
        queries: int = 100,
        dim: int = 256,
        heads: int = 8,
        pixel_layers: int = 6,
        pixel_feedforward: int = 1024,
        layers: int = 10,
        feedforward: int = 2048,
        supervised: int = 9,
        hidden: int = 1024,
        context: dict[str, Any] | None = None,
        divisor: int = 32,
        text_cache: str = "disk",
    ) -> None:
        super().__init__()
        config = read_model_config(model)
        check_architecture(model, config)
        check_range("SCANEncoder", 1, divisor=divisor, dim=dim, hidden=hidden)
        check_range("SCANEncoder", 0, layers, supervised=supervised)
        self._encode_vocabulary = VocabularyEncoder(config, text_cache)
        weights = find_pretrained(model, config, pretrained)
        self.clip = build_clip(config, fill=weights is None)
        if weights is not None:
            load_pretrained(self.clip, model, weights)
        set_trainable(self.clip, "none")
        visual = self.clip.visual
        self.joint_dim: int = visual.output_dim
        self.taps, self.divisor, self.supervised = tuple(taps), divisor, supervised
        check_context(visual, self.taps, sigmas)
        self.backbone = build_backbone(backbone)
        self.pixels = PixelDecoder(
            self.backbone.dims, dim, None, heads, pixel_layers, 4, pixel_feedforward
        )
        embedding = QueryClassEmbedding((dim, hidden, self.joint_dim))
        self.queries = MaskQueryDecoder(
            embedding, queries, dim, None, heads, layers, 3, feedforward
        )
        arguments = {"width": visual.transformer.width, "joint_dim": self.joint_dim}
        arguments |= {"sigmas": tuple(sigmas), **(context or {})}
        check_arguments(ContextCalibration, arguments)
        self.context = ContextCalibration(**arguments)
        self.regions = self._build_regions(model, config, dict(regions or {}), queries)
        register_pixel_statistics(self, preprocess_of(model, config, pretrained))
        register_pixel_statistics(self, (IMAGENET_MEAN, IMAGENET_STD), "own_")

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of images, with proposals.

        Args:
            image_B3HW: RGB in 0..255, of any size and number type.

        Raises:
            ValueError: a tensor that is not (B, 3, H, W).
        """
        padding = place_in_multiple(image_B3HW, self.divisor)
        own_B3HW = pad_to_multiple(image_B3HW, self.own_mean_311, self.own_std_311, padding)
        clip_B3HW = pad_to_multiple(image_B3HW, self.mean_311, self.std_311, padding)
        inner, grid = self.inner_tokens(clip_B3HW)
        tokens_BNC = project_tokens(self.clip.visual, inner[-1])
        maps = [tokens_as_map(inner[tap][:, 1:], grid) for tap in self.taps]
        memory_BNC, pooled_BC = self.context.memory(maps), tokens_BNC[:, 0]
        *earlier, last = self.queries(*self.pixels(self.backbone(own_B3HW)))
        layers = (*earlier[: self.supervised], last)
        embed_BMC = torch.cat([layer.class_BQC for layer in layers], dim=1)
        embeds = self.context(embed_BMC, memory_BNC, pooled_BC).chunk(len(layers), 1)
        made = [
            (layer.mask_BQhw, embed_BQC[:, :, None])
            for layer, embed_BQC in zip(layers, embeds, strict=True)
        ]
        proposals = Proposals.of_layers(made, padding)
        if not self.training:
            tokens = [inner[block][:, 0] for block in self.regions.replaced]
            proposals = self.with_regions(proposals, image_B3HW, tokens)
        dense_BChw = tokens_as_map(tokens_BNC[:, 1:], grid)
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

    @torch.no_grad()
    def inner_tokens(self, pixels_B3HW: Tensor) -> tuple[list[Tensor], tuple[int, int]]:
        """Tokens (B, N, D) of CLIP before the first block and after each block, and their grid.

        Args:
            pixels_B3HW: normalised and padded pixels. They are squashed to the size of
                pre-training by the nearest pixel, as published.
        """
        visual = self.clip.visual
        small_B3SS = F.interpolate(pixels_B3HW, size=self.regions.size, mode="nearest")
        tokens_BND, grid = embed_patches(visual, small_B3SS)
        inner = [tokens_BND]
        for block in visual.transformer.resblocks:
            inner.append(run_block(block, inner[-1]))
        return inner, grid

    def with_regions(
        self, proposals: Proposals, image_B3HW: Tensor, tokens: Sequence[Tensor]
    ) -> Proposals:
        """Proposals with a second embedding, that of the region as an image of its own.

        Args:
            proposals: proposals with one embedding.
            image_B3HW: RGB in 0..255.
            tokens: CLIP's class tokens (B, D) of the whole images after the blocks `replaced`.
        """
        assert proposals.padding is not None
        image_B3HW = image_B3HW if image_B3HW.is_floating_point() else image_B3HW.float()
        embed_BQC, filled_BQ = self.regions(
            image_B3HW, self.mean_311, self.std_311, proposals.mask_BQhw, proposals.padding, tokens
        )
        both_BQSC = torch.cat([proposals.embed_BQSC, embed_BQC[:, :, None]], dim=2)
        return replace(proposals, embed_BQSC=both_BQSC, filled_BQ=filled_BQ)

    def _build_regions(
        self, model: str, config: dict[str, Any], arguments: dict[str, Any], queries: int
    ) -> ShiftedCrops:
        """Second copy of the image tower, with weights of its own if there are any."""
        weights = find_pretrained(model, config, arguments.pop("pretrained", None))
        visual = copy.deepcopy(self.clip.visual)
        if weights is not None:
            state = fitted(read_weights(weights)[0], self.clip, model, weights)
            own = {k.removeprefix("visual."): v for k, v in state.items() if k[:7] == "visual."}
            visual.load_state_dict(own)
        arguments = {"visual": visual, "queries": queries, **arguments}
        check_arguments(ShiftedCrops, arguments)
        return ShiftedCrops(**arguments)
