from __future__ import annotations

from ovss.interfaces import Decoder
from ovss.ops import resize
from ovss.registry import DECODERS
from ovss.structures import Alignment, Masks


@DECODERS.register_module()
class UpsampleDecoder(Decoder):
    """No parameters: the volume, averaged over its channels, enlarged and scaled.

    Args:
        scale: logits = scale * cosine; CLIP's own temperature is 100.
        factor: how many pixels of the mask a feature cell becomes, per side.
    """

    def __init__(self, scale: float = 100.0, factor: int = 1) -> None:
        super().__init__()
        self.scale = scale
        self.factor = factor

    def forward(self, aligned: Alignment) -> Masks:
        logits_BKhw = aligned.cost_BKDhw.mean(2) * self.scale
        height, width = logits_BKhw.shape[-2:]
        size = (height * self.factor, width * self.factor)
        return Masks(resize(logits_BKhw, size), aligned.selection)
