"""From the words that a model was asked to the classes that a data set scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ovss.selection import IGNORE


def to_classes(predicted_HW: Tensor, word_class: Sequence[int] | None) -> Tensor:
    """Every predicted word as the class it stands for.

    Args:
        predicted_HW: indices into W words, or IGNORE; any shape.
        word_class: W classes, the i-th being what word i counts as; None: each word is a class.

    Returns:
        indices into the classes; IGNORE stays.

    Raises:
        ValueError: an index outside the W words.

    >>> to_classes(torch.tensor([0, 1, 2, -1]), [0, 0, 1]).tolist()
    [0, 0, 1, -1]
    """
    if word_class is None:
        return predicted_HW
    inside = (predicted_HW >= 0) & (predicted_HW < len(word_class))
    if not bool((inside | (predicted_HW == IGNORE)).all()):
        low, high = int(predicted_HW.min()), int(predicted_HW.max())
        raise ValueError(
            f"a prediction holds {low}..{high}, outside the {len(word_class)} words that were asked"
        )
    table_W = torch.tensor([*word_class, IGNORE], device=predicted_HW.device)
    return table_W[predicted_HW.long()]  # IGNORE is -1: the last entry
