"""Modules found by pattern: to compute again instead of keeping, and to compile."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from mmengine.logging import print_log
from torch import nn
from torch.utils.checkpoint import checkpoint

PARTS = ("encoder", "selector", "head", "decoder")
"""Components of a segmentor that take part in a training step, in the order of the figure."""


def declared(model: nn.Module, what: str) -> list[str]:
    """Patterns that the components of a segmentor declare, as names within the segmentor.

    Args:
        model: a segmentor.
        what: ``"checkpointed"`` or ``"compiled"``, see `ovss.interfaces`.
    """
    return [
        f"{part}.{pattern}".rstrip(".")
        for part in PARTS
        for pattern in getattr(getattr(model, part), what)
    ]


def matching(
    model: nn.Module, patterns: Sequence[str], strict: bool = True
) -> dict[str, nn.Module]:
    """Modules by dotted name; ``*`` is one word of it, ``**`` one or more.

    Args:
        model: whose modules.
        patterns: of names.
        strict: a pattern that matches nothing is an error.

    Raises:
        ValueError: such a pattern, with the names there are at the top.
    """
    modules = dict(model.named_modules())
    found: dict[str, nn.Module] = {}
    for pattern in patterns:
        words = [_WORDS.get(word, re.escape(word)) for word in pattern.split(".")]
        rule = re.compile(r"\.".join(words))
        hits = {name: module for name, module in modules.items() if rule.fullmatch(name)}
        if strict and not hits:
            top = ", ".join(sorted({".".join(name.split(".")[:2]) for name in modules if name}))
            raise ValueError(f"no module is called {pattern!r}; there are {top[:300]} ...")
        found.update(hits)
    return found


_WORDS = {"*": r"[^.]+", "**": r".+"}


def save_memory(model: nn.Module, which: bool | str | Sequence[str]) -> list[str]:
    """Gradient checkpointing: what these modules compute is not kept for the backward pass but
    computed again there, from the same random state: a step has the same gradients, takes about a
    third longer and less memory.

    Args:
        model: changed in place; names of parameters stay as they are.
        which: True for what the components declare, or patterns (see `matching`); False for
            none.

    Returns:
        the names.
    """
    chosen = _chosen(model, which, "checkpointed")
    for module in chosen.values():
        module.forward = _recomputed(module.forward)  # type: ignore[method-assign]
    if chosen:
        print_log(f"{len(chosen)} modules are computed again in the backward pass", "current")
    return list(chosen)


def compile_modules(model: nn.Module, options: dict[str, Any] | None) -> list[str]:
    """`torch.compile` of repeated blocks, each by itself: the same code is compiled once.

    Args:
        model: changed in place; names stay as they are.
        options: ``modules`` (patterns, see `matching`; without it what the components declare) and
            torch.compile's own, such as ``mode`` and ``dynamic``; None compiles nothing.

    Returns:
        the names.
    """
    if options is None:
        return []
    settings = dict(options)
    chosen = _chosen(model, settings.pop("modules", True), "compiled")
    for module in chosen.values():
        module.compile(**settings)
    if chosen:
        print_log(f"{len(chosen)} modules are compiled: the first steps are slow", "current")
    return list(chosen)


def _chosen(model: nn.Module, which: bool | str | Sequence[str], what: str) -> dict[str, nn.Module]:
    if isinstance(which, bool):
        return matching(model, declared(model, what), strict=False) if which else {}
    patterns = [which] if isinstance(which, str) else which
    if not isinstance(patterns, Sequence) or not all(isinstance(p, str) for p in patterns):
        raise TypeError(f"modules are chosen by True, False or patterns of names, got {which!r}")
    return matching(model, patterns)


def _recomputed(forward: Callable) -> Callable:
    @wraps(forward)
    def again(*args: Any, **options: Any) -> Any:
        return checkpoint(partial(forward, **options), *args, use_reentrant=False)

    return again
