"""Search for the rows with the largest inner product: exact, or with faiss."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ovss.io.excerpts import excerpt
from ovss.io.option_values import check_range

__all__ = ["SEARCHES", "Search", "build_search", "nearest_rows"]

Search = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""Function from queries (Q, D) and a number k to products (Q, k) and rows (Q, k), best first."""

BLOCK = 1 << 25
"""Number of products computed at once, 128 MiB in single precision."""

SEARCHES = {
    "exact": "all products, in blocks; needs no further package",
    "flat": "all products with faiss",
    "ivfpq": "faiss with cells and compressed vectors: little memory, approximate",
}
"""Kinds of search."""


def nearest_rows(
    keys_ND: Tensor, query_QD: Tensor, count: int, block: int = BLOCK
) -> tuple[Tensor, Tensor]:
    """Rows of `keys_ND` with the largest inner products, best first; the lower row wins a tie.

    Args:
        keys_ND: vectors to search, also in half precision.
        query_QD: queries.
        count: number of rows for each query, at most N.
        block: number of products computed at once, which bounds the memory.

    Returns:
        Products and rows, each (Q, count).

    >>> keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    >>> nearest_rows(keys, torch.tensor([[0.0, 2.0]]), 2)[1].tolist()
    [[1, 2]]
    """
    count = min(count, len(keys_ND))
    step = max(count, block // max(1, len(query_QD)))
    best = query_QD.new_empty(len(query_QD), 0), query_QD.new_empty(len(query_QD), 0).long()
    for start in range(0, len(keys_ND), step):
        part_ND = keys_ND[start : start + step].to(query_QD)
        product_QN = query_QD @ part_ND.T
        row_QN = torch.arange(start, start + len(part_ND), device=query_QD.device)
        product_QN = torch.cat([best[0], product_QN], dim=1)
        row_QN = torch.cat([best[1], row_QN.expand(len(query_QD), -1)], dim=1)
        order_QN = product_QN.argsort(dim=1, descending=True, stable=True)[:, :count]
        best = product_QN.gather(1, order_QN), row_QN.gather(1, order_QN)
    return best


def build_search(keys_ND: Tensor, options: Mapping[str, Any] | str = "exact") -> Search:
    """Builds the search over some vectors.

    Args:
        keys_ND: vectors to search.
        options: key of `SEARCHES`, or a dict with the key as ``type``. ``"ivfpq"`` has the
            arguments `lists` (number of cells), `pieces` (bytes of a compressed vector, a divisor
            of D), `probes` (number of cells searched) and `train` (number of vectors that it is
            trained on).

    Raises:
        MissingFaissError: faiss is needed and not installed.
        TypeError: an unknown argument.
        ValueError: an unknown kind, or a number out of range.
    """
    arguments = {"type": options} if isinstance(options, str) else dict(options)
    kind = arguments.pop("type", None)
    if kind not in SEARCHES:
        raise ValueError(
            f"Unknown search {excerpt(kind)}. Set its type to one of {', '.join(SEARCHES)}."
        )
    if kind == "ivfpq":
        index = _ivfpq(keys_ND, **arguments)
    elif arguments:
        raise TypeError(f"The search {kind} has no arguments, got {excerpt(arguments)}.")
    elif kind == "exact":
        return lambda query_QD, count: nearest_rows(keys_ND, query_QD, count)
    else:
        index = _faiss().IndexFlatIP(keys_ND.shape[1])
        _add(index, keys_ND)
    return lambda query_QD, count: _search(index, query_QD, min(count, len(keys_ND)))


class MissingFaissError(ImportError):
    """Raised when faiss is needed and not installed."""


def _faiss() -> ModuleType:
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise MissingFaissError(
            f"This search needs the package faiss, which cannot be imported ({error}). Install it "
            f"with `pip install 'ovss[faiss]'`, or use the search 'exact'"
        ) from error


def _ivfpq(
    keys_ND: Tensor, lists: int = 4096, pieces: int = 64, probes: int = 256, train: int = 1 << 18
) -> Any:
    """Index with cells and compressed vectors, trained on evenly spaced rows."""
    rows, dim = keys_ND.shape
    check_range("ivfpq", 1, lists=lists, pieces=pieces, probes=probes, train=train)
    if dim % pieces:
        raise ValueError(
            f"ivfpq expects pieces that divide the {dim} channels of the vectors, got {pieces}. "
            f"Choose a divisor."
        )
    if rows < max(lists, 256):
        raise ValueError(
            f"ivfpq expects at least {max(lists, 256)} vectors to train {lists} cells, got {rows}. "
            f"Reduce lists, or use the search 'flat'."
        )
    faiss = _faiss()
    index = faiss.index_factory(dim, f"IVF{lists},PQ{pieces}", faiss.METRIC_INNER_PRODUCT)
    step = max(1, rows // max(train, lists, 256))
    index.train(keys_ND[::step].float().cpu().contiguous().numpy())
    _add(index, keys_ND)
    index.nprobe = min(probes, lists)
    return index


def _add(index: Any, keys_ND: Tensor) -> None:
    """Adds vectors in blocks, so that half precision is not converted as a whole."""
    for part_ND in keys_ND.split(1 << 16):
        index.add(part_ND.float().cpu().contiguous().numpy())


def _search(index: Any, query_QD: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Products and rows; too few found rows are filled with the best one."""
    product, row = index.search(query_QD.detach().float().cpu().contiguous().numpy(), count)
    product_Qk, row_Qk = torch.from_numpy(product), torch.from_numpy(row)
    missing_Qk = row_Qk < 0
    product_Qk = torch.where(missing_Qk, product_Qk[:, :1], product_Qk)
    row_Qk = torch.where(missing_Qk, row_Qk[:, :1], row_Qk).clamp(min=0)
    return product_Qk.to(query_QD), row_Qk.to(query_QD.device)
