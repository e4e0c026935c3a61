"""RetrievalCorrCLIPEncoder: CorrCLIP with embeddings of similar regions of other images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import Encoder
from ovss.io.fingerprint import sha256
from ovss.io.names import printable
from ovss.io.option_values import check_range
from ovss.layers.current_view import CurrentViews, ViewPlace, current_views, nearest, view_of
from ovss.registry import ENCODERS
from ovss.retrieval import IndexMaker, RegionIndex, RegionIndexError
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .encoder import CorrCLIPEncoder
from .regions import region_means

__all__ = ["RetrievalCorrCLIPEncoder"]


@ENCODERS.register_module()
class RetrievalCorrCLIPEncoder(Encoder):
    """CorrCLIP v2: half of a cell's logits come from similar regions of unlabelled images.

    Each region of the image looks up its nearest neighbours in an index by its mean feature of the
    model without text. The mean of their CLIP embeddings, of unit length, stands for the region:

        logits = (1 - share) cos(cell, text) + share * mean over the models of cos(support, text)

    Further CLIP models take part in the second term only, each with embeddings of its own in the
    index and its own text tower. Dense tokens and texts are the parts of all models in a row, such
    that their product is this sum; a `DotProductHead` computes it. Templates are averaged here,
    because the mean has unit length for each model by itself. Cells without a region keep their own
    logits.

    Args:
        encoder: config of a `CorrCLIPEncoder` with a model without text that sees the whole image.
        index: folder of an index, see `ovss region-index`; None if it is set later.
        search: kind of search in the index, see `ovss.retrieval.search.build_search`.
        neighbours: number of neighbours of a region.
        share: weight of the second term.
        auxiliary: further models, each ``dict(clip=..., spatial=...)`` with a config of an
            `OpenCLIPEncoder` and the number of outputs in its spatial branch.

    Raises:
        FileNotFoundError: a folder that does not exist.
        ValueError: a part of another kind, or a value out of range.
    """

    external = ("index",)
    carried = ("index",)

    def __init__(
        self,
        encoder: dict,
        index: str | None,
        search: str | dict = "exact",
        neighbours: int = 20,
        share: float = 0.5,
        auxiliary: Sequence[dict] = (),
    ) -> None:
        super().__init__()
        main: Any = ENCODERS.build(encoder)
        if not isinstance(main, CorrCLIPEncoder) or not main.whole:
            raise ValueError(
                "RetrievalCorrCLIPEncoder expects a CorrCLIPEncoder with whole=True as encoder, "
                f"got {type(main).__name__}. Set its vfm and whole=True."
            )
        check_range("RetrievalCorrCLIPEncoder", 1, neighbours=neighbours)
        check_range("RetrievalCorrCLIPEncoder", 0, 1, share=share)
        if index is not None and not Path(index).is_dir():
            raise FileNotFoundError(
                f"RetrievalCorrCLIPEncoder expects the folder of an index, got {printable(index)}, "
                f"which is not a folder. Correct its path."
            )
        self.main = main
        self.auxiliary = nn.ModuleList(ENCODERS.build(each["clip"]) for each in auxiliary)
        self.spatial = (main.spatial, *(each["spatial"] for each in auxiliary))
        self.index, self.search = index, search
        self.neighbours, self.share = neighbours, share
        self.joint_dims = tuple(each.joint_dim for each in self.models)
        self.joint_dim = sum(self.joint_dims)
        self.reads_labels = main.reads_labels
        self._opened: RegionIndex | None = None

    @property
    def models(self) -> list[Any]:
        """Encoders that hold the CLIP models, the main one first."""
        return [self.main.inner, *self.auxiliary]

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of views or images.

        Args:
            image_B3HW: RGB in 0..255.
        """
        features = self.main.encode_image(image_B3HW)
        own_BChw = F.normalize(features.dense_BChw, dim=1)
        size = (own_BChw.shape[2], own_BChw.shape[3])
        views = current_views(image_B3HW.shape[0])
        if image_B3HW.is_meta:
            shape = (own_BChw.shape[0], self.joint_dim, *size)
            dense_BChw, pooled_BC = own_BChw.new_empty(shape), own_BChw.new_empty(shape[:2])
            return replace(features, dense_BChw=dense_BChw, pooled_BC=pooled_BC)
        if views is not None:
            found = [(self._image_support(views), place) for place in views.places]
        else:
            place = ViewPlace.whole((image_B3HW.shape[2], image_B3HW.shape[3]))
            each = [CurrentViews(image_3HW[None], (place,)) for image_3HW in image_B3HW]
            found = [(self._image_support(view), place) for view in each]
        rows = []
        for (map_YX, support_KC), place in found:
            region_hw = nearest(view_of(map_YX, place, 0), size)
            rows.append(support_KC[region_hw].permute(2, 0, 1))
        support_BChw = torch.stack(rows).to(own_BChw)
        has_B1hw = support_BChw.any(1, keepdim=True)
        own_BChw = own_BChw * torch.where(has_B1hw, 1 - self.share, 1.0)
        support_BChw = support_BChw * (self.share / len(self.models))
        support_BChw[:, : own_BChw.shape[1]] += own_BChw
        factor = len(self.models) ** 0.5  # texts of unit length are shorter by it
        pooled_BC = F.normalize(features.pooled_BC, dim=1)
        rest = (0, self.joint_dim - pooled_BC.shape[1])
        return replace(
            features, dense_BChw=factor * support_BChw, pooled_BC=F.pad(factor * pooled_BC, rest)
        )

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding of unit length for each category, (T, 1, C)."""
        means = [model.encode_text(vocabulary).trained_mean_TC for model in self.models]
        unit_TC = torch.cat([F.normalize(mean_TC, dim=1) for mean_TC in means], dim=1)
        return TextFeatures(F.normalize(unit_TC, dim=1)[:, None], vocabulary=vocabulary)

    def maker(self) -> IndexMaker:
        """Identity of the models, which an index stores."""
        towers = {f"{i}.{name}": value for i, model in enumerate(self.models)
                  for name, value in model.clip.visual.named_parameters()}  # fmt: skip
        vfm: Any = self.main.vfm
        towers |= {f"vfm.{name}": value for name, value in vfm.named_parameters()}
        return IndexMaker(vfm.dim, self.joint_dims, sha256(towers))

    def region_keys(self, views: CurrentViews) -> tuple[Tensor, Tensor, Tensor]:
        """Regions of the whole image: map (Y, X), unit keys (K, D), and how many pixels each has.

        Row 0 stands for pixels without a region.

        Args:
            views: views of the image.
        """
        map_1YX, most = self.main.canvas_regions(views)
        features_1Dhw = self.main.canvas_features(views.places[0].canvas, views)
        mean_KD, count_K = region_means(features_1Dhw[0], map_1YX[0], most + 1)
        return map_1YX[0], F.normalize(mean_KD, dim=1), count_K

    def _image_support(self, views: CurrentViews) -> tuple[Tensor, Tensor]:
        """Map of the regions of the image, and the support (K, C) of each; 0 without a region."""

        def compute() -> tuple[Tensor, Tensor]:
            map_YX, key_KD, count_K = self.region_keys(views)
            parts = self._open().support(key_KD, self.neighbours)
            support_KC = torch.cat(parts, dim=1).masked_fill((count_K == 0)[:, None], 0)
            support_KC[0] = 0
            return map_YX, support_KC

        return views.once((id(self), "support"), compute)

    def _open(self) -> RegionIndex:
        """Index, read on first use, because weights may be loaded after the encoder is built."""
        if self._opened is None:
            if self.index is None:
                raise FileNotFoundError(
                    "RetrievalCorrCLIPEncoder has no index. Build one with `ovss region-index` and "
                    "set its folder as `index`."
                )
            index = RegionIndex(self.index, self.search)
            if difference := index.maker.difference(self.maker()):
                raise RegionIndexError(
                    f"The index in {printable(self.index)} belongs to other models: {difference}. "
                    f"Build it again with these models."
                )
            self._opened = index
        return self._opened
