from __future__ import annotations

from ovss.interfaces import Decoder
from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range
from ovss.ops import resize
from ovss.registry import DECODERS
from ovss.structures import Alignment, Masks


@DECODERS.register_module()
class UpsampleDecoder(Decoder):
    """Averages the cost volume over its channels, scales it and upsamples it; without parameters.

    Args:
        scale: factor from cosines to logits; CLIP's own is 100.
        factor: size of the masks relative to the feature grid.
        bias: number added to the logits, for models trained with a sigmoid (SigLIP). A softmax over
            categories does not see it.

    Raises:
        ValueError: a scale that is not above 0, or a factor below 1.
    """

    def __init__(self, scale: float = 100.0, factor: int = 1, bias: float = 0.0) -> None:
        super().__init__()
        check_range("UpsampleDecoder", 1, factor=factor)
        if not scale > 0:
            raise ValueError(
                f"UpsampleDecoder.scale must be above 0, got {excerpt(scale)}. Correct it"
            )
        self.scale = scale
        self.factor, self.bias = factor, bias

    def forward(self, aligned: Alignment) -> Masks:
        logits_BKhw = aligned.cost_BKDhw.mean(2) * self.scale
        if self.bias:
            logits_BKhw = logits_BKhw + self.bias
        height, width = logits_BKhw.shape[-2:]
        size = (height * self.factor, width * self.factor)
        return Masks(resize(logits_BKhw, size), aligned.selection)
