"""Selection of modules by name pattern, for gradient checkpointing and compilation."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from mmengine.logging import print_log
from torch import nn
from torch.utils.checkpoint import checkpoint

from ovss.io.excerpts import excerpt

PARTS = ("encoder", "selector", "head", "decoder")
"""Components of a segmentor that take part in a training step, in order of execution."""


def declared(model: nn.Module, what: str) -> list[str]:
    """Name patterns that the components declare, converted to names within the segmentor.

    Args:
        model: segmentor.
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
    """Finds the modules whose dotted names match a pattern.

    Args:
        model: module to search.
        patterns: name patterns; ``*`` stands for one part of a name, ``**`` for one or more.
        strict: True to raise an error for a pattern without a match.

    Raises:
        ValueError: a pattern without a match. The message lists names of top-level modules.
    """
    modules = dict(model.named_modules())
    matches: dict[str, nn.Module] = {}
    for pattern in patterns:
        parts = [_WILDCARDS.get(part, re.escape(part)) for part in pattern.split(".")]
        rule = re.compile(r"\.".join(parts))
        hits = {name: module for name, module in modules.items() if rule.fullmatch(name)}
        if strict and not hits:
            top = ", ".join(sorted({".".join(name.split(".")[:2]) for name in modules if name}))
            raise ValueError(
                f"No module name matches {pattern!r}. Choose from {top[:300]} and their modules."
            )
        matches.update(hits)
    return matches


_WILDCARDS = {"*": r"[^.]+", "**": r".+"}


def save_memory(model: nn.Module, which: bool | str | Sequence[str]) -> list[str]:
    """Enables gradient checkpointing for some modules.

    Their activations are not stored but recomputed in the backward pass, from the same random
    state. A step has the same gradients, needs less memory and takes about a third longer.

    Args:
        model: segmentor, changed in place. Parameter names stay the same.
        which: True for the modules that the components declare, False for none, or name patterns
            (see `matching`).

    Returns:
        Names of the modules.
    """
    selected = _select(model, which, "checkpointed")
    for module in selected.values():
        module.forward = _recomputed(module.forward)  # type: ignore[method-assign]
    if selected:
        print_log(f"{len(selected)} modules are recomputed in the backward pass.", "current")
    return list(selected)


def compile_modules(model: nn.Module, options: dict[str, Any] | None) -> list[str]:
    """Compiles repeated blocks one by one with `torch.compile`, so shared code is compiled once.

    Args:
        model: segmentor, changed in place. Parameter names stay the same.
        options: options of torch.compile such as ``mode`` and ``dynamic``. The additional key
            ``modules`` holds name patterns (see `matching`) that replace those that the components
            declare. None compiles nothing.

    Returns:
        Names of the modules.
    """
    if options is None:
        return []
    settings = dict(options)
    selected = _select(model, settings.pop("modules", True), "compiled")
    for module in selected.values():
        module.compile(**settings)
    if selected:
        print_log(f"{len(selected)} modules are compiled, so the first steps are slow.", "current")
    return list(selected)


def _select(model: nn.Module, which: bool | str | Sequence[str], what: str) -> dict[str, nn.Module]:
    if isinstance(which, bool):
        return matching(model, declared(model, what), strict=False) if which else {}
    patterns = [which] if isinstance(which, str) else which
    if not isinstance(patterns, Sequence) or not all(isinstance(p, str) for p in patterns):
        raise TypeError(f"Modules must be True, False or patterns of names, got {excerpt(which)}.")
    return matching(model, patterns)


def _recomputed(forward: Callable) -> Callable:
    @wraps(forward)
    def recomputed(*args: Any, **options: Any) -> Any:
        return checkpoint(partial(forward, **options), *args, use_reentrant=False)

    return recomputed
