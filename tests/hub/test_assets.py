"""Files that a model reads after it is built travel in its folder; all others stay behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ovss_plugins.dpseg.building import build_bank
from ovss_plugins.dpseg.sources import world_source
from safetensors.torch import save_file

from ovss import Inferencer
from ovss.hub.assets import copy_assets
from ovss.hub.loading import load_model
from ovss.hub.records import SavedModelError, read_model_description
from ovss.hub.saving import save_model
from ovss.models.build import build_model
from ovss.models.configs import load_config
from ovss.registry import register_all
from ovss.testing.tiny import make_images
from tests.hub.load_saved import WORDS, outputs
from tests.hub.small_blocks import write_config


def test_word_vectors(tmp_path, monkeypatch):
    words = {word for name in WORDS.split(", ") for word in name.split()}
    lines = [f"{w} {' '.join(f'{x:.3f}' for x in np.random.default_rng(i).standard_normal(12))}"
             for i, w in enumerate(sorted(words))]  # fmt: skip
    (tmp_path / "words.vec").write_text("\n".join(lines) + "\n")
    config = str(write_config("spnet", tmp_path))
    vectors = {"model.encoder.vectors": [str(tmp_path / "words.vec")]}
    run = Inferencer(config, weights=None, device="cpu", overrides=vectors)
    before = outputs(run)
    run.save_pretrained(tmp_path / "a")
    (tmp_path / "words.vec").unlink()
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "assets" / "words.vec").is_file()
    assert np.array_equal(outputs(Inferencer.from_pretrained(tmp_path / "b", device="cpu")), before)
    with (tmp_path / "b" / "assets" / "words.vec").open("a") as file:
        file.write("more 1\n")
    with pytest.raises(SavedModelError, match="another SHA-256"):
        Inferencer.from_pretrained(tmp_path / "b")


def test_a_bank_of_visual_prompts_and_the_tower_that_made_it(tmp_path):
    tower = Inferencer("dpseg_mini", device="cpu").model.encoder.frozen
    build_bank(world_source(WORDS.split(", "), 1), tower, tmp_path / "bank", quiet=True)
    bank = {"model.encoder.bank": str(tmp_path / "bank")}
    run = Inferencer("dpseg_mini", device="cpu", overrides=bank)
    before = outputs(run)
    run.save_pretrained(tmp_path / "a")
    shutil.rmtree(tmp_path / "bank")
    again = Inferencer.from_pretrained(tmp_path / "a", device="cpu")
    assert np.array_equal(outputs(again), before)
    assets = read_model_description(tmp_path / "a" / "config.json").assets
    assert sorted(assets) == [
        "assets/bank/index.json",
        "assets/bank/part-00000.safetensors",
        "assets/mini_clip.safetensors",
    ]
    again.save_pretrained(tmp_path / "b")  # the files of a folder travel on
    shutil.rmtree(tmp_path / "a")
    assert np.array_equal(outputs(Inferencer.from_pretrained(tmp_path / "b")), before)


def test_an_architecture_of_ones_own(tmp_path):
    clip = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 8,
                       "patch_size": 8},
        "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 24, "heads": 2,
                     "layers": 2},
    }  # fmt: skip
    (tmp_path / "own.json").write_text(json.dumps(clip))
    run = Inferencer(
        "maskclip_mini",
        weights=None,
        device="cpu",
        overrides={
            "model.encoder.model": str(tmp_path / "own.json"),
            "model.encoder.pretrained": None,
        },
    )
    before = outputs(run)
    run.save_pretrained(tmp_path / "a")
    (tmp_path / "own.json").unlink()
    assert np.array_equal(outputs(Inferencer.from_pretrained(tmp_path / "a")), before)


def test_weights_of_other_files_are_in_the_weights(tmp_path):
    """A pre-trained file is neither named nor needed by the saved model."""
    mini = Path(load_config("maskclip_mini").filename).parents[2] / "ovss/weights"
    shutil.copy(mini / "mini_clip.safetensors", tmp_path / "clip.safetensors")
    own = str(tmp_path / "clip.safetensors")
    run = Inferencer("maskclip_mini", pretrained=own, device="cpu")
    run.save_pretrained(tmp_path / "a")
    Path(own).unlink()
    assert str(tmp_path) not in (tmp_path / "a" / "config.json").read_text()
    assert np.array_equal(outputs(Inferencer.from_pretrained(tmp_path / "a")), outputs(run))


def test_an_index_is_copied_and_pickles_are_not(tmp_path):
    register_all()
    load_config("corrclip_mini")  # imports the plugin
    index = tmp_path / "index"
    index.mkdir()
    (index / "index.json").write_text("{}")
    save_file({"x": torch.zeros(1)}, index / "part.safetensors")
    (index / "old.pkl").write_bytes(b"x")
    block = {"encoder": {"type": "RetrievalCorrCLIPEncoder", "index": str(index)}}
    (tmp_path / "out").mkdir()
    named = copy_assets(block, tmp_path / "out")
    assert named["encoder"]["index"] == "assets/index"
    found = sorted(path.name for path in (tmp_path / "out" / "assets" / "index").iterdir())
    assert found == ["index.json", "part.safetensors"]
    block = {"encoder": {"type": "WordVectorEncoder", "vectors": str(index / "old.pkl")}}
    with pytest.raises(SavedModelError, match="files only"):
        copy_assets(block, tmp_path / "out")


def test_a_giant_tower(tmp_path, monkeypatch):
    """RADSeg with a small tower in place of timm's."""
    import timm
    from timm.models.vision_transformer import VisionTransformer

    real = timm.create_model

    def create(name, **options):
        if "radio" not in name:
            return real(name, **options)
        return VisionTransformer(
            img_size=64, patch_size=16, embed_dim=32, depth=2, num_heads=2, reg_tokens=2,
            no_embed_class=True, final_norm=False, init_values=0.5,
        )  # fmt: skip

    monkeypatch.setattr(timm, "create_model", create)
    config = load_config("radseg_vit-b16")
    tower = dict(model="vit_base_patch16_radio_v3.c_radio", positions="bicubic")
    config.model.encoder = dict(
        type="RADSegEncoder", backbone=tower, text="mini_clip", adaptor=dict(hidden=24, blocks=1),
    )  # fmt: skip
    config.model.inference = dict(mode="whole", size=64, activation="softmax")
    config.model.post_processor = dict(type="Denoise", threshold=0.5)
    torch.manual_seed(0)
    model = build_model(config.model).eval()
    save_model(tmp_path / "a", model, config, name="radseg")
    again = load_model(tmp_path / "a").model
    image = make_images(1, 64)[0]
    with torch.inference_mode():
        before, after = (m.scores(image, m.encode_vocabulary(("cat", "dog"))).probs_BKHW
                         for m in (model, again))  # fmt: skip
    assert torch.equal(before, after)
