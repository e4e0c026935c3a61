from __future__ import annotations

import torch.nn.functional as F

from ovss.interfaces import AlignmentHead
from ovss.io.option_values import check_range
from ovss.ops import cosine_volume
from ovss.registry import HEADS
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures


@HEADS.register_module()
class CosineHead(AlignmentHead):
    """Plain cost volume: cosine similarity of every cell with every prompt.

    Args:
        num_templates: D = P, the number of prompt templates; must be 1 with `ensemble`.
        ensemble: True to average the embeddings of a category over any number of templates first.
            They are normalised before and after averaging.

    Raises:
        ValueError: a number of templates below 1, or `ensemble` with more than one channel.
    """

    checkpointed = ("",)

    def __init__(self, num_templates: int = 1, ensemble: bool = False) -> None:
        super().__init__()
        check_range("CosineHead", 1, num_templates=num_templates)
        if ensemble and num_templates != 1:
            raise ValueError(
                f"CosineHead(ensemble=True) averages the templates into one channel, got "
                f"num_templates={num_templates}. Set num_templates=1."
            )
        self.cost_dim = num_templates
        self.num_templates = None if ensemble else num_templates
        self.ensemble = ensemble

    def forward(self, image: ImageFeatures, text: TextFeatures, selection: Selection) -> Alignment:
        if self.ensemble:
            unit_T1C = F.normalize(text.trained_mean_TC, dim=1)[:, None]
            text_BKPC = selection.gather(unit_T1C)
        elif text.num_templates == self.cost_dim:
            text_BKPC = text.rows(selection.index_BK)
        else:
            raise ValueError(
                f"CosineHead(num_templates={self.cost_dim}) got {text.num_templates} "
                f"prompt templates. Set num_templates={text.num_templates}, or ensemble=True to "
                f"average them."
            )
        volume_BKPhw = cosine_volume(image.dense_BChw, text_BKPC)
        return Alignment(volume_BKPhw, image, text, selection)
