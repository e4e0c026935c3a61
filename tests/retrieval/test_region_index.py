"""Index of regions: exact search, faiss, files that continue, and damaged files."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from ovss.retrieval import (
    IndexMaker,
    RegionIndex,
    RegionIndexError,
    RegionIndexWriter,
    nearest_rows,
)
from ovss.retrieval.search import build_search

MAKER = IndexMaker(4, (3, 2), "abc", "canvas=336")


def unit(rows, dim, seed=0):
    return F.normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def regions(count, seed):
    return unit(count, 4, seed), (unit(count, 3, seed + 1), unit(count, 2, seed + 2))


@pytest.mark.parametrize("block", [1, 70, 1 << 20])
def test_exact_search_equals_sorting_all_products(block):
    keys, query = unit(50, 4), unit(7, 4, 1)
    keys[20] = keys[3]  # a tie, which the lower row wins
    products, rows = nearest_rows(keys, query, 5, block)
    for q in range(7):
        ranked = sorted(range(50), key=lambda row: (-float(query[q] @ keys[row]), row))
        assert rows[q].tolist() == ranked[:5]
        torch.testing.assert_close(products[q], keys[rows[q]] @ query[q])
    assert nearest_rows(keys, query, 80)[1].shape == (7, 50)


def test_faiss_flat_equals_exact_search():
    pytest.importorskip("faiss")
    keys, query = unit(300, 16).half(), unit(9, 16, 1)
    exact, flat = build_search(keys)(query, 20), build_search(keys, "flat")(query, 20)
    assert torch.equal(exact[1], flat[1])
    torch.testing.assert_close(exact[0], flat[0], atol=1e-5, rtol=0)


def test_faiss_ivfpq_finds_most_neighbours():
    pytest.importorskip("faiss")
    keys = unit(2000, 16)
    query = F.normalize(keys[:40] + 0.1 * unit(40, 16, 1), dim=1)
    search = build_search(keys, dict(type="ivfpq", lists=8, pieces=8, probes=8))
    found, exact = search(query, 20)[1], nearest_rows(keys, query, 20)[1]
    hits = [len(set(a.tolist()) & set(b.tolist())) for a, b in zip(found, exact, strict=True)]
    print(f"recall of 20 neighbours: {sum(hits) / 800:.2f}")  # pytest -s
    assert found.shape == (40, 20)
    assert int(found.min()) >= 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ("annoy", ValueError, "one of exact, flat, ivfpq"),
        (dict(type="exact", lists=3), TypeError, "no arguments"),
        (dict(type="ivfpq", pieces=5), ValueError, "pieces that divide the 16"),
        (dict(type="ivfpq", pieces=8), ValueError, "at least 4096 vectors"),
    ],
)
def test_wrong_searches_are_named(options, error, message):
    with pytest.raises(error, match=message):
        build_search(unit(30, 16), options)


def test_an_index_continues_and_equals_one_that_was_built_at_once(tmp_path):
    images = {f"{i}.jpg": regions(count, i) for i, count in enumerate((3, 0, 5, 2))}
    with RegionIndexWriter(tmp_path / "whole", MAKER) as writer:
        for name, (keys, values) in images.items():
            writer.add(name, keys, values)
    for names in (["0.jpg", "1.jpg"], list(images)):
        with RegionIndexWriter(tmp_path / "parts", MAKER, flush=2) as writer:
            for name in names:
                if name not in writer:
                    writer.add(name, *images[name])
    whole, parts = RegionIndex(tmp_path / "whole"), RegionIndex(tmp_path / "parts")
    assert len(whole) == len(parts) == 10
    assert len(parts.parts) == 3
    assert torch.equal(whole.keys_ND, parts.keys_ND)
    assert all(torch.equal(a, b) for a, b in zip(whole.values, parts.values, strict=True))
    query = unit(4, 4, 9)
    found = parts.support(query, 3)
    for space, value in enumerate(parts.values):
        for q in range(4):
            best = (parts.keys_ND.float() @ query[q]).topk(3).indices
            mean = F.normalize(value[best].float().mean(0), dim=0)
            torch.testing.assert_close(found[space][q], mean)


def test_what_was_written_before_an_error_stays(tmp_path):
    def interrupted():
        with RegionIndexWriter(tmp_path, MAKER) as writer:
            writer.add("a.jpg", *regions(3, 0))
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert len(RegionIndex(tmp_path)) == 3


def test_another_model_and_other_shapes_are_refused(tmp_path):
    with RegionIndexWriter(tmp_path, MAKER) as writer:
        writer.add("a.jpg", *regions(3, 0))
        with pytest.raises(RegionIndexError, match=r"b\.jpg have the shapes"):
            writer.add("b.jpg", unit(3, 5), regions(3, 0)[1])
    with pytest.raises(RegionIndexError, match="fingerprint is abc in the index, but xyz here"):
        RegionIndexWriter(tmp_path, IndexMaker(4, (3, 2), "xyz"))
    assert RegionIndexWriter(tmp_path, IndexMaker(4, (3, 2))).parts


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda index: "{", "not JSON"),
        (lambda index: json.dumps({**index, "format": 7}), "has the format 7"),
        (lambda index: json.dumps({**index, "maker": {"key_dim": 4}}), "lacks or misuses"),
        (lambda index: json.dumps({**index, "parts": [dict(number="../x", rows=1, images=[])]}),
         "not whole numbers"),
        (lambda index: json.dumps({**index, "parts": [{**index["parts"][0], "rows": 4}]}),
         r"shape \(3, 4\) instead of \(4, 4\)"),
        (lambda index: json.dumps({**index, "parts": []}), "has no regions"),
    ],
)  # fmt: skip
def test_damaged_files_are_named(tmp_path, damage, message):
    with RegionIndexWriter(tmp_path, MAKER) as writer:
        writer.add("a.jpg", *regions(3, 0))
    index = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(damage(index))
    with pytest.raises(RegionIndexError, match=message):
        RegionIndex(tmp_path)


def test_no_index_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match="Found no index of regions"):
        RegionIndex(tmp_path)
