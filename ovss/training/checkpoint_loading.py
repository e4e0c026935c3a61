"""Loading of checkpoints by mmengine, replaced so that it never runs code from a file.

mmengine reads a checkpoint again with Python's pickle if the safe way fails, and its list of safe
names contains `getattr`. Its loaders are replaced where it looks them up, by the kind of path.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from ovss.io.excerpts import excerpt
from ovss.io.plain_pickle import load_plain
from ovss.io.weight_formats import PICKLE, weight_format
from ovss.models.checkpoint import CheckpointError, misfit_of, read_weights

from .checkpoint_reader import load_training_file, unusable
from .sharding import is_sharded

__all__ = ["check_same_weights", "register_safe_loaders"]

_WEB = ("http://", "https://")


def register_safe_loaders() -> None:
    """Replaces the loaders of mmengine; idempotent.

    ``init_cfg=dict(type="Pretrained", checkpoint=...)`` and mmengine's functions then read local
    files, and files at addresses, as weights only. Paths of other kinds are refused.
    """
    known = list(CheckpointLoader._schemes)
    CheckpointLoader.register_scheme(prefixes=known, loader=_refuse, force=True)
    CheckpointLoader.register_scheme(prefixes="", loader=_local, force=True)
    CheckpointLoader.register_scheme(prefixes=list(_WEB), loader=_download, force=True)


def check_same_weights(model: nn.Module, path: Path) -> None:
    """Rejects a checkpoint with other weights than the model has, which mmengine would skip.

    Args:
        model: model without a wrapper.
        path: checkpoint of a training.

    Raises:
        CheckpointError: names, shapes or number types differ.
    """
    content = load_training_file(path, mmap=True)
    state = {name.removeprefix("module."): x for name, x in content["state_dict"].items()}
    if is_sharded(model):  # its state dict would be gathered
        own: Mapping[str, Tensor] = dict(model.named_parameters())
        state = {name: value for name, value in state.items() if name in own}
    else:
        own = model.state_dict()
    problem = misfit_of(own, state)
    if problem:
        raise unusable(path, f"does not fit the model: {problem}")


def _local(filename: str, map_location: Any) -> Any:
    if weight_format(filename) == PICKLE:
        # what cannot be read is reported by `read_weights`
        with suppress(Exception):
            return load_plain(filename, map_location)
    tensors, _ = read_weights(filename)
    return {"state_dict": {name: _moved(value, map_location) for name, value in tensors.items()}}


def _moved(value: Tensor, map_location: Any) -> Tensor:
    return value if map_location is None or callable(map_location) else value.to(map_location)


def _download(filename: str, map_location: Any) -> dict[str, Any]:
    return torch.hub.load_state_dict_from_url(
        filename, map_location=map_location, weights_only=True, progress=False
    )


def _refuse(filename: str, map_location: Any) -> dict[str, Any]:
    raise CheckpointError(
        f"Weights must be a file or an http address, got {excerpt(filename)}. Download the file "
        f"and give its path"
    )
