"""The zoo: facts about published methods, and what of each runs here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from ovss.io.strict_json import parse_json

__all__ = ["FAMILIES", "PARITY", "ZooMethod", "load_zoo", "method_of", "weights_state"]

FILE = Path(__file__).with_name("zoo.json")
_WITHOUT = "without_training"
"""Key of patterns of names of compositions without training that nobody has published."""

_BY_HAND = "by_hand"
"""Key of patterns of names of configs whose weights only their authors give out."""

FAMILIES = {
    "cells": "compares cells with the categories",
    "regions": "compares regions with the categories",
    "words": "word vectors, no vision-language model",
    "unknown": "not public",
}
PARITY = {
    "official": "outputs equal those of the authors' modules under the same weights",
    "formula": "outputs equal those of an independent, slow implementation of the formulas",
    "text": "written from the paper, or from facts about the code; no outputs to compare with",
}
"""How far the equality with the authors' code was checked."""


@dataclass(frozen=True)
class ZooMethod:
    """Published method.

    Args:
        name: name, as `PublishedRow.method` has it.
        family: key of `FAMILIES`.
        training: what the published training reads, ``none`` for methods without training.
        venue: conference or journal, with the year.
        paper: number in arXiv; None: none is known.
        code: official repository on GitHub; None: none is known.
        commit: commit of that repository to which the facts refer.
        license: license of the code.
        weights: patterns of names of the configs for which `ovss convert` reads published weights.
        plugin: entry point of the plugin that has the method; None: no code here.
        configs: patterns of names of its configs.
        parity: key of `PARITY`; None: no code here.
        tests: files or folders of tests that check the parity, relative to the repository.
        note: what a reader of its results needs to know, or why it does not run here.
    """

    name: str
    family: str
    training: str
    venue: str
    paper: str | None
    code: str | None
    commit: str | None
    license: str | None
    weights: tuple[str, ...]
    plugin: str | None
    configs: tuple[str, ...]
    parity: str | None
    tests: tuple[str, ...]
    note: str | None


@cache
def load_zoo() -> dict[str, ZooMethod]:
    """Name -> method, from the bundled file, which is read once."""
    methods = _content()["methods"]
    return {name: _method(name, facts) for name, facts in methods.items()}


def _method(name: str, facts: dict[str, Any]) -> ZooMethod:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in facts.items()
    }
    return ZooMethod(name, **values)


@cache
def _content() -> dict[str, Any]:
    return parse_json(FILE.read_bytes())


def method_of(config: Path) -> ZooMethod | None:
    """Published method of a bundled config; None for compositions that nobody has published.

    Args:
        config: file of the config. Those in the folders ``mixed`` and ``encoders`` have parts of
            several methods, or other encoders.

    >>> method_of(Path("cat_seg/cat_seg_vit-b16.py")).name
    'CAT-Seg'
    """
    if config.parent.name in ("mixed", "encoders"):
        return None
    fitting = [
        (len(pattern), method)
        for method in load_zoo().values()
        for pattern in method.configs
        if fnmatchcase(config.stem, pattern)
    ]
    return max(fitting, key=lambda each: each[0])[1] if fitting else None


def weights_state(config: Path, weights: str | None) -> str:
    """Where trained weights of a config come from.

    Args:
        config: file of the config.
        weights: checkpoint that the config names.

    Returns:
        ``bundled``; ``convertible`` (`ovss convert` reads the authors' file); ``downloadable``
        (open_clip or timm load all that is needed); ``by hand`` (you get them from their authors);
        ``none`` (to be trained).
    """
    from ovss.models.weights import WEIGHTS_DIR

    if weights:
        return "bundled" if (WEIGHTS_DIR / Path(weights).name).is_file() else "none"
    method, content = method_of(config), _content()
    if method and _fits(config, method.weights):
        return "convertible"
    if _fits(config, content[_BY_HAND]):
        return "by hand"
    trains = method.training != "none" if method else not _fits(config, content[_WITHOUT])
    if trains:
        return "none"
    return "bundled" if "_mini" in config.stem else "downloadable"  # the mini CLIP is bundled


def _fits(config: Path, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(config.stem, pattern) for pattern in patterns)
