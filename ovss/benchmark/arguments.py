"""Method arguments of the benchmark commands: config names, settings, values by method."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import Config, DictAction

from ovss.io.files import write_atomic
from ovss.models.build import build_segmentor
from ovss.models.configs import load_config
from ovss.segmentor import OpenVocabSegmentor


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """A config's name or path, and settings after commas.

    >>> parse_method("cat_seg_mini,model.selector.k=8")
    ('cat_seg_mini', {'model.selector.k': 8})
    """
    name, *settings = text.split(",")
    wrong = [setting for setting in settings if "=" not in setting]
    if wrong:
        raise ValueError(f"Expected CONFIG,KEY=VALUE,..., got {wrong[0]!r} in {text}")
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", nargs="+", action=DictAction)
    return name, dict(parser.parse_args(settings).pairs) if settings else {}


def labels(methods: Sequence[str]) -> dict[str, str]:
    """Names of the methods in tables and options: the config's name, with settings where two
    methods share it.

    >>> labels(["a,k=1", "b,k=1", "b"])
    {'a,k=1': 'a', 'b,k=1': 'b,k=1', 'b': 'b'}
    """
    names = [method.split(",")[0] for method in methods]
    return {
        method: name if names.count(name) == 1 else method
        for method, name in zip(methods, names, strict=True)
    }


def by_method(values: Sequence[str] | None, methods: Sequence[str]) -> dict[str, str]:
    """``["32"]`` or ``["METHOD=32", ...]`` -> method -> value; the empty name stands for all.

    Raises:
        ValueError: a method that is not measured.
    """
    found = {}
    for value in values or ():
        method, sign, rest = value.rpartition("=")
        if sign and method not in methods:
            raise ValueError(f"Expected one of {list(methods)}, got {method!r} in {value}")
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
    """Writes a JSON file, whole or not at all."""
    text = json.dumps(content, indent=1) + "\n"
    write_atomic(path, lambda file: file.write(text.encode()))
