"""What to look for in images: categories, and the treatment of pixels that are none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ovss.vocabularies.parsing import names_of
from ovss.vocabularies.seen import category_key

__all__ = ["Request", "Words"]

Words = str | Path | Sequence[str]


@dataclass(frozen=True)
class Request:
    """Categories to look for, and the rules for pixels that are none of them.

    Args:
        names: T category names, already checked.
        background: names that compete for pixels without being categories: a pixel that one of
            them wins becomes unknown.
        threshold: probability in 0..1; a pixel whose best category is less likely becomes unknown.
        probabilities: True to keep the probability maps of all categories in the result.
    """

    names: tuple[str, ...]
    background: tuple[str, ...] = ()
    threshold: float = 0.0
    probabilities: bool = False

    @classmethod
    def of(
        cls,
        words: Words,
        background: Words | None = None,
        threshold: float = 0.0,
        probabilities: bool = False,
    ) -> Request:
        """Checks and converts what a user gives.

        Args:
            words: categories, in a form of `ovss.vocabularies.parsing.names_of`.
            background: names that stand for everything else, in the same forms; None: no names.
            threshold: see `Request`.
            probabilities: see `Request`.

        Raises:
            FileNotFoundError, TypeError, ValueError: see `names_of`.
            ValueError: a threshold outside 0..1, or a background name that is also a category.
        """
        if isinstance(threshold, bool) or not 0 <= threshold <= 1:
            raise ValueError(
                f"Expected a threshold in 0..1, got {threshold!r}. Give a probability such as 0.4"
            )
        names = names_of(words)
        ground = () if background is None else names_of(background)
        categories = frozenset().union(*map(category_key, names))
        shared = [name for name in ground if category_key(name) & categories]
        if shared:
            raise ValueError(
                f"The background name {shared[0]!r} is also a category. Remove it from one of them"
            )
        return cls(names, ground, float(threshold), probabilities)

    @property
    def queries(self) -> tuple[str, ...]:
        """Names that the model compares with the image: categories, then background names."""
        return self.names + self.background

    def caution(self, is_softmax: bool) -> str:
        """Warning that every answer to this request would be meaningless; empty if it is sound.

        Args:
            is_softmax: True if the probabilities of a pixel sum to 1, so that a single name always
                has probability 1.
        """
        if len(self.queries) > 1 or (self.threshold > 0 and not is_softmax):
            return ""
        return (
            f"{self.names[0]!r} is the only category, so every pixel is assigned to it. "
            f"Name what surrounds it, as further categories or as background names"
        )
