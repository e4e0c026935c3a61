"""Configs for the encoder mini_web: one set of scenes, one grid, and the rows of Table III."""

from __future__ import annotations

import pytest

from ovss.models.configs import config_dir, load_config, read_config, use_dataset
from ovss.protocols.settled import settle_protocol
from ovss.results.record import dataset_name

TRAINED = ("cat_seg_mini_web", "dcp_clip_mini_web", "fc_clip_mini_web", "sed_mini_web")
FREE = ("maskclip", "naclip", "clip_surgery", "cat_seg_tokens")
METHODS = (*(f"{name}_mini_web" for name in FREE), *TRAINED)
ROWS = {
    "none": ("selector.threshold=0", "head", "decoder"),
    "dcs": ("head", "decoder"),
    "dcs_tga": ("decoder",),
    "dcs_sed": ("head",),
    "dcs_tga_sed": (),
}
"""Row of Table III -> what docs/mini_world.md changes for it."""
CHANGES = {
    "selector.threshold=0": {"model.selector.threshold": 0.0},
    "head": {"model.head.cross_attention": False, "model.head.self_attention": False},
    "decoder": {"model.decoder.layers": 0},
}
IDENTITY = {"model.post_processor": dict(_delete_=True, type="Identity")}


def clip_of(config) -> dict:
    encoder = config.model.encoder
    return encoder.encoder if encoder.type == "WithProposals" else encoder


@pytest.mark.parametrize("name", METHODS)
def test_methods_see_the_scenes_of_the_dataset(name):
    config, named = load_config(name), load_config(name)
    use_dataset(named, "mini_web")
    assert config.test_dataloader.to_dict() == named.test_dataloader.to_dict()
    assert config.val_dataloader.to_dict() == named.test_dataloader.to_dict()
    assert dataset_name(config.test_dataloader.dataset) == "mini_web"
    assert settle_protocol(config).chosen.startswith("mini_web")
    clip = clip_of(config)
    assert (clip.model, clip.pretrained, clip.image_size) == ("mini_web", "mini_web", 80)


@pytest.mark.parametrize("name", TRAINED)
def test_training_differs_from_the_dataset_in_its_vocabulary_only(name):
    base = read_config(config_dir() / "_base_" / "datasets" / "mini_web.py").train_dataloader
    own = load_config(name).train_dataloader
    assert own.dataset.to_dict() == {**base.dataset.to_dict(), "vocabulary": "mini_556"}


def test_trained_methods_start_from_the_same_tokens():
    tokens = {clip_of(load_config(name)).dense for name in TRAINED}
    assert tokens == {load_config("cat_seg_tokens_mini_web").model.encoder.dense}


@pytest.mark.parametrize("row", ROWS)
def test_rows_of_table_iii_run_on_mini_web_by_options(row):
    options = dict(IDENTITY)
    for change in ROWS[row]:
        options |= CHANGES[change]
    config = load_config("dcp_clip_mini_web", options)
    expected = load_config(str(config_dir() / "dcp_clip" / "ablations" / f"{row}.py"))
    web, mini = load_config("dcp_clip_mini_web"), load_config("dcp_clip_mini")
    for part in ("selector", "head", "decoder", "post_processor"):
        found, wanted = (c.model[part].to_dict() for c in (config, expected))
        world, other = (c.model[part].to_dict() for c in (web, mini))
        of_world = {key: world[key] for key in world if world[key] != other.get(key)}
        if part != "post_processor":
            wanted |= of_world
        assert found == wanted
