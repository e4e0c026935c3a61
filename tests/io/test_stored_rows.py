"""Rows that are read on demand equal those of a tensor, and need memory while they are read."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ovss.encoders.text_files import read_text_file, write_text_file
from ovss.heads import CosineHead, RegionHead
from ovss.io.stored_rows import StoredRows
from ovss.ops import max_cosine
from ovss.selectors import ClipTopK
from ovss.structures import ImageFeatures, Proposals, Selection, TextFeatures

CPU = torch.device("cpu")
COUNTS = (40, 1, 59)


@pytest.fixture
def table(tmp_path) -> tuple[torch.Tensor, StoredRows]:
    """Table (100, 3, 8) as a tensor, and spread over files in another order."""
    parts = [torch.nn.functional.normalize(torch.randn(n, 3, 8), dim=2) for n in COUNTS]
    files = [
        read_text_file(
            write_text_file(tmp_path, "space", [f"{n} {i}" for i in range(n)], part), "space"
        )
        for n, part in zip(COUNTS, parts, strict=True)
    ]
    place_T2 = torch.tensor([(p, i) for p, n in enumerate(COUNTS) for i in range(n)])
    order_T = torch.randperm(len(place_T2))
    embeds, means = [file.embeds_NPC for file in files], [file.mean_NC for file in files]
    return torch.cat(parts)[order_T], StoredRows(embeds, means, place_T2[order_T], CPU)


def test_rows_equal_those_of_a_tensor(table):
    whole_TPC, rows = table
    text, stored = TextFeatures(whole_TPC), TextFeatures(rows)
    assert (len(stored), stored.num_templates, stored.device) == (100, 3, CPU)
    for index in (torch.randint(100, (2, 7)), torch.tensor([5, 5, 5]), torch.tensor([99, 0, 3])):
        assert torch.equal(stored.rows(index), text.rows(index))
    assert torch.equal(stored.embeds_TPC, whole_TPC)
    assert torch.equal(torch.cat(list(stored.chunks(7))), whole_TPC)
    assert torch.equal(stored.mean_TC, text.mean_TC)
    assert torch.equal(stored.trained_mean_TC, text.mean_TC)


def test_the_mean_keeps_gradients_and_types_of_tensors(table):
    whole_TPC = table[0].clone().requires_grad_()
    text = TextFeatures(whole_TPC)
    assert not text.mean_TC.requires_grad
    text.trained_mean_TC.sum().backward()
    torch.testing.assert_close(whole_TPC.grad, torch.full_like(whole_TPC, 1 / 3))
    assert TextFeatures(table[0].double()).trained_mean_TC.dtype == torch.float64
    with torch.inference_mode():
        frozen = TextFeatures(table[0])
        assert not frozen.mean_TC.is_inference()


def test_a_record_with_other_lengths_is_refused(table):
    with pytest.raises(ValueError, match="T is 99 here but 100"):
        TextFeatures(table[1], (torch.zeros(99, 4),))


@torch.no_grad()
def test_components_compute_the_same(table):
    whole_TPC, rows = table
    dense = torch.randn(2, 8, 4, 5)
    proposals = Proposals(torch.randn(2, 6, 4, 5), torch.randn(2, 6, 2, 8), torch.ones(2, 6) > 0)
    image = ImageFeatures(dense, dense.mean((2, 3)), proposals=proposals)
    region = RegionHead(8, scales=(100.0, 50.0), templates=(1, 2), void="none", trained=2)
    found = []
    for source in (whole_TPC, rows):
        text = TextFeatures(source)
        selection = ClipTopK(9)(image, text)
        outputs = [selection.index_BK, selection.scores_BT]
        for head in (CosineHead(3), CosineHead(ensemble=True)):
            outputs.append(head(image, text, selection).cost_BKDhw)
        aligned = region.train()(image, text, selection)
        found.append([*outputs, aligned.logits_BKQ, *aligned.further])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    torch.testing.assert_close(max_cosine(dense, rows, 30), max_cosine(dense, whole_TPC))


class LargestTensor(TorchDispatchMode):
    """Bytes of the largest tensor that any operation creates."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        before = {x.untyped_storage().data_ptr() for x in args if isinstance(x, torch.Tensor)}
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            is_new = isinstance(tensor, torch.Tensor) and (
                tensor.untyped_storage().data_ptr() not in before
            )
            if is_new:
                self.most = max(self.most, tensor.untyped_storage().nbytes())
        return out


@torch.no_grad()
def test_memory_follows_the_rows_that_are_read(table):
    rows = table[1]
    dense = torch.randn(1, 8, 2, 2)
    image = ImageFeatures(dense, dense.mean((2, 3)))
    whole = 100 * 3 * 8 * 4
    with LargestTensor() as created:
        text = TextFeatures(rows)
        assert text.mean_TC.shape == (100, 8)
        selection = Selection.top_k(text.mean_TC.sum(1)[None], 6)
        CosineHead(3)(image, text, selection)
    assert 0 < created.most <= whole / 2
    with LargestTensor() as created:
        assert len(text.embeds_TPC) == 100
    assert created.most == whole


@pytest.mark.parametrize("at", [0, 9, 60, -1])
def test_every_damaged_byte_of_a_file_is_noticed(tmp_path, at):
    path = write_text_file(tmp_path, "space", ("cat", "dog"), torch.randn(2, 3, 8))
    assert read_text_file(path, "space").keys == ("cat", "dog")
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises((ValueError, KeyError, MemoryError)):
        read_text_file(path, "space")


def test_a_file_of_other_weights_is_refused(tmp_path):
    path = write_text_file(tmp_path, "space", ("cat",), torch.randn(1, 3, 8))
    with pytest.raises(ValueError, match="checksum"):
        read_text_file(path, "other")
