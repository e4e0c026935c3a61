"""TridentEncoder: windows of ProxyCLIP, spliced, then averaged with SAM's attention."""

from __future__ import annotations

import torch
from torch import Tensor

from ovss.encoders.proxy import ProxyEncoder
from ovss.encoders.vision_model import VisionModel
from ovss.interfaces import SplicedEncoder
from ovss.io.option_values import check_range
from ovss.layers.patches import tokens_as_map
from ovss.layers.splice import WindowFeatures
from ovss.ops import resize
from ovss.registry import ENCODERS, check_arguments
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .sam_attention import sam_weights

__all__ = ["TridentEncoder"]


@ENCODERS.register_module()
class TridentEncoder(SplicedEncoder):
    """Proxy attention in windows, and SAM's attention over the whole canvas.

    Trident, ICCV 2025, arXiv 2411.09219. The windows' outputs of the last block are spliced before
    the final norm, resized to the grid of SAM, and averaged with the attention weights of SAM's
    last block, which see the whole canvas. Use it with ``merge="features"``.

    Args:
        proxy: arguments of `ProxyEncoder`.
        sam: arguments of `VisionModel` for SAM's image encoder, with a ``size``, 1024 for the
            published weights.
        cos_factor: factor of the mean cosine of SAM's values, below which pairs of cells are left
            out; 1.2 published, 3.0 for Cityscapes.
        keep_negative: True to keep negative thresholds; False for Cityscapes and ADE20K.

    Raises:
        TypeError: an argument that one of the parts does not have.
        ValueError: a value out of range, or a model that is not SAM's encoder.
    """

    windows_together = True

    def __init__(
        self, proxy: dict, sam: dict, cos_factor: float = 1.2, keep_negative: bool = True
    ) -> None:
        super().__init__()
        check_range("TridentEncoder", 0, cos_factor=cos_factor)
        check_arguments(ProxyEncoder, dict(proxy))
        self.proxy = ProxyEncoder(**{"proxy": dict(mean="batch"), **proxy})
        check_arguments(VisionModel, dict(sam))
        self.sam = VisionModel(**sam)
        if not self.sam.is_sam or self.sam.size is None or self.sam.trunk.blocks[-1].window_size:
            raise ValueError(
                f"TridentEncoder.sam expects SAM's image encoder with a size, whose last block "
                f"attends over the whole image, got {dict(sam)}. Set model to "
                f"samvit_base_patch16.sa1b and size to 1024."
            )
        self.cos_factor, self.keep_negative = cos_factor, keep_negative
        self.joint_dim = self.proxy.joint_dim

    def encode_windows(self, views_V3HW: Tensor) -> WindowFeatures:
        """Outputs of the last block, before the final norm, on the grid of the other model.

        Args:
            views_V3HW: RGB in 0..255.
        """
        fitted_V3HW, padding = self.proxy.fitted(views_V3HW)
        tokens_VMD, grid, pooled_VC = self.proxy.attend(fitted_V3HW)
        return WindowFeatures((tokens_as_map(tokens_VMD, grid),), pooled_VC, padding)

    def join(self, windows: WindowFeatures, canvas_B3HW: Tensor) -> ImageFeatures:
        """Dense tokens on the grid of SAM.

        Args:
            windows: features of the canvases.
            canvas_B3HW: RGB in 0..255.
        """
        maps = []
        for token_Dhw, canvas_3HW in zip(windows.maps[0], canvas_B3HW.float(), strict=True):
            weights_hwN = sam_weights(self.sam, canvas_3HW, self.cos_factor, self.keep_negative)
            maps.append(self.aggregate(token_Dhw, weights_hwN))
        return ImageFeatures(torch.stack(maps), windows.pooled_VC)

    def aggregate(self, token_Dhw: Tensor, weights_hwN: Tensor) -> Tensor:
        """Joint tokens (C, h, w): weighted means of the tokens, after the norm and projection.

        Args:
            token_Dhw: tokens of the canvas on their own grid.
            weights_hwN: weights between the cells of another grid.
        """
        grid = (weights_hwN.shape[0], weights_hwN.shape[1])
        token_1ND = resize(token_Dhw[None], grid).flatten(2).transpose(1, 2)
        mean_1ND = weights_hwN.flatten(0, 1).to(token_1ND.dtype) @ token_1ND
        return tokens_as_map(self.proxy.encoder.to_joint_space(mean_1ND), grid)[0]

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding per category and template, see the encoder of CLIP."""
        return self.proxy.encode_text(vocabulary)
