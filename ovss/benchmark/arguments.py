"""Method arguments of the benchmark commands: config names, settings, values by method."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import Config, DictAction

from ovss.io.excerpts import excerpt
from ovss.io.files import write_text
from ovss.io.json_text import json_text
from ovss.models.build import build_segmentor
from ovss.models.configs import load_config
from ovss.models.parts import model_without_pretrained
from ovss.segmentor import OpenVocabSegmentor


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """Splits a method argument into a config's name or path and the settings after commas.

    >>> parse_method("cat_seg_mini,model.selector.k=8")
    ('cat_seg_mini', {'model.selector.k': 8})

    Raises:
        ValueError: a setting without ``=``.
    """
    name, *settings = text.split(",")
    malformed = [setting for setting in settings if "=" not in setting]
    if malformed:
        raise ValueError(
            f"Expected CONFIG,KEY=VALUE,..., got {excerpt(malformed[0])} in {text}. Write each "
            f"setting as KEY=VALUE"
        )
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", nargs="+", action=DictAction)
    try:
        return name, dict(parser.parse_args(settings).pairs) if settings else {}
    except (AssertionError, SystemExit):  # brackets that do not match
        raise ValueError(f"The settings in {excerpt(text)} cannot be read. Correct them") from None


def labels(methods: Sequence[str]) -> dict[str, str]:
    """Chooses the name of each method in tables and options.

    The name is that of the config. If several methods share a config, it includes the settings.

    >>> labels(["a,k=1", "b,k=1", "b"])
    {'a,k=1': 'a', 'b,k=1': 'b,k=1', 'b': 'b'}
    """
    names = [method.split(",")[0] for method in methods]
    return {
        method: name if names.count(name) == 1 else method
        for method, name in zip(methods, names, strict=True)
    }


def by_method(values: Sequence[str] | None, methods: Sequence[str]) -> dict[str, str]:
    """Sorts option values by method: ``["METHOD=32"]`` gives ``{"METHOD": "32"}``.

    A value without a method, as in ``["32"]``, applies to all and has the empty name as its key.

    Raises:
        ValueError: a value names a method that is not measured.
    """
    sorted_values = {}
    for value in values or ():
        method, sign, rest = value.rpartition("=")
        if sign and method not in methods:
            raise ValueError(f"Expected one of {list(methods)}, got {method!r} in {value}")
        sorted_values[method] = rest
    return sorted_values


def parse_count(value: str) -> int:
    """Number of categories to keep in ``N`` or ``METHOD=N``.

    >>> parse_count("dcp_clip_mini=8")
    8

    Raises:
        ValueError: it is not an integer of at least 1.
    """
    digits = value.rpartition("=")[2]
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 10 and int(digits)):
        raise ValueError(
            f"Expected the number of categories to keep, as N or METHOD=N, got {excerpt(value)}. "
            f"Write an integer of at least 1"
        )
    return int(digits)


def random_model(
    name: str, settings: dict[str, Any] | None, device: str
) -> tuple[Config, OpenVocabSegmentor]:
    """Builds a method with random weights, in the encoder too, always from the same seed."""
    config = load_config(name, settings)
    config.model = model_without_pretrained(config.model)
    torch.manual_seed(0)
    return config, build_segmentor(config, weights=None, device=device)


def write_json(path: str, content: dict[str, Any]) -> None:
    """Writes a JSON file, whole or not at all; NaN and infinity become null."""
    write_text(path, json_text(content, indent=1))
