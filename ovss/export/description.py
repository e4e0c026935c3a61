"""Description of an exported model: what its graphs expect, and how views are cut and merged."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ovss import __version__
from ovss.inference.config import InferenceConfig
from ovss.io.arguments import check_fields
from ovss.io.json_text import json_text
from ovss.io.regular import open_regular
from ovss.io.strict_json import parse_json
from ovss.vocabularies.seen import SeenNames

__all__ = ["DESCRIPTION", "ExportDescription", "ExportError", "RegionLayout", "digest_of"]

DESCRIPTION = "export.json"
"""File that describes the other files of the folder."""

FORMAT = 1
"""Version of the folder's format. A runner reads its own version only."""


class ExportError(ValueError):
    """An exported folder that cannot be used, or a model that cannot be exported."""


@dataclass(frozen=True)
class RegionLayout:
    """How masks of regions become maps; the fields are those of `ovss.structures.RegionMasks`.

    Args:
        padded: (height, width) of the padded input that the masks cover; None without padding.
        image: (height, width) of the image at its top left.
        merge_at_input: True to merge at the size of the input, then to resize.
        ownership: weight of a proposal at a pixel.
    """

    padded: tuple[int, int] | None = None
    image: tuple[int, int] | None = None
    merge_at_input: bool = False
    ownership: str = "sigmoid"

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class ExportDescription:
    """Description of an exported model, the content of `DESCRIPTION`.

    Args:
        model: name of the config.
        view: (height, width) of the views that the image graph takes.
        inference: geometry of views, and how they are merged.
        templates: prompt templates.
        synonyms: rule for synonyms, see `ovss.Vocabulary`.
        channels: C, number of channels of a text embedding.
        note: caveat on the weights; empty if there is none.
        seen: rules that mark categories by name; each is an input of the graphs.
        regions: layout of the masks of a method that compares regions; None for maps.
        refines: True if a second graph refines the merged maps.
        context_length: largest number of tokens of a prompt; 0 without a text graph.
        pads_prompts: True if every prompt must be padded to this length.
        version: version of ovss that wrote the folder.
        files: SHA-256 of each file of the folder.
    """

    model: str
    view: tuple[int, int]
    inference: InferenceConfig
    templates: tuple[str, ...]
    synonyms: str
    channels: int
    note: str = ""
    seen: tuple[SeenNames, ...] = ()
    regions: RegionLayout | None = None
    refines: bool = False
    context_length: int = 0
    pads_prompts: bool = False
    version: str = __version__
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)

    def with_files(self, folder: Path) -> ExportDescription:
        """This description with the digests of the files in a folder."""
        paths = sorted(path for path in folder.iterdir() if path.name != DESCRIPTION)
        return replace(self, files={path.name: digest_of(path) for path in paths})

    def text(self) -> str:
        """Content of the file."""
        return json_text({"format": FORMAT, **asdict(self)})

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> ExportDescription:
        """Reads the description of an exported folder; nothing in it is executed.

        Raises:
            ExportError: the folder is not an exported model, is of another format, or is damaged.
        """
        path = Path(folder) / DESCRIPTION
        if not path.is_file():
            raise ExportError(
                f"{os.fspath(folder)} is not an exported model: it has no file {DESCRIPTION}. "
                f"Write one with `ovss export`"
            )
        try:
            with open_regular(path) as file:
                content = parse_json(file.read())
            return _description(content)
        except (OSError, TypeError, ValueError, KeyError) as error:
            raise ExportError(f"{path} cannot be used: {error}. Export the model again") from error

    def check(self, folder: str | os.PathLike[str]) -> None:
        """Compares the files of a folder with their digests.

        Raises:
            ExportError: a file is missing or has another content.
        """
        for name, digest in self.files.items():
            path = Path(folder) / name
            if not path.is_file():
                raise ExportError(f"{path} is missing. Copy the whole folder, or export again")
            if digest_of(path) != digest:
                raise ExportError(
                    f"{path} has another content than when it was exported, or is damaged. Copy "
                    f"the folder again, or export again"
                )


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _description(content: Any) -> ExportDescription:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise ValueError(f"it has format {found!r}, and this version of ovss reads {FORMAT}")
    known = {each.name for each in fields(ExportDescription)}
    _check_keys(content.keys() - {"format"}, known)
    for name in content["files"]:
        if Path(name).name != name:
            raise ValueError(f"the file name {name!r} leads out of the folder")
    regions = content["regions"]
    return ExportDescription(
        **{key: _tuples(content[key]) for key in known - {"inference", "seen", "regions", "files"}},
        inference=InferenceConfig(**_options(content["inference"])),
        seen=tuple(SeenNames(**_options(rule)) for rule in content["seen"]),
        regions=None if regions is None else RegionLayout(**_options(regions)),
        files=content["files"],
    )


def _check_keys(found: Any, known: set[str]) -> None:
    for key in sorted(known ^ set(found)):
        raise ValueError(f"the key {key!r} is {'missing' if key in known else 'unknown'}")


def _options(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise TypeError(f"expected an object, found {type(content).__name__}")
    return {key: _tuples(value) for key, value in content.items()}


def _tuples(value: Any) -> Any:
    """Value with tuples in place of lists, which JSON has in their place."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
