"""How often the host waits for a device from an image to its label map, for every method.

Each wait stalls a GPU: the queue of operators runs empty while the host reads a value. The waits
are counted on a device that stands in for a GPU. By default the mini methods are counted, encoders
included. With ``--slow`` every other config is counted too: its selector, head, decoder and
post-processor behind a tiny encoder, and its own encoder on the meta device, where nothing can be
read at all.
"""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from ovss.models.build import build_model, build_segmentor
from ovss.models.configs import load_config, shipped_configs
from ovss.models.parts import model_without_pretrained
from ovss.segmentor import OpenVocabSegmentor
from ovss.testing import make_images, make_names, with_tiny_encoder
from ovss.testing.stand_in import StandInDevice
from ovss.testing.waits import Waits

MINI = sorted(
    name
    for name in shipped_configs()
    if "mini" in name and "oracle" not in name and not name.endswith("_camvid")
)
"""Mini methods, but upper bounds, which read label maps."""

REAL = sorted(set(shipped_configs()) - set(MINI) - {"oracle_mini", "oracle_tokens_mini"})

ALLOWED = {
    "ovss/selection.py": (1, "the number of kept categories sizes K"),
    "ovss/io/finite.py": (1, "the scores of an image are checked to be finite, all at once"),
    "plugins/sed/rejection.py": (3, "each early rejection sizes the next stage"),
    "ovss/layers/regions.py": (1, "the second pass finds its regions on the host"),
    "ovss/io/fingerprint.py": (1, "visual prompts belong to weights, whose checksum is read"),
    "ovss/embedders/crops.py": (1, "a proposal without pixels is worth no pass of the tower"),
    "ovss/proposers/superpixels.py": (1, "scikit-image computes on the host"),
    "plugins/corrclip/encoder.py": (1, "the number of regions sizes their distances"),
    "plugins/sam3/decoder.py": (1, "each category is a run of SAM 3's own decoder"),
}
"""Waits of an image by file, with the reason; a proposer may run twice, see `TWICE`."""

TWICE = {
    "corrclip_mini": "ovss/proposers/superpixels.py",
    "radseg_vit-b16": "ovss/selection.py",
    "dcp_clip_mini": "ovss/selection.py",
    "dcp_clip_mini_web": "ovss/selection.py",
    "dcp_clip_vit-b16": "ovss/selection.py",
    "dcp_clip_vit-l14": "ovss/selection.py",
}
"""CorrCLIP proposes regions to encode and to correct; RADSeg narrows K after the decoder; tag
validation of DCP-CLIP adds categories."""

UPLOADS = {
    "ovss/proposers/superpixels.py": (2, "masks that the host has computed"),
    "plugins/dpseg/prompts.py": (1, "numbers of the categories of the second pass"),
    "plugins/training_free/pixel_propagation.py": (1, "the matrix of CIELAB"),
    "ovss/postprocessors/calibrated_stacking.py": (1, "categories that were seen, by name"),
    "ovss/heads/ensemble.py": (1, "categories that were seen, by name"),
    "ovss/heads/region.py": (1, "categories that were seen, by name"),
    "plugins/training_free/lposs.py": (1, "places of the windows"),
    "plugins/spnet/decoder.py": (1, "categories that were seen, by name"),
}
"""Copies from the host of an image, by file; they are queued and do not empty the queue."""


def built(name: str) -> OpenVocabSegmentor:
    config = load_config(name)
    try:
        return build_segmentor(config).eval()
    except ValueError:  # without weights
        return build_model(model_without_pretrained(config.model.to_dict())).eval()


def counted(model: OpenVocabSegmentor, size: int = 128) -> Waits:
    """Waits of one image on the stand-in device, whose label map must be that of the CPU."""
    image_3HW = make_images(1, size)[0, :, :, : size * 3 // 4].contiguous()
    names = make_names(20)
    with torch.no_grad():
        text = model.encode_vocabulary(names)
        expected = model.label_map(model.scores(image_3HW, text), (40, 50))
        with StandInDevice() as stand_in:
            model.to(stand_in.device)
            text, image_3HW = model.encode_vocabulary(names), image_3HW.to(stand_in.device)
            model.label_map(model.scores(image_3HW, text), (40, 50))  # fills the caches
            stand_in.reset()
            labels = model.label_map(model.scores(image_3HW, text), (40, 50))
        assert (labels.cpu() == expected).float().mean() > 0.99
    return stand_in.counts


def by_file(counts: Waits, kind: str) -> Counter[str]:
    files: Counter[str] = Counter()
    for line, count in counts.lines(kind).items():
        files[line.partition(":")[0]] += count
    return files


def check(name: str, counts: Waits) -> None:
    for kind, table in (("wait", ALLOWED), ("upload", UPLOADS)):
        for file, count in by_file(counts, kind).items():
            allowed = table.get(file, (0, ""))[0] + (TWICE.get(name) == file)
            assert count <= allowed, f"{name}: {kind}s of {file}\n{counts.report()}"


@pytest.mark.parametrize("name", MINI)
def test_mini_methods_wait_only_where_they_must(name):
    check(name, counted(built(name)))


def test_the_main_methods_wait_as_often_as_documented():
    assert counted(built("cat_seg_mini")).waits == 1
    assert counted(built("dcp_clip_mini")).waits == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_other_configs_wait_only_where_they_must(name):
    check(name, counted(with_tiny_encoder(load_config(name))))


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_encoders_read_no_value(name):
    config = model_without_pretrained(load_config(name).model.to_dict())
    with torch.device("meta"), torch.no_grad():
        model = build_model(config).eval()
        features = model.encoder.encode_image(torch.empty(2, 3, 384, 384))
    assert features.dense_BChw.is_meta


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dcp_clip_vit-b16", "cat_seg_vit-b16", "sed_convnext-b"])
def test_windows_share_their_waits(name):
    """The number of waits does not grow with the number of windows."""
    model = with_tiny_encoder(load_config(name))
    assert counted(model, 64).waits == counted(model.cpu(), 200).waits
