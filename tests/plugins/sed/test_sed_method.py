"""SED as a whole: laws with rejection, levels of several sizes, incompatible parts."""

from __future__ import annotations

import pytest
import torch

from ovss.benchmark.complexity import on_meta
from ovss.models.configs import load_config
from ovss.testing import LAWS, with_tiny_encoder


@pytest.fixture(scope="module", params=["mini, one survivor a cell", "hierarchical"])
def model(request):
    if request.param == "hierarchical":
        narrow = {"dim": 16, "stage_dims": (8, 8, 8), "guides": (4, 4, 4), "top_k": 2}
        options = {f"model.decoder.{name}": value for name, value in narrow.items()}
        found = with_tiny_encoder(load_config("sed_convnext-b", options))
        assert found.encoder.level_scales == (8, 4, 2)
        return found
    return with_tiny_encoder(load_config("sed_mini", {"model.decoder.top_k": 1}))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(model, law):
    law(model)


def test_levels_finer_than_the_grid_are_refused_where_they_do_not_fit():
    decoder = load_config("dcp_clip_vit-b16").model.decoder.to_dict()
    decoder |= {"level_dims": (256, 512)}
    config = load_config("sed_convnext-b")
    config.model.encoder.levels = (1, 2)
    config.model.decoder = decoder
    message = r"SpatialDecoder expects level_scales=\(1, 1\), but OpenCLIPConvNeXtEncoder"
    with pytest.raises(ValueError, match=message):
        on_meta(config)


def test_the_published_recipe():
    for name, rate in (("sed_convnext-b", 0.0), ("sed_convnext-l", 0.1)):
        config = load_config(name)
        encoder = config.model.encoder
        assert (encoder.image_size, encoder.drop_path, encoder.dropout) == (768, rate, rate)
        assert config.optim_wrapper.optimizer.lr == 2e-4
        assert config.train_cfg.max_iters == 80000
        crops = [step for step in config.train_dataloader.dataset.pipeline if "crop_size" in step]
        assert tuple(crops[0].crop_size) == (768, 768)
        model = on_meta(config)
        trained = {name.split(".")[2] for name, p in model.named_parameters()
                   if p.requires_grad and name.startswith("encoder.clip.")}  # fmt: skip
        assert trained == {"visual"}
        assert len(model.vocabulary(("a",)).templates) == 80
        assert model.vocabulary(("a",)).synonyms == "average"


def test_synonyms_are_averaged_under_each_template():
    model = with_tiny_encoder(load_config("sed_mini"))
    text = model.encode_vocabulary(("cat, kitten", "dog"))
    assert text.embeds_TPC.shape[:2] == (2, 7)
    assert text.vocabulary.synonyms == "average"
    assert torch.isfinite(text.embeds_TPC).all()
