"""Index of region embeddings: a folder of safetensors parts and one JSON file.

    index.json                 models that made the vectors, and the images of each part
    part-00000.safetensors     keys_ND, values0_NC, values1_NC ... in half precision

Each region has one key, by which it is found, and one value for each joint space. A part is written
before the file that lists it, so that an interrupted build leaves a readable index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ovss.io.names import printable
from ovss.io.strict_json import parse_json
from ovss.io.weight_files import check_finite_weights

from .search import build_search

__all__ = ["FORMAT", "INDEX", "IndexMaker", "IndexPart", "RegionIndex", "RegionIndexError"]

FORMAT = 1
INDEX = "index.json"


class RegionIndexError(ValueError):
    """Error of an index that cannot be read, or that belongs to other models."""


@dataclass(frozen=True)
class IndexMaker:
    """Identity of the models that made an index.

    Args:
        key_dim: D, channels of the keys.
        value_dims: channels of the values of each joint space.
        fingerprint: SHA-256 of the weights; empty if unknown.
        settings: further settings that the vectors depend on, as text.
    """

    key_dim: int
    value_dims: tuple[int, ...]
    fingerprint: str = ""
    settings: str = ""

    def difference(self, other: IndexMaker) -> str:
        """First difference between this index and other models; empty if they agree.

        Texts that are unknown on either side are not compared.
        """
        for name, own in asdict(self).items():
            theirs = getattr(other, name)
            if own != theirs and (own and theirs):
                return f"{name} is {own} in the index, but {theirs} here"
        return ""


@dataclass(frozen=True)
class IndexPart:
    """Part of an index.

    Args:
        number: number of the file.
        rows: number of regions.
        images: names of the images whose regions the part holds.
    """

    number: int
    rows: int
    images: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """Name of the file."""
        return f"part-{self.number:05d}.safetensors"


class RegionIndex:
    """Reader of an index on disk, and search in it.

    Args:
        folder: folder of the index.
        search: kind of search, see `ovss.retrieval.search.build_search`.

    Attributes:
        maker: identity of the models that made the index.
        keys_ND: keys of all regions, in half precision.
        values: values of all regions, (N, C) for each joint space, in half precision.

    Raises:
        FileNotFoundError: the folder does not contain an index.
        RegionIndexError: a file that is damaged, or an index without regions.
    """

    def __init__(self, folder: str | Path, search: Mapping[str, Any] | str = "exact") -> None:
        self.folder = Path(folder)
        self.maker, self.parts = read_index(self.folder)
        tensors = [_read_part(self.folder, part, self.maker) for part in self.parts]
        if not tensors:
            raise RegionIndexError(
                f"The index in {printable(self.folder)} has no regions. Build it from images in "
                f"which regions are found."
            )
        names = part_names(self.maker)
        self.keys_ND, *values = (torch.cat([part[name] for part in tensors]) for name in names)
        self.values = tuple(values)
        self.search = build_search(self.keys_ND, search)

    def __len__(self) -> int:
        return len(self.keys_ND)

    def support(self, query_QD: Tensor, count: int) -> tuple[Tensor, ...]:
        """Mean value of the nearest regions of each query, of unit length, (Q, C) for each space.

        Args:
            query_QD: unit keys of regions.
            count: number of neighbours.
        """
        _, row_Qk = self.search(query_QD.float().cpu(), count)
        return tuple(
            F.normalize(value_NC[row_Qk].float().mean(1), dim=1).to(query_QD)
            for value_NC in self.values
        )


def read_index(folder: Path) -> tuple[IndexMaker, list[IndexPart]]:
    """Models and parts that the index file of a folder lists.

    Raises:
        FileNotFoundError: the folder does not contain an index.
        RegionIndexError: a file of another format.
    """
    path = folder / INDEX
    if not path.is_file():
        raise FileNotFoundError(
            f"Found no index of regions in {printable(folder)}, because {INDEX} is missing. Build "
            f"one from a folder of images."
        )
    try:
        content = parse_json(path.read_bytes())
        if content["format"] != FORMAT:
            raise ValueError(f"has the format {content['format']}; this version reads {FORMAT}")
        maker = IndexMaker(
            **{**content["maker"], "value_dims": tuple(content["maker"]["value_dims"])}
        )
        parts = [
            IndexPart(**{**part, "images": tuple(part["images"])}) for part in content["parts"]
        ]
        if any(type(part.number) is not int or type(part.rows) is not int for part in parts):
            raise ValueError("has a part whose number or rows are not whole numbers")
    except (ValueError, KeyError, TypeError) as error:
        raise RegionIndexError(
            f"{printable(path)} expected an index of regions, but it {_reason(error)}. Build the "
            f"index again in an empty folder."
        ) from error
    return maker, parts


def part_names(maker: IndexMaker) -> tuple[str, ...]:
    """Names of the tensors of a part."""
    return ("keys_ND", *(f"values{i}_NC" for i in range(len(maker.value_dims))))


def _reason(error: Exception) -> str:
    return str(error) if type(error) is ValueError else f"lacks or misuses {error}"


def _read_part(folder: Path, part: IndexPart, maker: IndexMaker) -> dict[str, Tensor]:
    path = folder / part.file_name
    try:
        tensors = load_file(path)
        check_finite_weights(tensors, path)
        dims = (maker.key_dim, *maker.value_dims)
        for name, dim in zip(part_names(maker), dims, strict=True):
            if tensors[name].shape != (part.rows, dim):
                raise ValueError(
                    f"{name} has shape {tuple(tensors[name].shape)} instead of {(part.rows, dim)}"
                )
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise RegionIndexError(
            f"{printable(path)} expected the regions that {INDEX} lists, found something else "
            f"({error}). Build the index again in an empty folder."
        ) from error
    return tensors
