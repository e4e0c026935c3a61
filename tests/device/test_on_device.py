"""Methods on a device: the labels of a CPU, few waits, half precision, compiled parts.

They need a GPU and are skipped without one. ``pytest tests/device --device cpu`` runs what a CPU
can run; `tools/gpu_check.py` runs them all and reports the result.
"""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

from ovss.models.build import build_model, build_segmentor
from ovss.models.configs import load_config
from ovss.models.parts import model_without_pretrained
from ovss.structures import Selection
from ovss.testing import make_images, make_names

pytestmark = pytest.mark.device

METHODS = ("cat_seg_mini", "dcp_clip_mini", "fc_clip_mini", "maskclip_mini", "san_mini", "sed_mini")
NAMES = make_names(12)
WAITS = {"cat_seg_mini": 1, "dcp_clip_mini": 3}
"""Waits from an image to its label map on the device, as `tests/models/test_waits.py` counts."""


def built(name: str):
    config = load_config(name)
    try:
        return build_segmentor(config).eval()
    except ValueError:
        return build_model(model_without_pretrained(config.model.to_dict())).eval()


def labels_of(model, image, text):
    return model.label_map(model.scores(image, text), (90, 120))


@pytest.fixture
def image() -> torch.Tensor:
    return make_images(1, 160)[0, :, :120].contiguous()


@pytest.mark.parametrize("name", METHODS)
@torch.no_grad()
def test_labels_of_a_cpu(device, image, name):
    model = built(name)
    expected = labels_of(model, image, model.encode_vocabulary(NAMES))
    model.to(device)
    found = labels_of(model, image.to(device), model.encode_vocabulary(NAMES))
    assert found.device.type == device.type
    assert (found.cpu() == expected).float().mean() > 0.995


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
@pytest.mark.parametrize("name", ["cat_seg_mini", "dcp_clip_mini"])
@torch.no_grad()
def test_half_precision(device, image, name, dtype):
    model = built(name).to(device)
    text, image = model.encode_vocabulary(NAMES), image.to(device)
    expected = labels_of(model, image, text)
    with torch.autocast(device.type, dtype=dtype):
        found = labels_of(model, image, text)
    assert (found == expected).float().mean() > 0.9


@pytest.mark.parametrize("name", ["cat_seg_mini", "dcp_clip_mini", "sed_mini"])
@torch.no_grad()
def test_a_batch_is_decoded_like_its_images(device, name):
    model, images = built(name).to(device), make_images(3).to(device)
    keep = torch.rand(3, 12, device=device) < 0.6
    keep[:, 0] = True
    image, text = model.encoder.encode_image(images), model.encode_vocabulary(NAMES)
    masks = model.decoder(model.head(image, text, Selection.from_mask(keep)))
    together = masks.selection.scatter(masks.logits_BKHW)
    for i in range(3):
        one = slice(i, i + 1)
        alone = model.encoder.encode_image(images[one])
        masks = model.decoder(model.head(alone, text, Selection.from_mask(keep[one])))
        expected = masks.selection.scatter(masks.logits_BKHW)
        torch.testing.assert_close(together[one], expected, atol=5e-3, rtol=1e-3)


@pytest.mark.parametrize("name", sorted(WAITS))
@torch.no_grad()
def test_waits(gpu, image, name):
    model = built(name).to(gpu)
    text, image = model.encode_vocabulary(NAMES), image.to(gpu)
    labels_of(model, image, text)
    torch.cuda.synchronize(gpu)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            labels_of(model, image, text)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [str(each.message) for each in caught if "synchroniz" in str(each.message)]
    assert len(waits) <= WAITS[name], "\n".join(waits)


@torch.no_grad()
def test_compiled_with_buckets(device, image):
    """Compiled head and decoder give the same labels; on a GPU they run as CUDA graphs."""
    config = load_config("dcp_clip_mini")
    config.model.selector = dict(type="Bucketed", selector=dict(config.model.selector))
    model = build_segmentor(config).eval().to(device)
    text, image = model.encode_vocabulary(NAMES), image.to(device)
    expected = labels_of(model, image, text)
    compiled = copy.copy(model)
    compiled._modules = dict(model._modules)
    options = {"mode": "reduce-overhead"} if device.type == "cuda" else {"backend": "eager"}
    compiled.decoder = torch.compile(model.decoder, dynamic=False, **options)
    for _ in range(3):
        found = labels_of(compiled, image, text)
    assert (found == expected).float().mean() > 0.995


@torch.no_grad()
def test_memory_does_not_follow_the_vocabulary(gpu, image):
    model = built("dcp_clip_mini").to(gpu)
    peaks = []
    for count in (150, 3000):
        text, image = model.encode_vocabulary(make_names(count)), image.to(gpu)
        labels_of(model, image, text)
        torch.cuda.reset_peak_memory_stats(gpu)
        before = torch.cuda.memory_allocated(gpu)
        labels_of(model, image, text)
        peaks.append(torch.cuda.max_memory_allocated(gpu) - before)
    assert peaks[1] < 1.5 * peaks[0] + (64 << 20)
