"""FC-CLIP ConvNeXt-B, through the converter, against what the authors' code computes.

The authors' modules ran in double precision on weights, text embeddings and an image that follow
from formulas; their outputs are in ``data/``. Double precision, because masks are thresholded in
every layer, so that rounding in single precision changes a few cells and then whole masks.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_cat_seg import formula_image
from torch import Tensor

from ovss.heads.synonyms import group_synonyms
from ovss.inference import InferenceConfig, dense_scores, label_map, segment_whole
from ovss.models.build import build_segmentor
from ovss.models.configs import load_config
from ovss.models.conversion import Conversion, convert_file
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import Selection, TextFeatures, Vocabulary

DATA = Path(__file__).parent / "data"
CASE = json.loads((DATA / "fc_clip_convnext-b.json").read_text())
STEP, CHANNELS = CASE["subsample"], CASE["channels"]
TOLERANCE = 1e-6
"""Largest difference, relative to the largest value of an array."""

pytestmark = pytest.mark.slow  # 200 million parameters in double precision on a CPU


def formula_value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Weight that anyone can make from the published name."""
    queries = name.startswith("sem_seg_head.predictor")
    if name.endswith("logit_scale"):
        return np.full(shape, np.log(30 if queries else 100), dtype=np.float32)
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    noise = noise.astype(np.float32)
    if name.endswith(
        ("query_feat.weight", "query_embed.weight", "level_embed.weight", "level_embed")
    ):
        return noise
    if name.endswith("gamma"):
        return np.float32(0.1) + np.float32(0.02) * noise
    if len(shape) <= 1:
        return 1 + np.float32(0.1) * noise if name.endswith("weight") else np.float32(0.02) * noise
    gain = 1.0
    if queries and name.endswith("in_proj_weight"):
        gain = 4.0
    elif queries and name.endswith(("out_proj.weight", "linear2.weight")):
        gain = 0.25
    return np.float32(gain) * noise / np.float32(np.sqrt(noise.size / shape[0]))


def published_weights() -> dict[str, Tensor]:
    """Official state dict; the text tower, which did not run, is zero."""
    found = {}
    for name, shape in CASE["state_dict"].items():
        clip = name.startswith("backbone.clip_model.") and not name.endswith("logit_scale")
        is_text = clip and ".visual." not in name
        value = np.zeros(shape, np.float32) if is_text else formula_value(name, tuple(shape))
        found[name] = torch.from_numpy(value)
    return found


def formula_text() -> TextFeatures:
    """One embedding for each synonym, made from its text."""
    queries = Vocabulary(tuple(CASE["names"]), ("{}",), synonyms="max").queries()
    assert list(queries.names) == CASE["text_rows"]
    rows = []
    for name in queries.names:
        random = np.random.RandomState(zlib.crc32(f"text/{name}".encode()))
        row = random.standard_normal(640).astype(np.float32)
        rows.append((row / np.sqrt((row.astype(np.float64) ** 2).sum())).astype(np.float32))
    return TextFeatures(torch.from_numpy(np.stack(rows))[:, None], vocabulary=queries)


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    with np.load(DATA / "fc_clip_convnext-b.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="module")
def conversion(tmp_path_factory) -> tuple[Path, Conversion]:
    folder = tmp_path_factory.mktemp("fc_clip")
    torch.save({"model": published_weights()}, folder / "fcclip.pth")
    return folder / "ours.safetensors", convert_file(
        "fc_clip", folder / "fcclip.pth", folder / "ours.safetensors"
    )


@pytest.fixture(scope="module")
def model(conversion) -> OpenVocabSegmentor:
    overrides = {
        "model.encoder.encoder.pretrained": None,
        "model.head.seen": CASE["train_names"],
        "model.decoder.merge_at_input": True,
    }
    return build_segmentor(load_config("fc_clip_convnext-b", overrides), conversion[0]).double()


@pytest.fixture(scope="module")
def image() -> Tensor:
    size = CASE["image"]
    return formula_image(size["h"], size["w"], size["seed"])[None].double()


@pytest.fixture(scope="module")
def found(model, image) -> dict[str, Tensor]:
    """Our outputs under the names of the arrays."""
    text, selection = formula_text(), Selection.everything(1, len(CASE["text_rows"]))
    clip, proposer = model.encoder.encoder, model.encoder.proposer
    with torch.inference_mode():
        features = clip.encode_image(image)
        fine, levels = proposer.pixels(features.levels)
        proposer.queries.train()  # for the predictions of earlier layers
        layers = proposer.queries(fine, levels)
        proposer.queries.eval()
        whole = model.encoder.encode_image(image)
        aligned = model.head(whole, text, selection)
        sources = whole.proposals.embed_BQSC.unbind(2)
        first, out = (class_logits(model, sources[i], text, selection, i) for i in (0, 1))
        by_layer = {
            f"class_logits_layer{i}": class_logits(model, layers[i].class_BQC, text, selection)
            for i in (0, 4)
        }
    arrays = {
        **by_layer,
        "clip_dense": features.levels[3],
        "mask_features": fine,
        **{f"multi_scale_{i}": level for i, level in enumerate(levels)},
        "mask_logits": whole.proposals.mask_BQhw,
        "mask_logits_layer0": layers[0].mask_BQhw,
        "class_logits": first,
        "out_vocab_logits": out,
        "pooled_clip": whole.proposals.embed_BQSC[:, :, 1],
        "class_log_probs": aligned.logits_BKQ.transpose(1, 2),
    }
    return arrays


def class_logits(model, class_BQC, text, selection, source=0) -> Tensor:
    """Logits (1, Q, T + 1), void last."""
    rows = selection.gather(text.embeds_TPC[:, 0])
    embed_BQSC = class_BQC[:, :, None].expand(-1, -1, source + 1, -1)
    logits_BKQ, void_BQ = model.head._logits(embed_BQSC, source, rows)
    logits_BKQ = group_synonyms(text, selection).highest(logits_BKQ)
    return torch.cat([logits_BKQ, void_BQ[:, None]], dim=1).transpose(1, 2)


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference relative to the largest value."""
    return float((ours.double() - theirs.double()).abs().max() / theirs.abs().max())


def test_every_published_name_is_mapped(conversion):
    _, found = conversion
    assert {*found.source.values(), *found.dropped} == set(CASE["state_dict"])
    assert set(found.dropped) == {"criterion.empty_weight"}
    assert len(CASE["state_dict"]) == 796


ARRAYS = ("clip_dense", "mask_features", "multi_scale_0", "multi_scale_1", "multi_scale_2",
          "mask_logits_layer0", "mask_logits", "class_logits_layer0", "class_logits_layer4",
          "class_logits", "pooled_clip", "out_vocab_logits", "class_log_probs")  # fmt: skip


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(found, expected, name):
    ours, theirs = found[name], expected[name]
    if name in STEP:
        ours = ours[..., :: STEP[name], :: STEP[name]]
    if name in CHANNELS:
        channel = 2 if name == "pooled_clip" else 1
        ours = ours.movedim(channel, 0)[:: CHANNELS[name]].movedim(0, channel)
    if name == "class_log_probs":
        theirs = theirs[..., :-1]  # "no object" has no mask in the label map
    assert difference(ours, theirs) < TOLERANCE


def test_seen_categories(model):
    seen_T = model.head._seen_T(formula_text())
    owner_T = formula_text().owner_T
    assert [int(seen_T[owner_T == i].any()) for i in range(20)] == CASE["overlap"]


def test_merged_scores_and_label_map(model, image, expected):
    text, size = formula_text(), (CASE["image"]["out_h"], CASE["image"]["out_w"])
    config = InferenceConfig(activation="none")
    with torch.inference_mode():

        def segment(view):
            features = model.encoder.encode_image(view)
            return features, model.segment(features, text)

        scores = segment_whole(image, text, segment, config)
        maps = dense_scores(scores, size).probs_BKHW[0]
        labels = text.categories(label_map(scores, size))[0]
    step = STEP["sem_seg"]
    assert difference(maps[:, ::step, ::step], expected["sem_seg_0"]) < TOLERANCE
    assert (labels == expected["argmax_0"]).float().mean() > 0.9999
