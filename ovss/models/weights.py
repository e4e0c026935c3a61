"""Finds the trained weights of a method and loads them into its model."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from mmengine.config import Config
from torch import nn

from ovss.io.advice import advised
from ovss.segmentor import OpenVocabSegmentor

from .plugins import find_plugins

WEIGHTS_DIR = Path(__file__).parents[1] / "weights"


def pretrained_if_needed(
    config: Config, weights: str | Path | None = "default"
) -> AbstractContextManager[None]:
    """Context that skips an encoder's pre-trained file if it is not needed.

    A whole checkpoint replaces every weight, so a model built inside this context before
    `load_trained` needs no download. A partial one still needs the pre-trained file.

    Args:
        config: config of the model.
        weights: argument of the later call of `load_trained`.
    """
    from ovss.encoders.weights import weights_come_later

    from .checkpoint import is_whole

    path = named_weights(config, weights)
    return weights_come_later(path is not None and is_whole(find_weights(path)))


def load_trained(
    model: OpenVocabSegmentor, config: Config, weights: str | Path | None = "default"
) -> None:
    """Loads the trained weights of a method.

    Args:
        model: model built from `config`.
        config: config whose ``weights`` may name the method's checkpoint.
        weights: checkpoint; ``"default"`` loads the one that the config names; None loads none,
            so that every part that is trained stays random.

    Raises:
        ValueError: `weights` is ``"default"``, the config names no checkpoint, and parts have
            parameters that are trained. Their masks would be noise.
        FileNotFoundError: the checkpoint does not exist.
        CheckpointError: the checkpoint does not fit the model.
    """
    from .checkpoint import load_weights

    path = named_weights(config, weights)
    if path is not None:
        load_weights(model, find_weights(path))
    elif weights is not None:
        random = random_parts(model)
        if random:
            error = ValueError(
                f"{Path(config.filename or 'the config').stem} names no trained weights, so its "
                f"{' and '.join(random)} would be random. Give a checkpoint, or allow random "
                f"weights (in Python, weights=None)"
            )
            raise advised(error, "weights")


def named_weights(config: Config, weights: str | Path | None) -> str | Path | None:
    """Returns the checkpoint to load: the config's for ``"default"``, else `weights` itself."""
    return config.get("weights") if weights == "default" else weights


def random_parts(model: OpenVocabSegmentor) -> list[str]:
    """Names of the parts that are random without trained weights: those with trained parameters.

    Parameters that never train belong to a pre-trained network inside a part, which loads its own.
    """
    random = ["encoder"] if _trains(model.encoder, model.encoder.learned) else []
    parts = ("selector", "head", "decoder", "post_processor")
    return random + [part for part in parts if _trains(getattr(model, part), ("",))]


def _trains(module: nn.Module, beginnings: tuple[str, ...]) -> bool:
    """True if a parameter whose name begins in one of these ways is trained."""
    return any(p.requires_grad and name.startswith(beginnings)
               for name, p in module.named_parameters())  # fmt: skip


def find_weights(path: str | Path) -> Path:
    """Finds a checkpoint: a path, or a file in the folder ``weights`` of `ovss` or of a plugin.

    Raises:
        FileNotFoundError: the file does not exist; the message lists the searched folders.
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
    raise FileNotFoundError(
        f"Checkpoint {str(path)!r} does not exist, neither as a path nor in {places}. Correct the "
        f"path"
    )
