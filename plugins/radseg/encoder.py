"""RADSegEncoder: C-RADIO with self-correlating attention, and a text tower."""

from __future__ import annotations

from torch import Tensor

from ovss.encoders.last_block import LastBlock
from ovss.encoders.text_only import build_text_only
from ovss.encoders.timm_block import TimmBlock, block_problem
from ovss.encoders.vision_model import VisionModel
from ovss.interfaces import SplicedEncoder
from ovss.io.option_values import check_range
from ovss.layers.patches import tokens_as_map
from ovss.layers.pixels import prepare_pixels
from ovss.layers.splice import WindowFeatures
from ovss.layers.timm_tokens import rotary_positions, tower_input
from ovss.registry import ENCODERS, check_arguments
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .adaptor import LanguageAdaptor
from .correlation import global_aggregation, recursive_block

__all__ = ["RADSegEncoder"]


@ENCODERS.register_module()
class RADSegEncoder(SplicedEncoder):
    """Backbone whose windows correlate with themselves, spliced, and its language adaptor.

    RADSeg, arXiv 2511.19704. The last block attends twice (SCRA, see `correlation`), the windows'
    tokens are spliced, every cell of the canvas becomes the mean of similar ones (SCGA), and the
    adaptor brings the cells into the space of the text tower. Use it with ``merge="features"``.
    Nothing trains. The pooled embedding is the mean of the dense tokens.

    Args:
        backbone: arguments of `VisionModel`, a plain vision transformer of timm such as
            ``vit_base_patch16_radio_v3.c_radio``.
        text: open_clip architecture of the text tower, such as ``ViT-gopt-16-SigLIP2-384``.
        pretrained: open_clip tag of the text tower, path of a weight file, or None for random
            weights.
        adaptor: arguments of `adaptor.LanguageAdaptor`: ``hidden``, ``blocks``, ``pretrained``,
            ``prefix``.
        recursive: factor of SCRA; 0 leaves the last block as it was pre-trained.
        aggregate: factor of SCGA; 0 leaves the spliced tokens as they are.
        text_cache: cache for text embeddings: ``disk`` (which includes memory), ``memory`` or
            ``off``.

    Raises:
        TypeError: an argument that one of the parts does not have.
        ValueError: a value out of range, or a backbone that cannot be taken apart.
    """

    def __init__(
        self,
        backbone: dict,
        text: str,
        pretrained: str | None = None,
        adaptor: dict | None = None,
        recursive: float = 10.0,
        aggregate: float = 10.0,
        text_cache: str = "disk",
    ) -> None:
        super().__init__()
        check_range("RADSegEncoder", 0, recursive=recursive, aggregate=aggregate)
        check_arguments(VisionModel, dict(backbone))
        self.backbone = VisionModel(**backbone)
        reason = "it is SAM's" if self.backbone.is_sam else None
        reason = reason or block_problem(self.backbone.trunk.blocks[-1])
        if reason or self.backbone.size is not None:
            raise ValueError(
                f"RADSegEncoder.backbone expects a plain vision transformer of timm without a "
                f"size, got {dict(backbone)} ({reason or 'size is set'}). Choose another one."
            )
        self.clip, self._encode_vocabulary, self.joint_dim = build_text_only(
            text, pretrained, text_cache
        )
        options = {"dim": self.backbone.dim, "joint_dim": self.joint_dim, **(adaptor or {})}
        check_arguments(LanguageAdaptor, options)
        self.adaptor = LanguageAdaptor(**options)
        self.recursive, self.aggregate = recursive, aggregate

    def encode_windows(self, views_V3HW: Tensor) -> WindowFeatures:
        """Tokens of the backbone's patches after the last block and the final norm.

        Args:
            views_V3HW: RGB in 0..255.
        """
        vision, trunk = self.backbone, self.backbone.trunk
        statistics = vision.mean_311, vision.std_311
        pixels_V3HW = prepare_pixels(views_V3HW, *statistics, None, vision.patch)
        tokens_VND, grid = tower_input(
            trunk, pixels_V3HW.to(trunk.patch_embed.proj.weight.dtype), vision.positions
        )
        rope_Nd, prefix = rotary_positions(trunk, grid), trunk.num_prefix_tokens
        *blocks, final = trunk.blocks
        for block in blocks:
            tokens_VND = block(tokens_VND) if rope_Nd is None else block(tokens_VND, rope=rope_Nd)
        last = LastBlock(TimmBlock(final, rope_Nd), tokens_VND, grid, prefix=prefix)
        output_VND = recursive_block(last, self.recursive) if self.recursive else last.ordinary_BND
        token_VND = trunk.fc_norm(trunk.norm(last.patches(output_VND)))
        return WindowFeatures((tokens_as_map(token_VND, grid),), token_VND.mean(1))

    def join(self, windows: WindowFeatures, canvas_B3HW: Tensor) -> ImageFeatures:
        """Dense tokens of the canvas in the space of the text tower.

        Args:
            windows: tokens of the backbone.
            canvas_B3HW: not read.
        """
        token_BDhw = windows.maps[0]
        if self.aggregate:
            token_BDhw = global_aggregation(token_BDhw, self.aggregate)
        dense_BNC = self.adaptor(token_BDhw.flatten(2).transpose(1, 2))
        grid = (token_BDhw.shape[2], token_BDhw.shape[3])
        return ImageFeatures(tokens_as_map(dense_BNC, grid), dense_BNC.mean(1))

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding per category and template: (T, P, C) float32, L2-normalised.

        Raises:
            ValueError: a blank name, or a prompt that is too long for the text tower. The message
                names the category.
        """
        return self._encode_vocabulary(self.clip, vocabulary)
