"""CorrCLIP's encoder at mini scale: laws, windows that share the image's regions, and options."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ovss.benchmark.complexity import on_meta
from ovss.models.build import build_model
from ovss.models.configs import load_config
from ovss.proposers.current import CurrentImage, current_images
from ovss.registry import ENCODERS
from ovss.testing import LAWS
from ovss.testing.tiny import make_images, make_names

CLIP = dict(
    type="OpenCLIPEncoder",
    model="mini_clip",
    pretrained="mini_clip",
    image_size=None,
    text_cache="memory",
)
DINO = dict(model="vit_tiny_patch16_224", features="query_key")


def encoder(folder, **options):
    return ENCODERS.build(
        dict(
            type="CorrCLIPEncoder",
            clip=CLIP,
            proposer=dict(type="FolderProposer", folder=folder and str(folder)),
            **{"spatial": 2, **options},
        )
    ).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    masks = np.zeros((3, 96, 144), dtype=bool)
    masks[0, :40, :80], masks[1, 30:, 60:], masks[2, 10:20, 100:] = True, True, True
    np.save(folder / "a.npy", masks)
    return folder


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("skimage")
    torch.manual_seed(0)
    return build_model(load_config("corrclip_mini").model.to_dict()).eval()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws_with_the_real_encoder(model, law):
    law(model)
    model.eval()


@pytest.mark.parametrize("whole", [False, True])
def test_each_window_gets_its_part_of_the_images_masks(folder, whole):
    """Windows of a run equal windows that are encoded with cut masks by hand."""
    torch.manual_seed(0)
    parts = dict(
        head=dict(type="CosineHead"),
        decoder=dict(type="UpsampleDecoder"),
        inference=dict(mode="slide", size=96, keep_ratio=True, window=96, stride=48,
                       global_view=False, activation="softmax", merge="logits"),
    )  # fmt: skip
    vfm = dict(DINO, features="tokens") if whole else None
    model = build_model({**parts, "encoder": encoder(folder, vfm=vfm, whole=whole)})
    seen = []
    original = model.encoder.region_maps

    def record(image, size, views):
        seen.extend(original(image, size, views)[0])
        return original(image, size, views)

    model.encoder.region_maps = record
    image = make_images(1, 192)[0][:, :96, :144]
    text = model.encode_vocabulary(make_names(3))
    with current_images([CurrentImage("a.jpg")]):
        model.scores(image, text)
        whole_map, _ = model.encoder._paint(image[None])
    side = seen[0].shape[0]
    step = 96 // side
    expected = [whole_map[0, ::step, x : x + 96 : step] for x in (0, 48)]
    assert len(seen) == 2
    assert all(torch.equal(a, b) for a, b in zip(seen, expected, strict=True))


def test_features_of_the_whole_image_are_computed_once(folder, monkeypatch):
    torch.manual_seed(0)
    enc = encoder(folder, vfm=dict(DINO, features="tokens"), whole=True)
    calls = []
    forward = enc.vfm.forward
    monkeypatch.setattr(enc.vfm, "forward", lambda x: (calls.append(x.shape), forward(x))[1])
    model = build_model(
        dict(
            encoder=enc,
            head=dict(type="CosineHead"),
            decoder=dict(type="UpsampleDecoder"),
            inference=dict(mode="slide", size=96, keep_ratio=True, window=96, stride=16,
                           global_view=True, activation="softmax"),
        )
    )  # fmt: skip
    with current_images([CurrentImage("a.jpg")]):
        scores = model.scores(make_images(1, 144)[0][:, :96], model.encode_vocabulary(("a", "b")))
    assert calls == [(1, 3, 96, 144)]
    assert bool(scores.probs_BKHW.isfinite().all())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(spatial=5), "must be at most 4"),
        (dict(whole=True), "expects a model in vfm"),
        (dict(painting="size"), "painting must be area or order"),
        (dict(vfm=dict(model="resnet18")), "plain vision transformer"),
        (dict(vfm=dict(DINO, features="keys")), "features must be tokens or query_key"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        encoder(None, **options)


@pytest.mark.parametrize(
    ("name", "total"),
    [("corrclip_vit-b16", 235_428_609), ("corrclip_vit-l14", 513_424_385)],
)
def test_parameters_of_the_published_sizes(name, total):
    """CLIP has 149,620,737 and 427,616,513, DINO 85,807,872."""
    model = on_meta(load_config(name))
    assert sum(p.numel() for p in model.parameters()) == total
    assert not any(p.requires_grad for p in model.parameters())
