"""What the tools of tools/analysis share: which method, with which weights, keeping how much."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import Config, DictAction

from ..files import write_atomic
from ..models import build_segmentor, load_config
from ..segmentor import OpenVocabSegmentor


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """A config's name or path, and settings after commas.

    >>> parse_method("cat_seg_mini,model.selector.k=8")
    ('cat_seg_mini', {'model.selector.k': 8})
    """
    name, *settings = text.split(",")
    wrong = [setting for setting in settings if "=" not in setting]
    if wrong:
        raise ValueError(f"{text}: expected CONFIG,KEY=VALUE,..., got {wrong[0]!r}")
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", nargs="+", action=DictAction, default={})
    return name, parser.parse_args(["--set", *settings] if settings else []).set


def by_method(values: Sequence[str] | None, methods: Sequence[str]) -> dict[str, str]:
    """``["32"]`` or ``["METHOD=32", ...]`` -> method -> value; the empty name stands for all.

    Raises:
        ValueError: a method that does not take part.
    """
    found = {}
    for value in values or ():
        method, sign, rest = value.rpartition("=")
        if sign and method not in methods:
            raise ValueError(f"{value}: no method here is {method!r}; there are {list(methods)}")
        found[method] = rest
    return found


def random_model(
    name: str, settings: dict[str, Any] | None, device: str
) -> tuple[Config, OpenVocabSegmentor]:
    """A method with random weights, the encoder's too; the same ones every time."""
    config = load_config(name, settings)
    if "pretrained" in config.model["encoder"]:
        config.model["encoder"]["pretrained"] = None
    torch.manual_seed(0)
    return config, build_segmentor(config, weights=None, device=device)


def write_json(path: str, content: dict[str, Any]) -> None:
    """All or nothing."""
    text = json.dumps(content, indent=1) + "\n"
    write_atomic(path, lambda file: file.write(text.encode()))
