"""Names of the vocabularies at which cost is measured; beyond the real ones they are made up."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ovss.benchmark.images import open_dataset
from ovss.benchmark.table_jobs import config_of
from ovss.mini_world import names as mini_names

from .plan import ReportPlan

__all__ = ["cost_names", "made_up_names"]

_ONSETS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "dr", "kl", "st")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ou")


def made_up_names(count: int, known: Sequence[str] = (), seed: int = 0) -> list[str]:
    """Pronounceable names of two words that mean nothing, all different and none of `known`."""
    draw, used = random.Random(seed), set(known)
    names: list[str] = []
    while len(names) < count:
        words = [
            "".join(draw.choice(_ONSETS) + draw.choice(_VOWELS) for _ in range(draw.randint(2, 3)))
            for _ in range(2)
        ]
        name = " ".join(words)
        if name not in used:
            used.add(name)
            names.append(name)
    return names


def cost_names(plan: ReportPlan) -> tuple[tuple[str, ...], int]:
    """Names of the largest vocabulary of the cost section, and how many of them are real.

    Those of the datasets come first, the smallest dataset first, then those of the mini world if
    the plan has one of its datasets, then made-up names.
    """
    config = config_of(plan.methods[0].config)
    names = [open_dataset(config, data, 1).names for data in plan.datasets]
    every = dict.fromkeys(name for each in sorted(names, key=len) for name in each)
    if any(set(each) <= set(mini_names("mini_556")) for each in names):
        every.update(dict.fromkeys(mini_names("mini_556")))
    real = list(every)
    largest = max(plan.categories, default=0)
    return (*real, *made_up_names(largest - len(real), real))[:largest], len(real)
