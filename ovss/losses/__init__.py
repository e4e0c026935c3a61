"""Training losses, one criterion per file."""

from .bce import BinaryCrossEntropy
from .cross_entropy import CrossEntropy
from .set_matching import SetMatching

__all__ = ["BinaryCrossEntropy", "CrossEntropy", "SetMatching"]
