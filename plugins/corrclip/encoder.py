"""CorrCLIPEncoder: CLIP whose last block attends inside regions, by another model's features."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.encoders import OpenCLIPEncoder
from ovss.encoders.vision_model import build_vision_model
from ovss.encoders.vit import last_block, pooled_embedding
from ovss.interfaces import Encoder, Proposer
from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range
from ovss.layers.current_view import CurrentViews, current_views, nearest, sample_view, view_of
from ovss.layers.patches import embed_patches, tokens_as_map
from ovss.layers.pixels import prepare_pixels
from ovss.ops import resize
from ovss.registry import ENCODERS, PROPOSERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .regions import PAINTING, compact, merge_regions, paint, region_distances, scope_weights
from .tower import attended, run_tower, spread_tokens

__all__ = ["CorrCLIPEncoder"]


@ENCODERS.register_module()
class CorrCLIPEncoder(Encoder):
    """Encoder of CorrCLIP (ICCV 2025, arXiv 2411.10086), without training.

    Regions of the whole image, and the features of a vision model without text, decide which cells
    attend to each other in CLIP's last block. Dense tokens lie on the grid of that model:

        weights = softmax(sharpness cos(i, j)) over the cells j in the scope of cell i
        dense   = last block's value path of its input
                  + spatial_weight * the same path of the mean of earlier outputs
                  + semantic_weight * a class token for each region

    Windows of an image share its regions: the proposer sees the whole image once, and each window
    gets the part that it shows. Any proposer works, also one that needs the whole image.

    Args:
        clip: config of an `OpenCLIPEncoder`, the CLIP model.
        proposer: config of a `Proposer`, which gives the masks.
        vfm: arguments of `ovss.encoders.vision_model.VisionModel`, the model without text;
            None takes queries and keys of CLIP's own last block.
        whole: True to run this model once on the whole image and to cut its map for each window;
            False to run it on each window.
        finer: side of the grid of dense tokens relative to CLIP's grid, with `whole`. Otherwise the
            grid is that of the model.
        spatial: number of outputs, below the input of the last block, in the spatial branch; 0
            leaves it out.
        spatial_weight, semantic_weight: weights of the branches; 0 leaves the semantic one out.
        sharpness: factor of the cosines in the softmax.
        eps: largest distance of the mean features of two regions that are merged.
        painting: order in which overlapping masks are painted, ``"area"`` (larger over smaller) or
            ``"order"`` (later over earlier).

    Raises:
        ValueError: a part of another kind, or a value out of range.
    """

    tower = "vit"

    def __init__(
        self,
        clip: dict,
        proposer: dict,
        vfm: dict | None = None,
        whole: bool = False,
        finer: int = 2,
        spatial: int = 5,
        spatial_weight: float = 1.0,
        semantic_weight: float = 0.5,
        sharpness: float = 4.0,
        eps: float = 0.2,
        painting: str = "area",
    ) -> None:
        super().__init__()
        self.inner: Any = ENCODERS.build(clip)
        self.proposer: Proposer = PROPOSERS.build(proposer)
        self.vfm = None if vfm is None else build_vision_model(vfm)
        weights = dict(spatial_weight=spatial_weight, semantic_weight=semantic_weight)
        check_range("CorrCLIPEncoder", 0, spatial=spatial, sharpness=sharpness, eps=eps, **weights)
        check_range("CorrCLIPEncoder", 1, finer=finer)
        self.whole, self.finer, self.painting = whole, finer, painting
        self.spatial, self.sharpness, self.eps = spatial, sharpness, eps
        self.spatial_weight, self.semantic_weight = spatial_weight, semantic_weight
        self._check()
        self.joint_dim = self.inner.joint_dim
        self.reads_labels = self.proposer.reads_labels

    @property
    def clip(self) -> Any:
        """CLIP model of open_clip."""
        return self.inner.clip

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of views or images.

        Args:
            image_B3HW: RGB in 0..255.
        """
        return self.encode_with(self.inner, self.spatial, image_B3HW)

    def encode_with(self, encoder: Any, spatial: int, image_B3HW: Tensor) -> ImageFeatures:
        """Features of another CLIP model with the regions and similarities of this encoder.

        Args:
            encoder: `OpenCLIPEncoder` that holds the CLIP model.
            spatial: number of its outputs in the spatial branch.
            image_B3HW: RGB in 0..255.
        """
        views, visual = current_views(image_B3HW.shape[0]), encoder.clip.visual
        pixels_B3HW = prepare_pixels(
            image_B3HW, encoder.mean_311, encoder.std_311, encoder.image_size, encoder.patch_size
        )
        tokens_BND, grid = embed_patches(visual, pixels_B3HW, None, encoder.positions)
        unit_BDhw = self.similar_features(image_B3HW, pixels_B3HW, grid, views)
        cells = (unit_BDhw.shape[2], unit_BDhw.shape[3])
        region_Bhw, most = self.region_maps(image_B3HW, cells, views)
        region_Bhw, most = self._merged(region_Bhw, unit_BDhw, most)
        coarse_Bgg = torch.stack([nearest(region_hw, grid) for region_hw in region_Bhw])
        passed = run_tower(
            visual, tokens_BND, coarse_Bgg, most, spatial, bool(self.semantic_weight)
        )
        unit_BND = unit_BDhw.flatten(2).transpose(1, 2)
        weights_BNN = scope_weights(unit_BND, region_Bhw.flatten(1), self.sharpness)
        dense_BND = visual.ln_post(attended(passed.last, passed.inputs[0], weights_BNN, cells))
        if spatial:
            mean_BND = torch.stack(passed.inputs[1:]).mean(0)
            path_BND = visual.ln_post(attended(passed.last, mean_BND, weights_BNN, cells))
            dense_BND = dense_BND + self.spatial_weight * path_BND
        if self.semantic_weight:
            semantic_BND = visual.ln_post(spread_tokens(passed.region_BKD, coarse_Bgg, cells))
            dense_BND = dense_BND + self.semantic_weight * semantic_BND
        dense_BChw = tokens_as_map(dense_BND @ visual.proj, cells)
        return ImageFeatures(dense_BChw, pooled_embedding(visual, passed.last))

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding per category and template, see `OpenCLIPEncoder`."""
        return self.inner.encode_text(vocabulary)

    def similar_features(
        self,
        image_B3HW: Tensor,
        pixels_B3HW: Tensor,
        grid: tuple[int, int],
        views: CurrentViews | None,
    ) -> Tensor:
        """Unit features (B, D, h, w), whose cosines say which cells are similar.

        Args:
            image_B3HW: RGB in 0..255.
            pixels_B3HW: the same as CLIP sees it.
            grid: CLIP's grid.
            views: places of the images, if they are views of one image.
        """
        if self.vfm is None:
            last = last_block(self.clip.visual, pixels_B3HW, self.inner.positions)
            map_BDhw = tokens_as_map(last.patches(last.q_BND + last.k_BND), grid)
        elif not self.whole:
            size = (pixels_B3HW.shape[2], pixels_B3HW.shape[3])
            map_BDhw = self.vfm(resize(image_B3HW.float(), size))
        else:
            size = (grid[0] * self.finer, grid[1] * self.finer)
            if views is None:
                map_BDhw = resize(self.vfm(image_B3HW), size)
            else:
                parts = [sample_view(self.canvas_features(p.canvas, views), p, size)
                         for p in views.places]  # fmt: skip
                map_BDhw = torch.cat(parts)
        return F.normalize(map_BDhw, dim=1)

    def canvas_features(self, canvas: tuple[int, int], views: CurrentViews) -> Tensor:
        """Features (1, D, h, w) of the whole image at the size of a canvas."""
        assert self.vfm is not None
        vfm = self.vfm
        return views.once(
            (id(self), "features", canvas), lambda: vfm(resize(views.image_13HW, canvas))
        )

    def canvas_regions(self, views: CurrentViews) -> tuple[Tensor, int]:
        """Region of each pixel of the whole image, (1, Y, X), and the largest possible value."""
        return views.once((id(self), "regions"), lambda: self._paint(views.image_13HW))

    def region_maps(
        self, image_B3HW: Tensor, size: tuple[int, int], views: CurrentViews | None
    ) -> tuple[Tensor, int]:
        """Region of each cell (B, h, w), 0 for none, and the largest possible value.

        Args:
            image_B3HW: RGB in 0..255.
            size: (h, w).
            views: places of the images, if they are views of one image.
        """
        if views is None:
            map_BYX, most = self._paint(image_B3HW)
            return torch.stack([nearest(map_YX, size) for map_YX in map_BYX]), most
        map_1YX, most = self.canvas_regions(views)
        maps = [nearest(view_of(map_1YX[0], place, 0), size) for place in views.places]
        return torch.stack(maps), most

    def _paint(self, image_B3HW: Tensor) -> tuple[Tensor, int]:
        """Region of each pixel of whole images."""
        proposer = self.proposer
        if proposer.level_dims is None and proposer.joint_dim is None:
            blank_BC = image_B3HW.new_zeros(image_B3HW.shape[0], self.joint_dim)
            features = ImageFeatures(blank_BC[:, :, None, None], blank_BC)
        else:
            features = self.inner.encode_image(image_B3HW)
        proposals = proposer(features, image_B3HW)
        return paint(proposals, self.painting), proposals.mask_BQhw.shape[1]

    def _merged(self, region_Bhw: Tensor, unit_BDhw: Tensor, most: int) -> tuple[Tensor, int]:
        """Merged regions (B, h, w), numbered below the returned number."""
        size = (region_Bhw.shape[1], region_Bhw.shape[2])
        number_BN, count_B = compact(region_Bhw.flatten(1), most)
        # most windows have few of the regions of an image; a shape needs this number on the host
        largest = most + 1 if count_B.is_meta else int(count_B.max())
        unit_BND = unit_BDhw.flatten(2).transpose(1, 2)
        distance_BKK = region_distances(number_BN, count_B, unit_BND, largest)
        merged_BN = merge_regions(number_BN, count_B, distance_BKK, self.eps)
        return merged_BN.unflatten(1, size), largest

    def _check(self) -> None:
        """Checks that the parts fit together."""
        encoder, proposer = self.inner, self.proposer
        if not isinstance(encoder, OpenCLIPEncoder):
            raise ValueError(
                f"CorrCLIPEncoder expects an OpenCLIPEncoder as clip, got "
                f"{type(encoder).__name__}. Set clip=dict(type='OpenCLIPEncoder', ...)."
            )
        if self.painting not in PAINTING:
            raise ValueError(
                f"CorrCLIPEncoder.painting must be {' or '.join(PAINTING)}, got "
                f"{excerpt(self.painting)}."
            )
        if self.whole and self.vfm is None:
            raise ValueError(
                "CorrCLIPEncoder(whole=True) expects a model in vfm, which sees the whole image, "
                "got None. Set vfm, or whole=False."
            )
        depth = len(encoder.clip.visual.transformer.resblocks)
        if self.spatial > depth - 2:
            raise ValueError(
                f"CorrCLIPEncoder.spatial must be at most {depth - 2} for a tower of {depth} "
                f"blocks, got {self.spatial}. Reduce it."
            )
        for name in ("level_dims", "joint_dim"):
            needs, gives = getattr(proposer, name), getattr(encoder, name)
            if needs is not None and needs != gives:
                raise ValueError(
                    f"Incompatible components: {type(proposer).__name__} expects {name}={needs}, "
                    f"but {type(encoder).__name__} produces {name}={gives}."
                )
