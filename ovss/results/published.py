"""Published results of other authors with their sources; none was measured with this code."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ovss.io.strict_json import parse_json

__all__ = ["Published", "PublishedRow", "Study", "load_published"]

FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class PublishedRow:
    """mIoU of a method, in percent, according to one source.

    Args:
        method: name of the method in the source.
        backbone: name of the backbone in the source.
        size: ``base`` or ``large``.
        source: key of `Published.sources`.
        configs: names of bundled configs of this method and size.
        miou: mIoU by dataset; datasets that the source does not report are missing.
    """

    method: str
    backbone: str
    size: str
    source: str
    configs: tuple[str, ...]
    miou: dict[str, float]


@dataclass(frozen=True)
class Study:
    """Additional table of a paper, with its own columns."""

    number: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]


@dataclass(frozen=True)
class Published:
    """All published results.

    Args:
        columns: short name of each dataset in papers, in their order.
        images: number of images that papers evaluate, by dataset.
        sources: citation of each source, by key.
        rows: results of each method in each source.
        study_source: citation of the additional tables.
        studies: additional tables.
    """

    columns: dict[str, str]
    images: dict[str, int]
    sources: dict[str, str]
    rows: tuple[PublishedRow, ...]
    study_source: str
    studies: tuple[Study, ...]

    def of(self, config: str) -> list[PublishedRow]:
        """Published results for the method and size of a config, the authors' own first."""
        return [row for row in self.rows if config in row.configs]


@cache
def load_published() -> Published:
    """Reads the bundled file, once."""
    content = parse_json(FILE.read_bytes())
    for row in content["rows"]:
        _check_row(row, content)
    return Published(
        content["columns"],
        content["images"],
        {key: f"{each['text']} ({each['url']})" for key, each in content["sources"].items()},
        tuple(PublishedRow(**{**row, "configs": tuple(row["configs"])}) for row in content["rows"]),
        content["studies"]["source"],
        tuple(
            Study(
                each["number"],
                each["title"],
                each["note"],
                tuple(each["columns"]),
                tuple((name, tuple(values)) for name, *values in each["rows"]),
            )
            for each in content["studies"]["tables"]
        ),
    )


def _check_row(row: dict[str, Any], content: dict[str, Any]) -> None:
    """Raises an error for a published value that cannot be, or without a source or a column."""
    for dataset, value in row["miou"].items():
        is_percent = isinstance(value, (int, float)) and not isinstance(value, bool)
        if (
            not (is_percent and 0 <= value <= 100)
            or dataset not in content["columns"]
            or row["source"] not in content["sources"]
        ):
            raise ValueError(
                f"{FILE} has {value!r} for {row['method']!r} on {dataset!r} from "
                f"{row['source']!r}. Expected a mIoU in percent with a known source and column. "
                f"Install ovss again"
            )
