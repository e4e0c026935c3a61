from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ovss.interfaces import PostProcessor
from ovss.registry import POSTPROCESSORS
from ovss.structures import Scores


@POSTPROCESSORS.register_module()
class Chain(PostProcessor):
    """Sequence of post-processors.

    Args:
        steps: configs of the post-processors, in the order of application.
    """

    def __init__(self, steps: Sequence[dict]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(POSTPROCESSORS.build(step) for step in steps)

    def forward(self, scores: Scores) -> Scores:
        for step in self.steps:
            scores = step(scores)
        return scores
