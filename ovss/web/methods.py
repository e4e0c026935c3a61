"""Methods that the page offers, and the reasons why it does not offer the others."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovss.encoders.tags import cached_weights
from ovss.encoders.weights import BUNDLED
from ovss.hub.loading import is_model_folder
from ovss.models.configs import find_config, list_configs, read_config
from ovss.models.defaults import MINI_METHOD
from ovss.models.parts import external_options, is_upper_bound, pretrained_block
from ovss.models.plugins import load_plugins
from ovss.models.weights import find_weights
from ovss.registry import register_all
from ovss.results.zoo import method_of, weights_state

__all__ = ["MethodChoice", "list_methods"]

REASONS = {
    "convertible": "no trained weights here: `ovss convert` reads the file of the authors",
    "by hand": "its weights are given out by their authors only",
    "none": "no trained weights are published: train it first",
}
"""Reasons by `weights_state`."""


@dataclass(frozen=True)
class MethodChoice:
    """Method of the page.

    Args:
        name: config name or file.
        weights: checkpoint; None for the one that the config names.
        pretrained: weights of the encoder; None for those that the config names.
        published: name of the published method; empty for a composition of this project.
        is_bundled: True if all weights are in the package.
        problem: reason why it cannot be used; empty if it can.
    """

    name: str
    weights: str | None = None
    pretrained: str | None = None
    published: str = ""
    is_bundled: bool = False
    problem: str = ""


def list_methods(wanted: Sequence[str] = ()) -> list[MethodChoice]:
    """Lists methods: bundled models first, then those whose weights are cached, then the others.

    Nothing is downloaded.

    Args:
        wanted: folders of saved models, and config names or files, each of these perhaps followed
            by ``=FILE``: a checkpoint, or for methods without training the weights of the encoder.
            Their order is kept. Empty for all configs except those that read label maps.

    Raises:
        FileNotFoundError: a config or a file of weights does not exist.
        ValueError: a method that reads label maps, which images to segment do not have, or a name
            that occurs twice.
    """
    register_all()
    load_plugins()
    known = list_configs()  # once: it reads the metadata of every installed package
    if wanted:
        chosen = [_wanted(text, known) for text in wanted]
        twice = [name for name, count in Counter(c.name for c in chosen).items() if count > 1]
        if twice:
            raise ValueError(f"The method {twice[0]} is named twice. Name it once")
    else:
        # the default model of the demo is the first one
        names = sorted(known, key=lambda name: name != MINI_METHOD)
        choices = (_choice(name, known[name], is_known=True) for name in names)
        chosen = [choice for choice in choices if choice is not None]
    # named methods keep their order
    return sorted(
        chosen, key=lambda choice: (bool(choice.problem), not wanted and not choice.is_bundled)
    )


def _wanted(text: str, known: Mapping[str, Path]) -> MethodChoice:
    if is_model_folder(text) and text not in known:
        return MethodChoice(text)
    name, _, file = text.partition("=")
    if file:
        file = str(find_weights(file))
    path = known.get(name) or find_config(name)
    choice = _choice(name, path, name in known, file or None)
    if choice is None:
        raise ValueError(
            f"{name} takes its regions from label maps, and images to segment have none. Choose "
            f"another method"
        )
    return choice


def _choice(name: str, path: Path, is_known: bool, file: str | None = None) -> MethodChoice | None:
    """Method of a config, perhaps with a file of weights; None if it reads label maps."""
    config = read_config(path)
    model = config.model.to_dict()
    if is_upper_bound(model):
        return None
    published, named = method_of(path), config.get("weights")
    state = weights_state(path, named)
    weights = pretrained = None
    if state == "downloadable" and file is not None:
        pretrained = pretrained_block(model["encoder"])["pretrained"] = file
    else:
        weights = file
    if weights is not None:
        problem = ""
    elif named:
        problem = _missing_checkpoint(named)
    else:  # of a file of the user nothing is known before it is built
        problem = REASONS.get(state, "") if is_known else ""
        problem = problem or _missing_files(model)
    is_bundled = state == "bundled" and file is None
    title = published.name if published else ""
    return MethodChoice(name, weights, pretrained, title, is_bundled, problem)


def _missing_checkpoint(weights: str) -> str:
    try:
        find_weights(weights)
    except FileNotFoundError:
        return f"its checkpoint {Path(weights).name} is not on this machine"
    return ""


def _missing_files(model: dict[str, Any]) -> str:
    """Reason naming the first pre-trained file that is neither on disk nor cached."""
    for block, key, _ in external_options(model, "model"):
        value = str(block[key])
        if not _is_at_hand(block, value):
            kind = block.get("model") or block.get("type")
            return f"the weights {value} of {kind} are not cached: `ovss segment` downloads them"
    return ""


def _is_at_hand(block: dict[str, Any], value: str) -> bool:
    if (BUNDLED / f"{value}.safetensors").is_file() or os.path.exists(value):
        return True
    try:
        return cached_weights(str(block.get("model")), value) is not None
    except ValueError:  # not a tag of open_clip
        return _is_cached_by_timm(value)


def _is_cached_by_timm(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache
    from timm.models import get_pretrained_cfg

    try:
        known = get_pretrained_cfg(name)
    except Exception:  # timm raises several kinds for names that it does not know
        return False
    repository = known.hf_hub_id if known is not None else None
    if not repository:
        return False
    files = ("model.safetensors", "pytorch_model.bin")
    return any(isinstance(try_to_load_from_cache(repository, file), str) for file in files)
