from __future__ import annotations

from ovss.interfaces import PostProcessor
from ovss.registry import POSTPROCESSORS
from ovss.structures import RegionScores, Scores


@POSTPROCESSORS.register_module()
class Identity(PostProcessor):
    """Returns the scores unchanged."""

    reads_regions = True

    def __init__(self) -> None:
        super().__init__()

    def forward(self, scores: Scores | RegionScores) -> Scores | RegionScores:
        return scores
