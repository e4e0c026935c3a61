"""Configs for the encoder mini_web: one set of scenes, one grid, and the rows of Table III."""

from __future__ import annotations

import pytest

from ovss.models.configs import config_dir, load_config, read_config, use_dataset
from ovss.protocols.settled import settle_protocol
from ovss.results.record import dataset_name

TRAINED = ("cat_seg_mini_web", "dcp_clip_mini_web", "fc_clip_mini_web", "sed_mini_web")
FREE = ("maskclip", "naclip", "clip_surgery", "dense_tokens")
METHODS = (*(f"{name}_mini_web" for name in FREE), *TRAINED)
ROWS = ("none", "dcs", "dcs_tga", "dcs_sed", "dcs_tga_sed")
"""Rows of Table III that are trained, by the names of their configs."""


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
    assert tokens == {load_config("dense_tokens_mini_web").model.encoder.dense}


@pytest.mark.parametrize("row", ROWS)
def test_rows_of_table_iii_change_the_same_on_both_worlds(row):
    folder = config_dir() / "dcp_clip" / "ablations"
    rows = load_config(str(folder / f"web_{row}.py")), load_config(str(folder / f"{row}.py"))
    full = load_config("dcp_clip_mini_web"), load_config("dcp_clip_mini")
    web, mini = (changes(a.to_dict(), b.to_dict()) for a, b in zip(rows, full, strict=True))
    web.pop("weights", None), mini.pop("weights", None)
    assert web == mini


def changes(row: dict, full: dict, prefix: str = "") -> dict:
    """Keys with dots -> values of a row that differ from the full model's."""
    found = {}
    for key, value in row.items():
        other = full.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            found |= changes(value, other, f"{prefix}{key}.")
        elif value != other:
            found[f"{prefix}{key}"] = value
    return found
