"""Model and rules of a labelling run, and the hashes that tell two runs apart."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovss.api.request import Request
from ovss.io.hashing import content_hash

if TYPE_CHECKING:
    from ovss.api.inferencer import Inferencer

__all__ = ["LabelSettings", "build_inferencer", "find_identity", "weights_hash"]


@dataclass(frozen=True)
class LabelSettings:
    """Model and rules of a run; plain values that are sent to workers.

    Args:
        request: categories and rules.
        model: name or file of a config, or folder of a saved model; None: the default model for
            photos.
        weights: checkpoint, ``"default"``, or None for random ones (of a fixed seed).
        pretrained: weights of the encoder; None: those of the config.
        synonyms: rule for synonyms; None: the method's.
        overrides: config keys to change.
        precision: number type.
        device: device of the workers.
        tile: side of the tiles of larger images; 0: one piece; None: chosen by size.
        large: True to read images above 100 megapixels.
        threads: threads of the computation of a worker. The number changes the last bits of scores,
            so that all workers of a run have the same.
        readers: threads of a worker that read and decode images.
    """

    request: Request
    model: str | None = None
    weights: str | None = "default"
    pretrained: str | None = None
    synonyms: str | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    device: str = "auto"
    tile: int | None = None
    large: bool = False
    threads: int = 1
    readers: int = 2

    def absolute(self) -> LabelSettings:
        """These settings with absolute paths, for workers with other working folders."""
        from ovss.api.method import names_saved_model

        model = self.model
        if model and (names_saved_model(model) or Path(model).is_file()):
            model = _absolute(model)
        weights, pretrained = _absolute(self.weights), _absolute(self.pretrained)
        return replace(self, model=model, weights=weights, pretrained=pretrained)


def build_inferencer(settings: LabelSettings, device: str, precision: str) -> Inferencer:
    """Builds the model of a run and encodes its vocabulary.

    Args:
        settings: model and rules.
        device: device.
        precision: number type.
    """
    import torch

    from ovss.api.inferencer import Inferencer
    from ovss.models.plugins import load_plugins

    load_plugins()
    torch.manual_seed(0)  # random weights, if any, are those of every other worker
    inferencer = Inferencer(
        settings.model,
        weights=settings.weights,
        pretrained=settings.pretrained,
        device=device,
        synonyms=settings.synonyms,
        overrides=settings.overrides,
        precision=precision,
    )
    inferencer.encode(settings.request.queries)
    return inferencer


def _absolute(path: str | None) -> str | None:
    """Absolute path of what exists; anything else as it is."""
    return str(Path(path).absolute()) if path and Path(path).exists() else path


def weights_hash(inferencer: Inferencer) -> str:
    """SHA-256 over the tensors of a model."""
    from ovss.io.fingerprint import sha256

    return sha256(inferencer.model.state_dict())


def find_identity(
    settings: LabelSettings, device: str, precision: str
) -> tuple[dict[str, Any], list[str]]:
    """Values that two runs of one folder must share, and warnings about the model.

    The model is built once and released. Weights are compared by content, so that their place does
    not matter.

    Args:
        settings: model and rules.
        device: device to build the model on; the machine that starts a cluster may have no GPU.
        precision: number type that this device is checked for.

    Returns:
        Plain values for the files of a run, and sentences.
    """
    inferencer = build_inferencer(settings, device, precision)
    request = settings.request
    vocabulary = {"categories": list(request.names), "background": list(request.background)}
    identity = {
        # names first: the first difference is the one that a refusal names
        "model": inferencer.name,
        **vocabulary,
        "threshold": request.threshold,
        "precision": settings.precision,
        "tile": settings.tile,
        "large": settings.large,
        "threads": settings.threads,
        "vocabulary_sha256": content_hash(vocabulary),
        "config_sha256": inferencer.config_hash(),
        "weights_sha256": weights_hash(inferencer),
        "note": inferencer.note,
    }
    notes = [inferencer.note, inferencer.caution(request)]
    del inferencer
    gc.collect()
    return identity, [note for note in notes if note]
