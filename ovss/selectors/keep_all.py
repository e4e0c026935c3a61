from __future__ import annotations

from torch import Tensor

from ovss.interfaces import Selector
from ovss.registry import SELECTORS
from ovss.structures import ImageFeatures, Selection, TextFeatures


@SELECTORS.register_module()
class KeepAll(Selector):
    """Keeps every category."""

    def __init__(self) -> None:
        super().__init__()

    def forward(
        self, image: ImageFeatures, text: TextFeatures, keep_BT: Tensor | None = None
    ) -> Selection:
        dense_BChw = image.dense_BChw
        return Selection.everything(dense_BChw.shape[0], text.num_categories, dense_BChw.device)
