"""Number types of the computation: errors, float32 results, label maps near those of float32."""

from __future__ import annotations

import json

import pytest
import torch

import ovss
from ovss.axes import with_tensors
from ovss.cli.main import main
from ovss.cli.options import PRECISION_NAMES
from ovss.layers import precision
from ovss.layers.precision import PRECISIONS, check_precision, computing_in, in_precision
from ovss.mini_world import MiniWorld
from ovss.models.configs import list_configs
from ovss.structures import ImageFeatures

CPU = torch.device("cpu")


def test_flags_offer_every_precision():
    assert set(PRECISION_NAMES) == set(PRECISIONS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tf32", "'tf32' cannot be used on the device 'cpu': it needs an NVIDIA GPU. Use float32"),
        ("float16", "it needs a GPU, because processors compute it more slowly than float32"),
        ("half", "precision must be one of float32, tf32, bfloat16, float16, got 'half'"),
    ],
)
def test_a_type_that_the_device_lacks_is_an_error(name, message):
    with pytest.raises(ValueError, match=message):
        check_precision(name, CPU)


def test_a_processor_without_bfloat16_gets_a_note(monkeypatch):
    monkeypatch.setattr(precision, "_processor_flags", lambda: frozenset({"avx2"}))
    assert "more slowly than in float32" in precision.precision_note("bfloat16", CPU)
    monkeypatch.setattr(precision, "_processor_flags", lambda: frozenset({"avx512_bf16"}))
    assert not precision.precision_note("bfloat16", CPU)


def test_float32_is_the_function_itself():
    def function(x):
        return x

    assert in_precision(function) is function
    with computing_in("bfloat16"):
        assert in_precision(function) is not function
    assert in_precision(function) is function


def test_products_are_narrow_and_results_are_single():
    weight, inner = torch.rand(4, 4), []

    def encode(image_B3HW):
        product = image_B3HW.flatten(2)[..., :4] @ weight
        inner.append(product.dtype)
        return ImageFeatures(product.mT[..., None], product[:, 0]), (product,)

    with computing_in("bfloat16"):
        features, (product,) = in_precision(encode)(torch.rand(2, 3, 2, 2))
    assert inner == [torch.bfloat16]
    assert features.dense_BChw.dtype == features.pooled_BC.dtype == product.dtype == torch.float32


def test_records_without_a_change_keep_their_identity():
    features = ImageFeatures(torch.rand(1, 4, 2, 2), torch.rand(1, 4))
    assert with_tensors(features, lambda x: x) is features
    assert with_tensors((features, 3, None), lambda x: x)[0] is features


@pytest.mark.parametrize("model", ["dcp_clip_mini", "cat_seg_mini", "sed_mini", "san_mini"])
def test_label_maps_are_near_those_of_float32(model):
    image_HW3 = MiniWorld("val", "mini_20", size=128, length=1)[0].image
    results = [
        ovss.Inferencer(model, device="cpu", precision=name)(image_HW3, "mini_20")
        for name in ("float32", "bfloat16")
    ]
    assert (results[0].label_map == results[1].label_map).mean() > 0.9
    assert (results[0].scores != results[1].scores).any(), "computed in bfloat16"


def test_the_result_of_an_evaluation_names_the_precision(tmp_path):
    out = tmp_path / "result.json"
    flags = ["--limit", "2", "--work-dir", str(tmp_path / "work"), "--out", str(out)]
    assert main(["test", "cat_seg_mini", *flags, "--device", "cpu", "--precision", "bfloat16"]) == 0
    content = json.loads(out.read_text())
    assert content["run"]["device"]["precision"] == "bfloat16"
    assert "precision='bfloat16'" in content["config"]


@pytest.mark.slow
def test_every_mini_method_computes_in_bfloat16():
    image_HW3 = MiniWorld("val", "mini_20", size=64, length=1)[0].image
    minis = sorted(name for name in list_configs() if name.endswith("_mini"))
    for name in minis:
        if name.startswith("oracle"):
            continue  # takes its regions from label maps
        run = ovss.Inferencer(name, device="cpu", weights=None, precision="bfloat16")
        assert run(image_HW3, "mini_20").label_map.shape == (64, 64), name
