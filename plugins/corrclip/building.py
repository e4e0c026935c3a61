"""Building of an index of regions from unlabelled images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ovss.inference import InferenceConfig, window_origins
from ovss.io.images import read_image
from ovss.layers.current_view import CurrentViews, ViewPlace, stated_views
from ovss.ops import resize
from ovss.proposers.current import CurrentImage, current_images
from ovss.retrieval import RegionIndexWriter

from .retrieval import RetrievalCorrCLIPEncoder

__all__ = ["BuiltIndex", "build_region_index", "image_regions"]


class BuiltIndex(NamedTuple):
    """Numbers of images that were encoded, or that the index had before, and of all regions."""

    encoded: int
    kept: int
    regions: int


def build_region_index(
    encoder: RetrievalCorrCLIPEncoder,
    images: Sequence[Path],
    folder: str | Path,
    inference: InferenceConfig,
    quiet: bool = False,
) -> BuiltIndex:
    """Adds the regions of every image that is not yet in the index.

    Args:
        encoder: encoder that will use the index, in evaluation mode.
        images: image files. Their paths as given are the names by which a later build skips them.
        folder: folder of a new index or of one to continue.
        inference: windows of an image.
        quiet: True hides the progress bar.

    Raises:
        RegionIndexError: the folder holds an index of other models.
        OSError: a file cannot be read or written.
    """
    encoded = kept = 0
    with RegionIndexWriter(folder, encoder.maker()) as writer:
        for path in tqdm(images, desc="regions", disable=quiet):
            if path.as_posix() in writer:
                kept += 1
                continue
            image_3HW = torch.from_numpy(read_image(path)).permute(2, 0, 1)
            with current_images([CurrentImage(str(path))]):
                keys_ND, values = image_regions(encoder, image_3HW, inference)
            writer.add(path.as_posix(), keys_ND, values)
            encoded += 1
        return BuiltIndex(encoded, kept, len(writer))


@torch.inference_mode()
def image_regions(
    encoder: RetrievalCorrCLIPEncoder, image_3HW: Tensor, inference: InferenceConfig
) -> tuple[Tensor, list[Tensor]]:
    """Keys (N, D) of the regions of an image, and their mean embeddings (N, C) of each CLIP model.

    An embedding is the mean of the unit dense tokens of a region's cells in all windows, of unit
    length.

    Args:
        encoder: encoder that will use the index.
        image_3HW: RGB in 0..255.
        inference: windows of the image.
    """
    main = encoder.main
    device = next(main.parameters()).device
    image_13HW = image_3HW[None].float().to(device)
    canvas = inference.canvas(*image_3HW.shape[1:])
    canvas_13YX = resize(image_13HW, canvas)
    places = tuple(_places(canvas, inference))
    current = CurrentViews(image_13HW, places)
    _, key_KD, count_K = encoder.region_keys(current)
    most = count_K.shape[0]
    sums = [key_KD.new_zeros(most, dim) for dim in encoder.joint_dims]
    for start in range(0, len(places), inference.views_at_once(device)):
        part = current.part(slice(start, start + inference.views_at_once(device)))
        views_V3YX = torch.cat(
            [canvas_13YX[..., p.top : p.top + p.height, p.left : p.left + p.width]
             for p in part.places]
        )  # fmt: skip
        with stated_views(part):
            for model, spatial, sum_KC in zip(encoder.models, encoder.spatial, sums, strict=True):
                dense_BChw = main.encode_with(model, spatial, views_V3YX).dense_BChw
                size = (dense_BChw.shape[2], dense_BChw.shape[3])
                region_Bhw, _ = main.region_maps(views_V3YX, size, part)
                unit_MC = F.normalize(dense_BChw, dim=1).permute(0, 2, 3, 1).flatten(0, 2)
                sum_KC.index_add_(0, region_Bhw.flatten(), unit_MC)
    # a region smaller than a cell may have none, and row 0 stands for pixels without a region
    has_K = (count_K > 0) & (sums[0] != 0).any(1)
    has_K[0] = False
    return key_KD[has_K], [F.normalize(sum_KC[has_K], dim=1) for sum_KC in sums]


def _places(canvas: tuple[int, int], inference: InferenceConfig) -> list[ViewPlace]:
    """Places of the windows; the whole canvas without windows."""
    if inference.mode != "slide":
        return [ViewPlace.whole(canvas)]
    height, width = (min(inference.window, side) for side in canvas)
    rows, columns = (window_origins(side, inference.window, inference.stride) for side in canvas)
    return [ViewPlace(canvas, y, x, height, width) for y in rows for x in columns]
