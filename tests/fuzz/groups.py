"""All groups of cases."""

from __future__ import annotations

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
    "images": 24, "paths": 18, "words": 16, "classes": 10, "datasets": 12, "configs": 20,
    "overrides": 14, "weights": 8, "resuming": 3, "results": 20, "benchmarks": 5, "preparing": 16,
    "flags": 14, "api": 24,
}  # fmt: skip
"""Cases of each class in the default test suite, about 30 seconds."""

FULL = {
    "images": 90, "paths": 60, "words": 60, "classes": 40, "datasets": 50, "configs": 80,
    "overrides": 60, "weights": 30, "resuming": 16, "results": 80, "benchmarks": 20,
    "preparing": 80, "flags": 60, "api": 140,
}  # fmt: skip
"""Cases of each class with `--slow`, about 100 seconds."""


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
