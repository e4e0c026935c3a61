"""Pre-trained weights of CLIP models: finding the file, and loading it into a module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ovss.io.deferred import weights_are_deferred, weights_come_later
from ovss.io.excerpts import some_of
from ovss.io.state_dicts import fit_names, wrong_types
from ovss.io.weight_files import read_weights

from .architecture import CONFIGS
from .tags import check_activation, fetch, tag_config

__all__ = [
    "NOT_WEIGHTS",
    "find_pretrained",
    "fitted",
    "load_pretrained",
    "preprocess_of",
    "weights_come_later",
]

BUNDLED = CONFIGS.parent / "weights"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def find_pretrained(model: str, config: dict[str, Any], pretrained: str | None) -> Path | None:
    """Finds the file with pre-trained weights, and downloads it if necessary.

    Args:
        model: name of the architecture.
        config: model config.
        pretrained: open_clip tag, path of a file, name of bundled weights, or None.

    Returns:
        The path; None if `pretrained` is None, or inside `weights_come_later`.

    Raises:
        FileNotFoundError: a local or bundled file that does not exist.
        RuntimeError: weights of a tag that are neither cached nor reachable.
        ValueError: an unknown tag, or weights trained with another activation.
    """
    if pretrained is None or weights_are_deferred():
        return None
    if _is_tag(pretrained):
        check_activation(model, config, pretrained)
        return fetch(model, pretrained)
    path = Path(pretrained) if _is_file_name(pretrained) else BUNDLED / f"{pretrained}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"Weight file {path} does not exist (pretrained={pretrained!r}). Check the path."
        )
    return path


def _is_tag(pretrained: str) -> bool:
    bundled = (BUNDLED / f"{pretrained}.safetensors", CONFIGS / f"{pretrained}.json")
    return not _is_file_name(pretrained) and not any(path.is_file() for path in bundled)


def _is_file_name(pretrained: str) -> bool:
    return pretrained.endswith(SUFFIXES) or "/" in pretrained or "\\" in pretrained


def preprocess_of(
    model: str, config: dict[str, Any], pretrained: str | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the pixels in pre-training, in 0..255.

    They come from ``preprocess_cfg`` of the model config, or from open_clip's record of the tag.
    Without a tag they are those of the tags of the architecture, if all of these agree, or else
    those of CLIP.
    """
    known = config.get("preprocess_cfg")
    if known is None:
        is_tag = pretrained is not None and _is_tag(pretrained)
        known = tag_config(model, pretrained) if is_tag else _common_statistics(model)
    mean, std = known.get("mean") or CLIP_MEAN, known.get("std") or CLIP_STD
    return tuple(255 * value for value in mean), tuple(255 * value for value in std)


def _common_statistics(model: str) -> dict[str, Any]:
    """Mean and std of all tags of an architecture; empty if they differ, or if it has none."""
    if model.endswith(".json") or (CONFIGS / f"{model}.json").is_file():
        return {}  # open_clip knows no weights for it, and takes a second to import

    from open_clip import list_pretrained_tags_by_model

    found = []
    for tag in list_pretrained_tags_by_model(model):
        record = tag_config(model, tag)
        found.append((record.get("mean") or CLIP_MEAN, record.get("std") or CLIP_STD))
    if not found or any(pair != found[0] for pair in found):
        return {}
    return {"mean": found[0][0], "std": found[0][1]}


def load_pretrained(clip: nn.Module, model: str, path: Path) -> None:
    """Loads a weight file into `clip`. Half precision becomes the precision of the module.

    Raises:
        RuntimeError: a file that cannot be read, values that are NaN or infinite, or keys or shapes
            of another architecture.
    """
    clip.load_state_dict(fitted(read_weights(path)[0], clip, model, path))


def fitted(
    tensors: dict[str, Tensor], clip: nn.Module, model: str, path: str | Path
) -> dict[str, Tensor]:
    """Converts published tensors to the names and shapes of `clip`'s state dict.

    Args:
        tensors: tensors by published name.
        clip: module that defines names and shapes; it may be on the meta device.
        model: name of the architecture, for messages.
        path: weight file, for messages.

    Raises:
        RuntimeError: keys or shapes of another architecture. The message names the first few.
    """
    expected = clip.state_dict()
    tensors = fit_names(tensors, {*expected, *NOT_WEIGHTS})
    state = {key: value for key, value in tensors.items() if key not in NOT_WEIGHTS}
    if "text.positional_embedding" in expected and "positional_embedding" in state:
        from open_clip.model import convert_to_custom_text_state_dict

        state = convert_to_custom_text_state_dict(state)
    if "logit_bias" in expected:
        state.setdefault("logit_bias", torch.zeros(()))
    for name in {"logit_scale", "logit_bias"} & state.keys() & expected.keys():
        state[name] = state[name].reshape(expected[name].shape)
    state = _split_fused(state)
    _check_keys(path, model, state, expected)
    return state


def _split_fused(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Splits fused attention matrices into those of queries, keys and values."""
    split = {}
    for key, value in state.items():
        stem = key.removesuffix("in_proj_weight")
        if stem != key and stem.endswith("attn."):
            parts = value.chunk(3)
            split |= {f"{stem}{n}_proj_weight": p for n, p in zip("qkv", parts, strict=False)}
        else:
            split[key] = value
    return split


def _check_keys(
    path: str | Path, model: str, state: dict[str, Tensor], expected: dict[str, Tensor]
) -> None:
    wrong = {
        "missing": [key for key in expected if key not in state],
        "unexpected": [key for key in state if key not in expected],
        "of another shape": [
            f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
            for key, value in expected.items()
            if key in state and state[key].shape != value.shape
        ],
        "of another number type": wrong_types(state, expected),
    }
    problems = [f"{len(keys)} {kind} ({some_of(keys, 3)})" for kind, keys in wrong.items() if keys]
    if problems:
        raise RuntimeError(
            f"The weights in {path} do not fit {model}: {'; '.join(problems)}. Use weights of this "
            f"architecture."
        )
