"""Figures that others published, each with its source; none was measured with this code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Published", "PublishedRow", "Study", "load_published"]

FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class PublishedRow:
    """A method's mIoU, in percent, as one source has it.

    Args:
        method, backbone: as the source calls them. size: ``base`` or ``large``.
        source: key of `Published.sources`.
        configs: configs here that are this method at this size.
        miou: data set -> percent; data sets that the source leaves out are not there.
    """

    method: str
    backbone: str
    size: str
    source: str
    configs: tuple[str, ...]
    miou: dict[str, float]


@dataclass(frozen=True)
class Study:
    """A further table of a paper: columns of numbers under names of its own."""

    number: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | None, ...]], ...]


@dataclass(frozen=True)
class Published:
    """All of it.

    Args:
        columns: data set -> what papers call it, in their order.
        pictures: data set -> how many the papers evaluate.
        sources: key -> where the figures stand.
        studies: further tables of `study_source`.
    """

    columns: dict[str, str]
    pictures: dict[str, int]
    sources: dict[str, str]
    rows: tuple[PublishedRow, ...]
    study_source: str
    studies: tuple[Study, ...]

    def of(self, config: str) -> list[PublishedRow]:
        """What was published of a config's method at its size; its own source comes first."""
        return [row for row in self.rows if config in row.configs]


@cache
def load_published() -> Published:
    """Read the file that comes with the package."""
    content = json.loads(FILE.read_text("utf-8"))
    return Published(
        content["columns"],
        content["pictures"],
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
