"""Chunks that follow the device, and batches that are decoded together there."""

from __future__ import annotations

import pytest
import torch

from ovss.kernels import Portions, set_tuning
from ovss.kernels.operation import measured
from ovss.layers import chunks
from ovss.layers.chunks import image_groups, pair_groups, rows_at_once
from ovss.layers.guided import map_chunks
from ovss.models.configs import load_config
from ovss.structures import Selection
from ovss.testing import make_images, make_names, with_tiny_encoder
from ovss.testing.stand_in import StandInDevice

RAGGED = torch.tensor(
    [[1, 0, 1, 1, 0, 1], [0, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]], dtype=torch.bool
)


@pytest.fixture
def stand_in():
    with torch.no_grad(), StandInDevice() as device:
        yield device


def test_a_chunk_is_small_on_a_cpu_and_large_elsewhere(stand_in):
    assert rows_at_once(8, torch.zeros(1), 1000) == 8
    assert rows_at_once(8, torch.zeros(1, device="meta"), 1000) == 8
    device = torch.zeros(1, device=stand_in.device)
    assert rows_at_once(8, device, 1000) == chunks.DEVICE_NUMBERS // 1000
    assert rows_at_once(8, device, chunks.DEVICE_NUMBERS) == 8


def test_groups_cover_every_pair_once(stand_in):
    on_cpu = Selection.from_mask(RAGGED)
    groups = list(pair_groups(on_cpu, 2, torch.zeros(1), 1, Portions("test")))
    assert [(g.rows.start, g.rows.stop, g.images.start) for g in groups] == [
        (0, 2, 0), (2, 4, 0), (4, 5, 1), (5, 7, 2), (7, 9, 2), (9, 11, 2)
    ]  # fmt: skip
    assert list(image_groups(on_cpu, torch.zeros(1), 1)) == [slice(i, i + 1) for i in range(3)]
    there = Selection.from_mask(RAGGED.to(stand_in.device))
    device = torch.zeros(1, device=stand_in.device)
    (group,) = pair_groups(there, 2, device, 1, Portions("test"))
    assert group.rows == slice(0, 11)
    assert group.images.tolist() == [0] * 4 + [1] + [2] * 6
    assert list(image_groups(there, device, 1)) == [slice(0, 3)]
    assert len(list(image_groups(there, device, chunks.DEVICE_NUMBERS // 12))) == 2
    quarter = chunks.DEVICE_NUMBERS // 4
    rows = [g.rows for g in pair_groups(there, 2, device, quarter, Portions("test"))]
    assert rows == [slice(0, 4), slice(4, 8), slice(8, 11)]


@pytest.mark.parametrize("equal", [True, False], ids=["equal", "ragged"])
@pytest.mark.parametrize("name", ["dcp_clip_mini", "cat_seg_mini", "pca_seg_mini", "sed_mini"])
def test_a_batch_is_decoded_as_on_a_cpu(stand_in, name, equal):
    """Images whose pairs run as one batch get the masks that they get alone on a CPU."""
    model = with_tiny_encoder(load_config(name))
    keep = RAGGED.roll(1, 1) | RAGGED if equal else RAGGED
    keep = keep[:1].expand(3, -1) if equal else keep
    images, names = make_images(3), make_names(6)

    def masks() -> tuple[torch.Tensor, Selection]:
        device = next(model.parameters()).device
        image = model.encoder.encode_image(images.to(device))
        text = model.encode_vocabulary(names)
        aligned = model.head(image, text, Selection.from_mask(keep.to(device)))
        decoded = model.decoder(aligned)
        return decoded.selection.scatter(decoded.logits_BKHW), decoded.selection

    expected, _ = masks()
    model.to(stand_in.device)
    found, selection = masks()
    assert found.device.type == stand_in.device.type
    torch.testing.assert_close(found.cpu(), expected, atol=2e-4, rtol=1e-4)
    assert selection.batch == 3


def test_a_chunk_of_every_row_is_measured_too(tmp_path, monkeypatch):
    """Otherwise the sizes of this class of rows would never be decided."""
    monkeypatch.setenv("OVSS_CACHE_DIR", str(tmp_path))
    set_tuning(True)
    try:
        x, portions = torch.randn(8, 3), Portions("test_of_all_rows")
        with torch.no_grad():
            for _ in range(20):
                assert torch.equal(
                    map_chunks(lambda part: part + 1, x, 4, portions=portions), x + 1
                )
        shapes = [shape for name, shape, _ in measured() if name == "test_of_all_rows"]
        assert len(shapes) == 1
    finally:
        set_tuning(None)
