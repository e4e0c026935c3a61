"""Trained weights of a method: where they are and how they get into a model."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from mmengine.config import Config

from ovss.io.advice import advised
from ovss.segmentor import OpenVocabSegmentor

from .plugins import find_plugins

WEIGHTS_DIR = Path(__file__).parents[1] / "weights"


def pretrained_if_needed(
    config: Config, weights: str | Path | None = "default"
) -> AbstractContextManager[None]:
    """A model built within loads its encoder's pre-trained file only if `weights`, which
    `load_trained` is to load next, leaves something to it: a published checkpoint is all there is,
    and works without a network.
    """
    from ovss.encoders.weights import weights_come_later

    from .checkpoint import is_whole

    path = named_weights(config, weights)
    return weights_come_later(path is not None and is_whole(find_weights(path)))


def load_trained(
    model: OpenVocabSegmentor, config: Config, weights: str | Path | None = "default"
) -> None:
    """Load a method's trained weights.

    Args:
        model: built of `config`.
        config: may name the method's own file in ``weights``.
        weights: a checkpoint; ``"default"``: the one that the config names; None: none beyond the
            encoder's own, what is trained stays random.

    Raises:
        ValueError: the default is asked for, there is none, and parts beside the encoder have
            parameters: their masks would be noise.
        FileNotFoundError, CheckpointError: no such file, or it does not fit.
    """
    from .checkpoint import load_weights

    path = named_weights(config, weights)
    if path is not None:
        load_weights(model, find_weights(path))
    elif weights is not None:
        random = random_parts(model)
        if random:
            error = ValueError(
                f"{Path(config.filename or 'the config').stem} names no trained weights, and its "
                f"{' and '.join(random)} would be random. Give a checkpoint, or ask for random "
                f"weights (weights=None in Python)"
            )
            raise advised(error, "weights")


def named_weights(config: Config, weights: str | Path | None) -> str | Path | None:
    """What `load_trained` calls weights, as it is named: a config's own for ``"default"``."""
    return config.get("weights") if weights == "default" else weights


def random_parts(model: OpenVocabSegmentor) -> list[str]:
    """Parts beside the encoder that mean nothing without training: those with parameters."""
    parts = ("selector", "head", "decoder", "post_processor")
    return [part for part in parts if any(True for _ in getattr(model, part).parameters())]


def find_weights(path: str | Path) -> Path:
    """A checkpoint file: as named, or in the folder ``weights`` of ours or of a plugin's package.

    Raises:
        FileNotFoundError: with the places looked at.
    """
    for candidate in (Path(path), WEIGHTS_DIR / path):
        if candidate.is_file():
            return candidate
    packages = [Path(plugin.path) for plugin in find_plugins() if plugin.path]
    folders = [package / "weights" for package in packages]
    for folder in folders:
        if (folder / path).is_file():
            return folder / path
    places = ", ".join(str(folder) for folder in (WEIGHTS_DIR, *folders) if folder.is_dir())
    raise FileNotFoundError(f"no checkpoint {str(path)!r}, neither as a path nor in {places}")
