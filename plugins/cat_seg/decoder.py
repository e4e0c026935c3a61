"""CATSegDecoder: aggregates the cosine volume over space and categories and decodes masks."""

from __future__ import annotations

from torch import Tensor, nn

from ovss.interfaces import Decoder
from ovss.io.option_values import check_range
from ovss.registry import DECODERS
from ovss.structures import Alignment, Masks

from .classes import ClassAggregation
from .spatial import SpatialAggregation
from .volume import EmbeddedVolume, add_guidance, add_upsampling, decode_volume


class AggregationLayer(nn.Module):
    """Spatial aggregation followed by class aggregation."""

    def __init__(self, spatial: SpatialAggregation, classes: ClassAggregation) -> None:
        super().__init__()
        self.spatial = spatial
        self.classes = classes

    def forward(
        self,
        x_Khwc: Tensor,
        appearance_hwc: Tensor,
        text_Kc: Tensor,
        pool: int,
        chunk: int,
        image_K: Tensor | None = None,
        counts: tuple[int, ...] = (),
    ) -> Tensor:
        """Applies both, see `SpatialAggregation` and `ClassAggregation` for the arguments."""
        x_Khwc = self.spatial(x_Khwc, appearance_hwc, chunk, image_K)
        return self.classes(x_Khwc, text_Kc, pool, chunk, counts)


@DECODERS.register_module()
class CATSegDecoder(Decoder):
    """Cost aggregation (CAT-Seg, CVPR 2024, sections 3.2 to 3.4 and its released code).

    Only the valid (image, category) pairs are processed. The result of an image therefore depends
    neither on the other images of the batch nor on padding. On a CPU images are processed one at a
    time, guidance is never copied per category, and without gradients at most `chunk` categories
    are processed at a time. On other devices the images of a batch are processed together.

    Args:
        joint_dim: C of the encoder.
        level_dims: channels of the two tapped levels. The first guides the first (2 x) stage, the
            second the second (4 x) stage; CAT-Seg uses a shallow and a deep level. A level may be
            finer than the feature grid.
        cost_dim: D of the head, the number of prompts.
        dim: channels of the embedded volume, of the appearance and of the text guidance.
        layers: number of aggregation layers.
        heads: attention heads in spatial and class attention.
        window: side of the windows of spatial attention, in cells of the feature grid.
        expand: width of the MLPs as a multiple of `dim`.
        pool: pooling factor before class attention in (training, evaluation).
        pad_length: least number of tokens in class attention; a learned token fills the gap.
        level_middle: channels of the levels after enlarging.
        level_guides: channels of the levels as guidance.
        stage_dims: output channels of the two upsampling stages.
        chunk: categories processed at a time at inference; smaller values need less memory.

    Raises:
        ValueError: `level_dims` does not have two entries, or an argument is out of range.
    """

    any_level_scale = True
    checkpointed = ("layers.*", "stages.*")
    compiled = ("stages.*",)

    def __init__(
        self,
        joint_dim: int,
        level_dims: tuple[int, int],
        cost_dim: int = 1,
        dim: int = 128,
        layers: int = 2,
        heads: int = 4,
        window: int = 12,
        expand: int = 4,
        pool: tuple[int, int] = (2, 1),
        pad_length: int = 256,
        level_middle: tuple[int, int] = (256, 128),
        level_guides: tuple[int, int] = (32, 16),
        stage_dims: tuple[int, int] = (64, 32),
        chunk: int = 8,
    ) -> None:
        super().__init__()
        check_range("CATSegDecoder", 0, layers=layers, pad_length=pad_length)
        check_range("CATSegDecoder", 1, heads=heads, window=window, expand=expand, chunk=chunk)
        check_range("CATSegDecoder", 1, pool=min(pool))
        add_guidance(self, joint_dim, level_dims, cost_dim, dim, level_middle, level_guides)
        self.pool, self.chunk = tuple(pool), chunk
        self.layers = nn.ModuleList(
            AggregationLayer(
                SpatialAggregation(dim, dim, heads, expand * dim, window),
                ClassAggregation(dim, dim, heads, expand * dim, pad_length),
            )
            for _ in range(layers)
        )
        # The guidance takes the other quarter of the channels.
        kept = tuple(size * 3 // 4 for size in (dim, *stage_dims[:-1]))
        add_upsampling(self, dim, level_guides, stage_dims, kept)

    def forward(self, aligned: Alignment) -> Masks:
        """Predicts logits at four times the resolution of the feature grid.

        The selection is returned unchanged.
        """
        return decode_volume(self, aligned, self._aggregate)

    def _aggregate(self, volumes: list[EmbeddedVolume]) -> list[Tensor]:
        pool = self.pool[0] if self.training else self.pool[1]
        outputs = []
        for volume in volumes:
            x_Khwc, guidance = volume.x_Khwc, (volume.appearance_hwc, volume.text_Kc)
            for layer in self.layers:
                images = volume.image_K, volume.counts
                x_Khwc = layer(x_Khwc, *guidance, pool, self.chunk, *images)
            outputs.append(x_Khwc)
        return outputs
