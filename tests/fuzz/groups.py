"""All groups of cases."""

from __future__ import annotations

from . import regions  # noqa: F401  adds recipes to the groups
from .api_calls import CALLS
from .benchmarks import BENCHMARKS
from .cases import Case, Group
from .classes import CLASSES
from .configs import CONFIGS
from .datasets import DATASETS
from .flags import FLAGS
from .images import IMAGES
from .overrides import OVERRIDES
from .paths import PATHS
from .preparing import PREPARING
from .results import RESULTS
from .resuming import RESUMING
from .weights import WEIGHTS
from .words import WORDS

GROUPS: dict[str, Group] = {
    group.name: group
    for group in (
        IMAGES,
        PATHS,
        WORDS,
        CLASSES,
        DATASETS,
        CONFIGS,
        OVERRIDES,
        WEIGHTS,
        RESUMING,
        RESULTS,
        BENCHMARKS,
        PREPARING,
        FLAGS,
        CALLS,
    )
}
DEFAULT_SEED = 12
QUICK = {
    "images": 44, "paths": 40, "words": 28, "classes": 20, "datasets": 32, "configs": 56,
    "overrides": 38, "weights": 16, "resuming": 4, "results": 40, "benchmarks": 12,
    "preparing": 32, "flags": 48, "api": 60,
}  # fmt: skip
"""Cases of each class in the default test suite, about 25 seconds of processor time."""

FULL = {
    "images": 140, "paths": 140, "words": 100, "classes": 60, "datasets": 170, "configs": 280,
    "overrides": 200, "weights": 80, "resuming": 24, "results": 190, "benchmarks": 60,
    "preparing": 98, "flags": 320, "api": 330,
}  # fmt: skip
"""Cases of each class with `--slow`, about 80 seconds of processor time."""


def shares(total: int | None, names: list[str] | None = None) -> dict[str, int]:
    """Number of cases of each group.

    Args:
        total: cases in all, spread by recipes and weights; None: one per recipe.
        names: groups; None: all.
    """
    chosen = [group for name, group in GROUPS.items() if names is None or name in names]
    if total is None:
        return {group.name: len(group.recipes) for group in chosen}
    parts = {group.name: len(group.recipes) * group.weight for group in chosen}
    whole = sum(parts.values())
    return {name: max(round(total * part / whole), 1) for name, part in parts.items()}


def find_case(case_id: str, seed: int) -> Case:
    """Case by its id, such as ``images/7``.

    Raises:
        ValueError: no such group or number.
    """
    name, _, number = case_id.partition("/")
    if name not in GROUPS or not number.isdecimal():
        raise ValueError(f"Expected GROUP/NUMBER with one of {', '.join(GROUPS)}, got {case_id!r}")
    return GROUPS[name].case(seed, int(number))
