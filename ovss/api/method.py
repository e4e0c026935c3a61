"""Method of an inferencer: its config with the user's choices, built on a device."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ovss.encoders.tags import WeightsUnavailableError
from ovss.hub.download import HUB_PREFIX, model_folder
from ovss.hub.loading import is_model_folder, load_model
from ovss.hub.records import ModelFacts
from ovss.io.advice import advised
from ovss.io.arguments import typed_arguments
from ovss.models.build import build_segmentor
from ovss.models.configs import list_configs, load_config
from ovss.models.defaults import MINI_METHOD, PHOTO_METHOD
from ovss.models.parts import is_upper_bound, pretrained_block
from ovss.models.provenance import weights_note
from ovss.models.weights import named_weights
from ovss.segmentor import OpenVocabSegmentor
from ovss.vocabularies.prompts import PromptConfig

__all__ = ["Method", "choose_device", "load_method", "names_saved_model"]


@dataclass(frozen=True)
class Method:
    """Built method.

    Args:
        name: name of its config.
        model: model in evaluation mode.
        note: caveat on its weights; empty if there is none.
        config: config that it was built from.
        identity: what tells it from other methods, apart from weights, as plain values: its
            ``model`` block, in which files of a saved model have the names of its folder.
        facts: facts of a saved model; None for a method that was built from a config of its own.
        trained: True if the trained weights of the whole method were loaded.
    """

    name: str
    model: OpenVocabSegmentor
    note: str
    config: Config
    identity: Any
    facts: ModelFacts | None = None
    trained: bool = True


@typed_arguments
def choose_device(name: str = "auto") -> torch.device:
    """Returns the device called `name`; ``"auto"`` is the first GPU if there is one, else the CPU.

    Raises:
        ValueError: the device does not exist or cannot be used.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    _check_device(name)
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()  # the device meta has no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ValueError(
            f"device {name!r} cannot be used on this machine ({reason}). Use auto or cpu"
        ) from error
    return device


def _check_device(name: str) -> None:
    """Refuses names that torch does not know, or reads in another way than their author."""
    kind, colon, number = name.partition(":")
    if not re.fullmatch(r"[a-z]+", kind) or (colon and not re.fullmatch(r"[0-9]{1,4}", number)):
        raise ValueError(f"expected a device such as cpu, cuda or cuda:1, got {name!r}. Correct it")
    if kind == "cpu" and int(number or 0):
        raise ValueError(f"a machine has one device cpu, got {name!r}. Use cpu")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device {name!r} cannot be used, because this machine has "
            f"{torch.cuda.device_count()} GPUs for CUDA. Use auto or cpu"
        )
    if kind not in ("cpu", "cuda"):
        close = difflib.get_close_matches(kind, ("cuda", "cpu"), n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]}?" if close else ""
        if close:
            raise ValueError(f"no kind of device is called {kind!r}. {hint}")


def load_method(
    model: str | Path | None,
    weights: str | Path | None,
    pretrained: str | Path | None,
    synonyms: str | None,
    device: torch.device,
    overrides: Mapping[str, Any],
    allow_code: bool = False,
) -> Method:
    """Builds a method; the arguments are those of `ovss.api.inferencer.Inferencer`.

    Raises:
        ValueError: a method that reads label maps, which images to segment do not have.
        SavedModelError: a saved model that cannot be loaded.
    """
    if model is not None and names_saved_model(model):
        if weights != "default" or pretrained is not None:
            raise ValueError(
                f"{model} is a saved model, which has weights of its own. Leave out other weights"
            )
        rules = {} if synonyms is None else {"model.prompts.synonyms": synonyms}
        folder = model_folder(model, with_code=allow_code)
        return _saved_method(folder, device, {**rules, **overrides}, allow_code)
    config = load_config(PHOTO_METHOD if model is None else model, dict(overrides))
    if is_upper_bound(config.model.to_dict()):
        bound = ValueError(
            f"{Path(str(model)).stem} takes its regions from label maps, as an upper bound, and "
            f"images to segment have none. Evaluate it on a dataset with label maps."
        )
        raise advised(bound, "upper_bound")
    if pretrained is not None:
        pretrained_block(config.model.encoder)["pretrained"] = str(pretrained)
    prompts = PromptConfig(**(config.model.get("prompts") or {}))
    rule = synonyms or ("average" if prompts.synonyms == "first" else prompts.synonyms)
    config.model.prompts = {**(config.model.get("prompts") or {}), "synonyms": rule}
    try:
        built = build_segmentor(config, weights=weights, device=device)
    except WeightsUnavailableError as error:
        if model is not None:
            raise
        missing = WeightsUnavailableError(
            f"{error}. They belong to {PHOTO_METHOD}, the default model. The bundled model "
            f"{MINI_METHOD} needs no download, but it was trained on synthetic shapes only"
        )
        raise advised(missing, "photo_weights") from error
    name = Path(PHOTO_METHOD if model is None else model).stem
    is_trained = named_weights(config, weights) is not None
    note, block = weights_note(built, config, weights), config.model.to_dict()
    return Method(name, built, note, config, block, trained=is_trained)


def names_saved_model(model: str | Path) -> bool:
    """True for the folder of a model, and for ``hf-hub:organisation/name``.

    The name of a config has precedence over a folder of that name; ``./NAME`` is the folder.
    """
    if str(model).startswith(HUB_PREFIX):
        return True
    return is_model_folder(model) and str(model) not in list_configs()


def _saved_method(
    folder: Path, device: torch.device, overrides: Mapping[str, Any], allow_code: bool
) -> Method:
    loaded = load_model(folder, device=device, overrides=overrides, allow_code=allow_code)
    described = loaded.description
    identity = [described.model, dict(described.assets), dict(overrides)]
    return Method(
        described.name, loaded.model, described.note, loaded.config, identity, described.facts
    )
