"""Training losses, one criterion per file."""

from .bce import BinaryCrossEntropy
from .cross_entropy import CrossEntropy

__all__ = ["BinaryCrossEntropy", "CrossEntropy"]
