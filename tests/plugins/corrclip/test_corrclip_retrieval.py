"""CorrCLIP v2 at mini scale: its logits by a slow formula, and an index built by the command."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from ovss.benchmark.complexity import on_meta
from ovss.cli.main import main
from ovss.models.build import build_model
from ovss.models.configs import load_config
from ovss.proposers.current import CurrentImage, current_images
from ovss.registry import ENCODERS
from ovss.retrieval import RegionIndex, RegionIndexError
from ovss.testing.tiny import make_images, make_names

CLIP = dict(
    type="OpenCLIPEncoder",
    model="mini_clip",
    pretrained="mini_clip",
    image_size=None,
    text_cache="memory",
)
VFM = dict(model="vit_tiny_patch16_224", features="tokens", positions="square")
INFERENCE = dict(mode="slide", size=96, keep_ratio=True, window=96, stride=48, global_view=False,
                 activation="softmax", merge="logits")  # fmt: skip


@pytest.fixture(scope="module")
def vfm_weights(tmp_path_factory):
    """Weights of a small model without text, so that every encoder has the same."""
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("vfm") / "vfm.safetensors"
    save_file(timm.create_model(VFM["model"], num_classes=0).state_dict(), path)
    return str(path)


def options(vfm_weights, masks, index=None, **more):
    return dict(
        type="RetrievalCorrCLIPEncoder",
        encoder=dict(
            type="CorrCLIPEncoder",
            clip=CLIP,
            proposer=dict(type="FolderProposer", folder=str(masks)),
            vfm={**VFM, "pretrained": vfm_weights},
            whole=True,
            spatial=2,
        ),
        index=index and str(index),
        neighbours=2,
        **{"auxiliary": [dict(clip={**CLIP, "dense": "vanilla"}, spatial=1)], **more},
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folder with three images of 96 x 144 pixels and their masks."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    for i, image in enumerate(make_images(3, 144)):
        rgb = image[:, :96].permute(1, 2, 0).byte().numpy()
        Image.fromarray(rgb).save(folder / "images" / f"{i}.png")
        masks = np.zeros((3, 96, 144), dtype=bool)
        masks[0, :40, : 70 + 5 * i], masks[1, 45:, 40:], masks[2, 10:30, 100:] = True, True, True
        np.save(folder / "masks" / f"{i}.npy", masks)
    return folder


@pytest.fixture(scope="module")
def config(data, vfm_weights):
    """Method in a file, as the command reads it."""
    path = data / "method.py"
    model = dict(
        type="OpenVocabSegmentor",
        encoder=options(vfm_weights, data / "masks"),
        head=dict(type="DotProductHead", joint_dim=256),
        decoder=dict(type="UpsampleDecoder", scale=40.0),
        prompts=dict(templates=("a photo of a {}.", "a {}."), synonyms="max"),
        inference=INFERENCE,
    )
    path.write_text(
        f"custom_imports = dict(imports=['ovss_plugins.corrclip'])\nmodel = {model!r}\n"
    )
    return path


@pytest.fixture(scope="module")
def index(data, config):
    folder = data / "index"
    images = [str(data / "images" / f"{i}.png") for i in range(2)]
    assert main(["region-index", str(config), "--images", images[0], "--out", str(folder)]) == 0
    assert main(["region-index", str(config), "--images", *images, "--out", str(folder)]) == 0
    return folder


def test_the_command_continues(index, capsys):
    found = RegionIndex(index)
    assert [len(part.images) for part in found.parts] == [1, 1]
    assert len(found) == 6
    assert found.keys_ND.shape[1] == 192
    assert [value.shape[1] for value in found.values] == [128, 128]
    for vectors in (found.keys_ND, *found.values):
        torch.testing.assert_close(vectors.float().norm(dim=1), torch.ones(6), atol=1e-3, rtol=0)


def test_logits_equal_the_formula(data, index, vfm_weights):
    """The image fills one window, so that the map of the whole image needs no cutting."""
    encoder = ENCODERS.build(options(vfm_weights, data / "masks", index)).eval()
    model = build_model(
        dict(
            encoder=encoder,
            head=dict(type="DotProductHead", joint_dim=256),
            decoder=dict(type="UpsampleDecoder", scale=40.0),
            prompts=dict(templates=("a photo of a {}.", "a {}.")),
        )
    ).eval()
    image = make_images(3, 144)[2:, :, :96]
    text = model.encode_vocabulary(make_names(4))
    with current_images([CurrentImage("2.png")]), torch.inference_mode():
        features = encoder.encode_image(image)
        logits = model.segment(features, text).logits_BKHW[0]
        own = F.normalize(encoder.main.encode_image(image).dense_BChw[0], dim=0)
        whole = encoder.main.vfm(image)[0]
    found, masks = RegionIndex(index), np.load(data / "masks" / "2.npy")
    rows = [
        F.normalize(F.normalize(e.encode_text(model.vocabulary(make_names(4))).embeds_TPC, dim=2)
                    .mean(1), dim=1)
        for e in encoder.models
    ]  # fmt: skip
    region = np.zeros((96, 144), dtype=int)
    for number, mask in enumerate(sorted(masks, key=np.sum), 1):
        region[mask] = number
    height, width = logits.shape[1:]
    best_of: dict[int, torch.Tensor] = {}
    for y in range(height):
        for x in range(width):
            here = region[y * 96 // height, x * 144 // width]
            cosine = rows[0] @ own[:, y, x]
            if here:
                if here not in best_of:
                    pixels = np.argwhere(region == here)
                    cells = [whole[:, a * whole.shape[1] // 96, b * whole.shape[2] // 144]
                             for a, b in pixels]  # fmt: skip
                    query = F.normalize(torch.stack(cells).mean(0), dim=0)
                    best_of[here] = (found.keys_ND.float() @ query).topk(2).indices
                best = best_of[here]
                support = [
                    row @ F.normalize(value[best].float().mean(0), dim=0)
                    for row, value in zip(rows, found.values, strict=True)
                ]
                cosine = 0.5 * cosine + 0.5 * (support[0] + support[1]) / 2
            torch.testing.assert_close(logits[:, y, x], 40 * cosine, atol=2e-4, rtol=0)


def test_windows_share_the_neighbours_of_the_image(data, index, vfm_weights, monkeypatch):
    encoder = ENCODERS.build(options(vfm_weights, data / "masks", index)).eval()
    calls = []
    support = RegionIndex.support
    monkeypatch.setattr(RegionIndex, "support", lambda *a: (calls.append(a[1]), support(*a))[1])
    model = build_model(
        dict(encoder=encoder, head=dict(type="DotProductHead", joint_dim=256),
             decoder=dict(type="UpsampleDecoder", scale=40.0), inference=INFERENCE)
    )  # fmt: skip
    with current_images([CurrentImage("2.png")]):
        scores = model.scores(make_images(3, 144)[2, :, :96], model.encode_vocabulary(("a", "b")))
    assert [len(query) for query in calls] == [4]
    assert bool(scores.probs_BKHW.isfinite().all())


def test_an_index_of_other_models_and_no_index(data, index, vfm_weights):
    image = make_images(1, 96)
    for more, error, message in (
        (dict(auxiliary=[]), RegionIndexError, "value_dims is"),
        (dict(index=None), FileNotFoundError, "has no index"),
    ):
        given = {**options(vfm_weights, data / "masks", index), **more}
        encoder = ENCODERS.build(given).eval()
        with current_images([CurrentImage("2.png")]), pytest.raises(error, match=message):
            encoder.encode_image(image)
    changed = ENCODERS.build(options(vfm_weights, data / "masks", index)).eval()
    torch.nn.init.zeros_(changed.main.vfm.trunk.cls_token)
    with current_images([CurrentImage("2.png")]), pytest.raises(RegionIndexError, match="fingerp"):
        changed.encode_image(image)


def test_wrong_parts_are_named(data, vfm_weights):
    given = options(vfm_weights, data / "masks")
    given["encoder"]["whole"] = False
    with pytest.raises(ValueError, match="with whole=True"):
        ENCODERS.build(given)
    with pytest.raises(FileNotFoundError, match="not a folder"):
        ENCODERS.build(options(vfm_weights, data / "masks", data / "none"))


@pytest.mark.parametrize(
    ("name", "total", "joint"),
    [("corrclip_v2_vit-b16", 619_172_866, 1024), ("corrclip_v2_vit-l14", 897_168_642, 1280)],
)
def test_sizes(name, total, joint):
    """CLIP's towers, DFN's, and C-RADIOv3-L with positions for 128 x 128 cells."""
    model = on_meta(load_config(name))
    assert sum(p.numel() for p in model.parameters()) == total
    assert model.encoder.joint_dim == joint
