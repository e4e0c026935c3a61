"""Law of saving: a method is nothing but its config and its state."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from mmengine.config import Config

from ovss.hub.loading import load_model
from ovss.hub.saving import save_model
from ovss.segmentor import OpenVocabSegmentor

from .report import LawError, component, law
from .tiny import make_images, make_names, tiny_block
from .trace import traced


def check_saving(model: OpenVocabSegmentor, config: Config) -> None:
    """Checks that a model that is saved and loaded gives the same logits and scores, bit for bit.

    Broken by a component that draws random numbers which its state does not hold, that changes its
    options, or that takes options of which no file can be written.

    Args:
        model: model that `with_tiny_encoder` built.
        config: its config.

    Raises:
        LawError: it cannot be saved or loaded, or a component gives something else afterwards.
    """
    block = tiny_block(config)
    tiny = Config({"model": block, "custom_imports": config.get("custom_imports")})

    @law
    def a_saved_model_is_the_same(model: OpenVocabSegmentor) -> None:
        with tempfile.TemporaryDirectory() as place:
            save_model(Path(place) / "model", model, tiny, name="model")
            loaded = load_model(Path(place) / "model", allow_code=True).model
        images, names = make_images(1), make_names(5)
        one, other = (
            traced(each, images, each.encode_vocabulary(names)) for each in (model, loaded)
        )
        for a, b in zip(one.outputs, other.outputs, strict=True):
            if not torch.equal(a.values_B, b.values_B):
                raise LawError(component(model, a.part), f"{a.name} differ before and after saving")

    a_saved_model_is_the_same(model)
