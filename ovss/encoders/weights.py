"""Weight files: which one is meant, what is in it, and whether it fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

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

SHIPPED = CONFIGS.parent / "weights"
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
NOT_WEIGHTS = ("input_resolution", "context_length", "vocab_size")
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


_LATER: ContextVar[bool] = ContextVar("weights come later", default=False)


@contextmanager
def weights_come_later(they_do: bool = True) -> Iterator[None]:
    """Encoders that are built within leave their pre-trained file alone: another one, which holds
    all that they would find there, is loaded right afterwards."""
    token = _LATER.set(they_do)
    try:
        yield
    finally:
        _LATER.reset(token)


def find_pretrained(model: str, config: dict[str, Any], pretrained: str | None) -> Path | None:
    """The file that `pretrained` means, fetched if it is a tag not yet cached.

    Returns:
        None: none is meant, or `weights_come_later`.

    Raises:
        FileNotFoundError: a local or shipped file that is not there.
        RuntimeError: a tag's weights are neither cached nor reachable.
        ValueError: an unknown tag, or one trained with another activation than the architecture's.
    """
    if pretrained is None or _LATER.get():
        return None
    if _is_tag(pretrained):
        check_activation(model, config, pretrained)
        return fetch(model, pretrained)
    path = Path(pretrained) if _is_file_name(pretrained) else SHIPPED / f"{pretrained}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path} (pretrained={pretrained!r})")
    return path


def _is_tag(pretrained: str) -> bool:
    shipped = (SHIPPED / f"{pretrained}.safetensors", CONFIGS / f"{pretrained}.json")
    return not _is_file_name(pretrained) and not any(path.is_file() for path in shipped)


def _is_file_name(pretrained: str) -> bool:
    return pretrained.endswith(SUFFIXES) or "/" in pretrained or "\\" in pretrained


def preprocess_of(
    model: str, config: dict[str, Any], pretrained: str | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of pixels, in 0..255, that a model was trained with.

    ``preprocess_cfg`` of the model config, else what open_clip records for the weights' tag, else
    CLIP's own.
    """
    known = config.get("preprocess_cfg")
    if known is None:
        known = tag_config(model, pretrained) if pretrained and _is_tag(pretrained) else {}
    mean, std = known.get("mean") or CLIP_MEAN, known.get("std") or CLIP_STD
    return tuple(255 * value for value in mean), tuple(255 * value for value in std)


def load_pretrained(clip: nn.Module, model: str, path: Path) -> None:
    """Load a file into `clip`; half precision becomes the module's own precision.

    Raises:
        RuntimeError: a file as in `read_weights`, or keys or shapes that are not this
            architecture's; the first few are named.
    """
    clip.load_state_dict(fitted(read_weights(path)[0], clip, model, path))


def fitted(
    tensors: dict[str, Tensor], clip: nn.Module, model: str, path: str | Path
) -> dict[str, Tensor]:
    """Published tensors under the names, and in the shapes, of `clip`, which may be on "meta".

    Raises:
        RuntimeError: keys or shapes that are not this architecture's; the first few are named.
    """
    state = {key: value for key, value in tensors.items() if key not in NOT_WEIGHTS}
    wanted = clip.state_dict()
    if "text.positional_embedding" in wanted and "positional_embedding" in state:
        from open_clip.model import convert_to_custom_text_state_dict

        state = convert_to_custom_text_state_dict(state)
    if "logit_bias" in wanted:
        state.setdefault("logit_bias", torch.zeros(()))
    for name in {"logit_scale", "logit_bias"} & state.keys() & wanted.keys():
        state[name] = state[name].reshape(wanted[name].shape)
    state = _split_fused(state)
    _check_keys(path, model, state, wanted)
    return state


def _split_fused(state: dict[str, Tensor]) -> dict[str, Tensor]:
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
    path: str | Path, model: str, state: dict[str, Tensor], wanted: dict[str, Tensor]
) -> None:
    wrong = {
        "missing": [key for key in wanted if key not in state],
        "unexpected": [key for key in state if key not in wanted],
        "of another shape": [
            f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
            for key, value in wanted.items()
            if key in state and state[key].shape != value.shape
        ],
    }
    found = [
        f"{len(keys)} {kind} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for kind, keys in wrong.items()
        if keys
    ]
    if found:
        raise RuntimeError(f"{path} does not fit {model}: {'; '.join(found)}")
