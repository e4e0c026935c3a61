"""A small encoder, and small data: what laws and tests run a method on.

Laws work from features, so that an encoder that costs nothing can replace the real one.
"""

from __future__ import annotations

import copy
import zlib
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor, nn

from ovss.interfaces import Encoder, Proposer
from ovss.io.option_values import check_range
from ovss.io.shapes_only import shapes_only
from ovss.models.build import build_model
from ovss.models.parts import model_without_pretrained
from ovss.ops import region_pool
from ovss.registry import ENCODERS, PROPOSERS
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import ImageFeatures, Proposals, TextFeatures, Vocabulary


@ENCODERS.register_module()
class TinyEncoder(Encoder):
    """Encoder for tests: fixed random projections of patch colours, prompts embedded by hash.

    Args:
        joint_dim: C, the number of joint channels.
        level_dims: channels of each level.
        level_scales: cells of a level for one cell of the feature grid, along each side.
        attention: True if it gives an attention map.
        text_level_dims: channels of each level of the text.
        patch: side of a feature cell in pixels.
        image_size: side that images are resized to; None: a whole number of patches.
        proposals: number of proposals of an image; 0 for none.
        sources: number of embeddings of a proposal.
    """

    def __init__(
        self,
        joint_dim: int = 16,
        level_dims: tuple[int, ...] = (),
        level_scales: tuple[int, ...] = (),
        attention: bool = False,
        text_level_dims: tuple[int, ...] = (),
        patch: int = 16,
        image_size: int | None = 96,
        proposals: int = 0,
        sources: int = 1,
    ) -> None:
        super().__init__()
        check_range("TinyEncoder", 1, joint_dim=joint_dim, patch=patch, sources=sources)
        check_range("TinyEncoder", 0, proposals=proposals)
        if image_size is not None:
            check_range("TinyEncoder", 1, image_size=image_size)
        for name, sizes in (("level_dims", level_dims), ("level_scales", level_scales)):
            check_range("TinyEncoder", 1, **{name: min(sizes, default=1)})
        self.joint_dim = joint_dim
        self.level_dims = tuple(level_dims)
        self.level_scales = tuple(level_scales)
        self.text_level_dims = tuple(text_level_dims)
        self.gives_attention = attention
        self.gives_proposals = proposals > 0
        self.proposal_sources = sources if proposals else 0
        self.patch = patch
        self.image_size = image_size
        self.hashed: dict[Vocabulary, Tensor] = {}
        generator = torch.Generator().manual_seed(0)
        widths = (joint_dim, *self.level_dims)
        self.projections = nn.ParameterList(
            torch.randn(width, 3, 3, 3, generator=generator) for width in widths
        )
        queries_QC = torch.randn(proposals, joint_dim, generator=generator)
        self.queries_QC = nn.Parameter(queries_QC) if proposals else None

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        height, width = image_B3HW.shape[-2:]
        if self.image_size is not None:
            height = width = self.image_size
        grid = (max(height // self.patch, 1), max(width // self.patch, 1))
        pixels_B3HW, maps = image_B3HW.float() / 128 - 1, []
        scales = (1, *(self.level_scales or (1,) * len(self.level_dims)))
        for weight, scale in zip(self.projections, scales, strict=True):
            size = (grid[0] * scale, grid[1] * scale)
            small_B3hw = F.interpolate(pixels_B3HW, size=size, mode="bilinear")
            maps.append(F.conv2d(small_B3hw, weight, padding=1).tanh())
        dense, *levels = maps
        attention = None
        if self.gives_attention:
            flat_BNC = dense.flatten(2).transpose(1, 2)
            attention = (flat_BNC @ flat_BNC.transpose(1, 2)).softmax(-1)
        pooled, proposals = dense.mean((2, 3)), None
        if self.gives_proposals:
            proposals = self._proposals(dense, self.training)
        return ImageFeatures(dense, pooled, tuple(levels), attention, proposals=proposals)

    def _proposals(self, dense_BChw: Tensor, with_earlier: bool) -> Proposals:
        """Regions that look like each query; their embeddings are means over the regions."""
        assert self.queries_QC is not None
        mask_BQhw = 4 * torch.einsum("qc,bchw->bqhw", self.queries_QC, dense_BChw)
        mask_BQhw = mask_BQhw - mask_BQhw.mean((2, 3), keepdim=True)
        pooled_BQC = region_pool(dense_BChw, mask_BQhw.sigmoid())
        scale_S1 = torch.arange(1, self.proposal_sources + 1, device=dense_BChw.device)[:, None]
        embed_BQSC = pooled_BQC[:, :, None] + self.queries_QC[:, None].roll(1, 2) / scale_S1
        valid_BQ = torch.ones_like(mask_BQhw[..., 0, 0], dtype=torch.bool)
        earlier = (Proposals(mask_BQhw / 2, embed_BQSC, valid_BQ),) if with_earlier else ()
        return Proposals(mask_BQhw, embed_BQSC, valid_BQ, earlier=earlier)

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        if vocabulary not in self.hashed:  # several laws use the same names
            with torch.inference_mode(mode=False):  # so that training can use it later
                self.hashed[vocabulary] = self._hashed(vocabulary)
        hashed_TPC = self.hashed[vocabulary].to(self.projections[0])
        embeds_TPC, *levels = hashed_TPC.split([self.joint_dim, *self.text_level_dims], dim=2)
        return TextFeatures(F.normalize(embeds_TPC, dim=2), tuple(levels), vocabulary)

    def _hashed(self, vocabulary: Vocabulary) -> Tensor:
        """(T, P, C) random numbers, seeded by the text of each prompt."""
        generator = torch.Generator()
        dim = self.joint_dim + sum(self.text_level_dims)
        hashed_TPC = torch.empty(len(vocabulary.names), len(vocabulary.templates), dim)
        for row_PC, name in zip(hashed_TPC, vocabulary.names, strict=True):
            for row_C, template in zip(row_PC, vocabulary.templates, strict=True):
                seed = zlib.crc32(template.format(name).encode())
                row_C.copy_(torch.randn(len(row_C), generator=generator.manual_seed(seed)))
        return hashed_TPC


@PROPOSERS.register_module()
class TinyProposer(Proposer):
    """Proposer for tests, which needs no files: the upper half and the left half of an image."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, features: ImageFeatures, image_B3HW: Tensor) -> Proposals:
        height, width = image_B3HW.shape[-2:]
        logits_2HW = torch.full((2, height, width), -10.0, device=image_B3HW.device)
        logits_2HW[0, : height // 2], logits_2HW[1, :, : width // 2] = 10.0, 10.0
        mask_BQhw = logits_2HW.expand(len(image_B3HW), -1, -1, -1)
        embed_BQSC = mask_BQhw.new_zeros(len(mask_BQhw), 2, 0, features.dense_BChw.shape[1])
        return Proposals(mask_BQhw, embed_BQSC, torch.ones_like(mask_BQhw[:, :, 0, 0]) > 0)


def without_files(block: Any) -> Any:
    """Copy of a config block with a `TinyProposer` in place of proposers that read files."""
    if isinstance(block, dict):
        kind = PROPOSERS.module_dict.get(str(block.get("type")))
        if kind is not None and kind.external:
            return {"type": "TinyProposer"}
        return {key: without_files(value) for key, value in block.items()}
    return list(map(without_files, block)) if isinstance(block, list) else block


def tiny_block(config: Config) -> dict[str, Any]:
    """``model`` block of a config, with a `TinyEncoder` of the same dimensions as its encoder.

    A post-processor that reads regions from files gets a `TinyProposer`.
    """
    model_config: dict[str, Any] = model_without_pretrained(copy.deepcopy(config.model.to_dict()))
    with shapes_only():
        real = ENCODERS.build(model_config["encoder"])
    model_config["encoder"] = {
        "type": "TinyEncoder",
        "joint_dim": real.joint_dim,
        "level_dims": real.level_dims,
        "level_scales": real.level_scales,
        "attention": real.gives_attention,
        "text_level_dims": real.text_level_dims,
        "proposals": 6 if real.gives_proposals else 0,
        "sources": max(real.proposal_sources, 1),
    }
    model_config["post_processor"] = without_files(model_config.get("post_processor"))
    return model_config


def with_tiny_encoder(config: Config, seed: int = 0) -> OpenVocabSegmentor:
    """Builds the method of `tiny_block`, in evaluation mode.

    Parameters of the decoder that start at zero get random values, so that they cannot hide a
    broken law.
    """
    block = tiny_block(config)
    torch.manual_seed(seed)
    model = build_model(block)
    for parameter in model.decoder.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def make_images(count: int, size: int = 96, seed: int = 0) -> Tensor:
    """(count, 3, size, size) smooth random images, RGB in 0..255."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator) * 255
    return F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 255)


def make_names(count: int) -> tuple[str, ...]:
    """`count` different category names."""
    return tuple(f"thing {i}" for i in range(count))


def make_sample(count: int, size: int = 96) -> BaseDataElement:
    """Data sample of an image: `count` category names and random labels, some ignored."""
    element = BaseDataElement(metainfo=dict(vocabulary=make_names(count), ori_shape=(40, 50)))
    element.gt_sem_seg = PixelData(data=torch.randint(-1, count, (1, size, size)))
    return element
