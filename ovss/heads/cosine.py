from __future__ import annotations

import torch.nn.functional as F

from ovss.interfaces import AlignmentHead
from ovss.ops import cosine_volume
from ovss.registry import HEADS
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures


@HEADS.register_module()
class CosineHead(AlignmentHead):
    """The plain cost volume: cosine of every cell with every prompt.

    Args:
        num_templates: D = P, how many prompt templates there are; 1 with ``ensemble`` averages them
            into one embedding first.
        ensemble: average the templates of a category, normalised before and after.
    """

    checkpointed = ("",)

    def __init__(self, num_templates: int = 1, ensemble: bool = False) -> None:
        super().__init__()
        if ensemble and num_templates != 1:
            raise ValueError(
                f"an ensemble of templates gives one volume, not num_templates={num_templates}"
            )
        self.cost_dim = num_templates
        self.num_templates = None if ensemble else num_templates
        self.ensemble = ensemble

    def forward(self, image: ImageFeatures, text: TextFeatures, selection: Selection) -> Alignment:
        embeds_TPC = text.embeds_TPC
        if self.ensemble:
            embeds_TPC = F.normalize(embeds_TPC.mean(1, keepdim=True), dim=2)
        if embeds_TPC.shape[1] != self.cost_dim:
            raise ValueError(
                f"CosineHead(num_templates={self.cost_dim}) got {embeds_TPC.shape[1]} "
                f"prompt templates. Set num_templates={embeds_TPC.shape[1]}, or ensemble=True to "
                f"average them"
            )
        volume_BKPhw = cosine_volume(image.dense_BChw, selection.gather(embeds_TPC))
        return Alignment(volume_BKPhw, image, text, selection)
