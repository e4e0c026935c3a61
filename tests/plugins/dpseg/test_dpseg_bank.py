"""Visual-prompt banks: round trips, resuming, errors, and sources of images."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ovss_plugins.dpseg import BankError, BankWriter, Entry, Maker, VisualPromptBank
from ovss_plugins.dpseg.bank import look_up
from ovss_plugins.dpseg.building import build_bank
from ovss_plugins.dpseg.frozen import FrozenEncoder
from ovss_plugins.dpseg.sources import (
    crop_source,
    folder_source,
    generator_source,
    load_pipeline,
    world_source,
)
from PIL import Image

from ovss.data.mini_world_dataset import MiniWorldDataset
from ovss.mini_world import names as world_names
from ovss.structures import Vocabulary
from ovss.testing import TinyEncoder

MAKER = Maker("abc", 4, (2, 3))
TEMPLATES = ("a {}.", "the {}.", "my {}.")


def vectors():
    return torch.randn(4), [torch.randn(2), torch.randn(3)]


def tiny() -> FrozenEncoder:
    return FrozenEncoder(dict(type="TinyEncoder", joint_dim=4, level_dims=(2, 3)))


def test_written_prompts_are_read_back(tmp_path):
    written = [(Entry("cat, tom", template, "here"), *vectors()) for template in TEMPLATES]
    with BankWriter(tmp_path / "bank", MAKER, flush=2) as writer:
        for entry, embed, levels in written:
            writer.add(entry, embed, levels)
    bank = VisualPromptBank(tmp_path / "bank")
    assert bank.maker == MAKER
    assert len(bank) == 3
    assert "CAT" in bank
    prompts = look_up([bank], Vocabulary(("dog", "cat"), TEMPLATES[::-1]))
    assert prompts.found_T.tolist() == [False, True]
    for m, (_, embed, levels) in enumerate(written[::-1]):
        torch.testing.assert_close(prompts.embeds_TPC[1, m], embed)
        torch.testing.assert_close(prompts.levels[1][1, m], levels[1])
    assert not prompts.embeds_TPC[0].any()
    assert [p.name for p in sorted((tmp_path / "bank").iterdir())] == [
        "index.json",
        "part-00000.safetensors",
        "part-00001.safetensors",
    ]


def test_few_images_serve_many_templates_in_turn(tmp_path):
    with BankWriter(tmp_path, MAKER) as writer:
        for i in range(2):
            writer.add(Entry("cat", None, f"image {i}"), *vectors())
        writer.add(Entry("cat", "my {}.", "drawn"), *vectors())
    bank = VisualPromptBank(tmp_path)
    assert bank.numbers("cat", TEMPLATES) == [0, 1, 2]
    assert bank.numbers("cat", ("x {}", "y {}", "z {}")) == [0, 1, 0]


def test_the_first_bank_that_has_a_category_counts(tmp_path):
    for place, categories in (("a", ("cat",)), ("b", ("cat", "dog"))):
        with BankWriter(tmp_path / place, MAKER) as writer:
            for category in categories:
                writer.add(Entry(category, None, place), *vectors())
    banks = [VisualPromptBank(tmp_path / place) for place in "ab"]
    prompts = look_up(banks, Vocabulary(("cat", "dog")))
    assert prompts.found_T.all()
    torch.testing.assert_close(prompts.embeds_TPC[0, 0], banks[0].vectors([0])[0][0])
    torch.testing.assert_close(prompts.embeds_TPC[1, 0], banks[1].vectors([1])[0][0])


def test_an_interrupted_build_continues(tmp_path):
    requests = list(world_source(world_names("mini_20")[:4], 3))
    drawn: list[str] = []

    def stopping(after):
        for number, one in enumerate(requests):
            if number == after:
                raise KeyboardInterrupt
            drawn.append(one.entry.source)
            yield one

    with pytest.raises(KeyboardInterrupt):
        build_bank(stopping(7), tiny(), tmp_path / "b", batch=2, flush=4, quiet=True)
    assert len(VisualPromptBank(tmp_path / "b")) == 6
    built = build_bank(requests, tiny(), tmp_path / "b", batch=2, flush=4, quiet=True)
    assert tuple(built) == (6, 6, 0)
    build_bank(requests, tiny(), tmp_path / "whole", quiet=True)
    vocabulary = Vocabulary(world_names("mini_20")[:4], TEMPLATES)
    resumed, whole = (
        look_up([VisualPromptBank(tmp_path / place)], vocabulary) for place in ("b", "whole")
    )
    torch.testing.assert_close(resumed.embeds_TPC, whole.embeds_TPC)


def test_another_encoders_bank_is_refused(tmp_path):
    with BankWriter(tmp_path, MAKER) as writer:
        writer.add(Entry("cat", None, "x"), *vectors())
    with pytest.raises(BankError, match="fingerprint is abc in the bank, but def"):
        BankWriter(tmp_path, Maker("def", 4, (2, 3)))
    with pytest.raises(BankError, match="has shapes"):
        BankWriter(tmp_path, MAKER).add(Entry("dog", None, "x"), torch.randn(5), [])


def test_damaged_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no visual-prompt bank in"):
        VisualPromptBank(tmp_path / "none")
    with BankWriter(tmp_path, MAKER) as writer:
        writer.add(Entry("cat", None, "x"), *vectors())
    part, index = tmp_path / "part-00000.safetensors", tmp_path / "index.json"
    content = part.read_bytes()
    part.write_bytes(content[: len(content) // 2])
    with pytest.raises(BankError, match=r"part-00000\.safetensors does not contain"):
        look_up([VisualPromptBank(tmp_path)], Vocabulary(("cat",)))
    index.write_text(json.dumps({"format": 99}))
    with pytest.raises(BankError, match="not a valid index"):
        VisualPromptBank(tmp_path)
    index.write_text("{")
    with pytest.raises(BankError, match="not a valid index"):
        VisualPromptBank(tmp_path)


# -- sources -------------------------------------------------------------------------------------


def test_a_folder_of_images_for_each_category(tmp_path):
    for place in ("traffic_light/a.png", "traffic_light/b.png", "dog/c.png"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Image.new("RGB", (6, 4), (10, 20, 30)).save(tmp_path / place)
    requests = list(folder_source(tmp_path, ("traffic light, signal", "dog")))
    assert [one.entry.source for one in requests] == [
        "folder:traffic_light/a.png",
        "folder:traffic_light/b.png",
        "folder:dog/c.png",
    ]
    image = requests[0].image()
    assert image.shape == (3, 4, 6)
    assert image[:, 0, 0].tolist() == [10, 20, 30]
    with pytest.raises(FileNotFoundError, match=r"for 1 of 2 categories \(cat\)"):
        list(folder_source(tmp_path, ("dog", "cat")))


def test_ground_truth_crops_show_the_labelled_pixels():
    data = MiniWorldDataset("val", "mini_20", 96, 30, [])
    names = world_names("mini_20")[:3]
    requests = list(crop_source(data, names, 2, "masked_bbox", (0, 255, 0)))
    assert {one.entry.category for one in requests} == set(names)
    assert len(requests) <= 6
    for one in requests:
        image = one.image()
        painted = (image == torch.tensor([0.0, 255.0, 0.0])[:, None, None]).all(0)
        assert image.shape[0] == 3
        assert painted.float().mean() < 0.9
    assert len({one.entry.key for one in requests}) == len(requests)


class Pipeline:
    """Stand-in for a text-to-image model that draws one random colour."""

    def __init__(self, refuse: str = "") -> None:
        self.calls: list[dict] = []
        self.refuse = refuse

    def __call__(
        self, *, prompt, num_inference_steps, guidance_scale, height, width, generator
    ) -> SimpleNamespace:
        self.calls.append(dict(prompt=prompt, steps=num_inference_steps, cfg=guidance_scale))
        colour = torch.randint(0, 256, (3,), generator=generator).numpy().astype(np.uint8)
        image = Image.fromarray(np.broadcast_to(colour, (height, width, 3)).copy())
        bad = bool(self.refuse) and self.refuse in prompt
        return SimpleNamespace(images=[image], nsfw_content_detected=[bad])


def test_a_generator_draws_each_prompt_once(tmp_path):
    pipeline, names = Pipeline(), ("cat, tom", "owl")
    args = (names, TEMPLATES, 2, "stand-in")
    requests = list(generator_source(pipeline, *args, steps=5, guidance=3.0, size=32))
    assert not pipeline.calls, "nothing is drawn before its image is requested"
    assert tuple(build_bank(requests, tiny(), tmp_path, quiet=True)) == (4, 0, 0)
    assert [call["prompt"] for call in pipeline.calls] == [
        "a cat.",
        "the cat.",
        "a owl.",
        "the owl.",
    ]
    assert pipeline.calls[0] == dict(prompt="a cat.", steps=5, cfg=3.0)
    assert tuple(build_bank(requests, tiny(), tmp_path, quiet=True)) == (0, 4, 0)
    assert len(pipeline.calls) == 4
    again = next(generator_source(Pipeline(), *args, size=32)).image()
    torch.testing.assert_close(again, requests[0].image())
    other = next(generator_source(Pipeline(), *args, size=32, seed=1)).image()
    assert not torch.equal(again, other)
    assert VisualPromptBank(tmp_path).numbers("cat", TEMPLATES) == [0, 1, 0]


def test_an_image_that_is_refused_is_left_out(tmp_path):
    pipeline = Pipeline(refuse="owl")
    requests = generator_source(pipeline, ("cat", "owl"), ("a {}.",), 1, "stand-in", size=32)
    with pytest.warns(UserWarning, match="refused 'a owl.' 3 times"):
        assert tuple(build_bank(requests, tiny(), tmp_path, quiet=True)) == (1, 0, 1)
    assert len(pipeline.calls) == 4


def test_a_missing_generator_names_the_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(RuntimeError, match=r"pip install 'ovss\[diffusers\]'"):
        load_pipeline("some/model", "cpu")


def test_a_generator_is_loaded_for_its_device(monkeypatch):
    class Loaded(Pipeline):
        def set_progress_bar_config(self, disable: bool) -> None:
            self.quiet = disable

        def to(self, device: str) -> Loaded:
            self.device = device
            return self

    class Auto:
        @staticmethod
        def from_pretrained(model: str, torch_dtype: torch.dtype) -> Loaded:
            if model == "absent":
                raise OSError("no such model")
            assert torch_dtype == torch.float32
            return Loaded()

    stand_in = SimpleNamespace(AutoPipelineForText2Image=Auto)
    monkeypatch.setitem(__import__("sys").modules, "diffusers", stand_in)
    pipeline = load_pipeline("some/model", "cpu")
    assert (pipeline.quiet, pipeline.device) == (True, "cpu")
    with pytest.raises(RuntimeError, match="'absent' could not be loaded"):
        load_pipeline("absent", "cpu")


def test_the_frozen_encoder_averages_levels_and_leaves_random_numbers_alone():
    frozen, encoder = tiny(), TinyEncoder(4, (2, 3))
    state = torch.random.get_rng_state()
    images = [torch.rand(3, 20, 30) * 255, torch.rand(3, 40, 10) * 255]
    torch.random.set_rng_state(state)
    embeds, levels = frozen(images)
    assert torch.equal(torch.random.get_rng_state(), state)
    for row, image in enumerate(images):
        features = encoder.encode_image(image[None])
        torch.testing.assert_close(embeds[row], features.pooled_BC[0])
        torch.testing.assert_close(levels[1][row], features.levels[1][0].mean((1, 2)))
