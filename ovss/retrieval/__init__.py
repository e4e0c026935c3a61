"""Retrieval of similar regions: an index on disk, and the search for nearest neighbours."""

from .region_index import IndexMaker, RegionIndex, RegionIndexError
from .region_index_writer import RegionIndexWriter
from .search import SEARCHES, nearest_rows

__all__ = [
    "SEARCHES",
    "IndexMaker",
    "RegionIndex",
    "RegionIndexError",
    "RegionIndexWriter",
    "nearest_rows",
]
