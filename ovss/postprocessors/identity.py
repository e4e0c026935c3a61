from __future__ import annotations

from ovss.interfaces import PostProcessor
from ovss.registry import POSTPROCESSORS
from ovss.structures import Scores


@POSTPROCESSORS.register_module()
class Identity(PostProcessor):
    """Returns the scores unchanged."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, scores: Scores) -> Scores:
        return scores
