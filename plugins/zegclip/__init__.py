"""ZegCLIP: adapting CLIP for zero-shot segmentation (Zhou et al., CVPR 2023, arXiv 2212.03588).

Importing this package registers `DeepPromptEncoder`, `RelationshipHead` and the loss `focal_dice`.
"""

from .encoder import DeepPromptEncoder
from .head import RelationshipHead
from .loss import FocalDice

__all__ = ["DeepPromptEncoder", "FocalDice", "RelationshipHead"]
