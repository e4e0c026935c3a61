"""Visual-prompt bank: a folder of safetensors parts and one JSON index.

    index.json                 encoder of the bank, and location of every prompt
    part-00000.safetensors     embeds_NC, level0_ND, level1_ND ...

A part is written before the index that lists it, and each file gets a temporary name first. An
interrupted build therefore leaves a complete, readable bank of the finished prompts, and a second
build continues it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ovss.io.weight_files import check_finite_weights
from ovss.structures import Vocabulary, split_synonyms

from .prompts import VisualPrompts

FORMAT = 1
INDEX = "index.json"


class BankError(ValueError):
    """Error of a bank that cannot be read or that belongs to another encoder."""


@dataclass(frozen=True)
class Maker:
    """Identity of the encoder that made a bank.

    Args:
        fingerprint: SHA-256 of the image tower's weights; empty if unknown.
        joint_dim, level_dims: C, and channels of the levels.
        settings: other settings that the vectors depend on, as text (image size, tapped levels).
    """

    fingerprint: str
    joint_dim: int
    level_dims: tuple[int, ...]
    settings: str = ""

    def difference(self, encoder: Maker) -> str:
        """First difference between this bank's encoder and another one; empty if they agree.

        Values that are unknown on either side are not compared.
        """
        for name, bank_value in asdict(self).items():
            encoder_value = getattr(encoder, name)
            if bank_value != encoder_value and bank_value and encoder_value:
                return f"{name} is {bank_value} in the bank, but {encoder_value} in the encoder"
        return ""


@dataclass(frozen=True)
class Entry:
    """Index entry of one visual prompt.

    Args:
        category: class name, synonyms included.
        template: prompt template that the image was made for; None for any template.
        source: origin of the image.
        part, row: location of the vectors.
    """

    category: str
    template: str | None
    source: str
    part: int = -1
    row: int = -1

    @property
    def key(self) -> tuple[str, str | None, str]:
        """Identity of the prompt within a bank."""
        return category_key(self.category), self.template, self.source


def category_key(name: str) -> str:
    """Key by which class names are compared: the first synonym in lower case.

    >>> category_key("Sofa, couch")
    'sofa'
    """
    return (split_synonyms(name) or (name,))[0].lower()


class VisualPromptBank:
    """Reader of a bank on disk.

    Args:
        folder: folder of the bank.

    Raises:
        FileNotFoundError: the folder does not contain a bank.
        BankError: the index cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / INDEX
        if not path.is_file():
            raise FileNotFoundError(
                f"Found no visual-prompt bank in {self.folder}, because {INDEX} is missing. Build "
                "a bank with `ovss visual-prompts`, or set bank=None in the encoder."
            )
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
            if index["format"] != FORMAT:
                raise ValueError(f"format is {index['format']}, but this version reads {FORMAT}")
            maker = {**index["maker"], "level_dims": tuple(index["maker"]["level_dims"])}
            self.maker = Maker(**maker)
            self.entries = [Entry(**entry) for entry in index["prompts"]]
        except (ValueError, KeyError, TypeError) as error:
            raise BankError(
                f"{path} is not a valid index of a visual-prompt bank ({error!r}). "
                "Build the bank again in an empty folder."
            ) from error
        self._rows: dict[str, list[int]] = {}
        for number, entry in enumerate(self.entries):
            self._rows.setdefault(category_key(entry.category), []).append(number)
        self._parts: dict[int, dict[str, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, category: str) -> bool:
        return category_key(category) in self._rows

    def numbers(self, category: str, templates: Sequence[str]) -> list[int]:
        """Numbers of a category's prompts, one for each template.

        A template gets the prompt that was made for it. The others take turns with the prompts for
        any template, or with all prompts of the category if there are none for any template.
        """
        rows = self._rows[category_key(category)]
        # Reversed, so that the first prompt of a template wins.
        by_template = {self.entries[number].template: number for number in reversed(rows)}
        free = [number for number in rows if self.entries[number].template is None] or rows
        return [by_template.get(name, free[m % len(free)]) for m, name in enumerate(templates)]

    def vectors(self, numbers: Sequence[int]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Embeddings (N, C) and levels (N, level_dim) of the prompts with these numbers."""
        rows = [(self._part(self.entries[n].part), self.entries[n].row) for n in numbers]
        names = ("embeds_NC", *level_names(self.maker))
        first, *levels = (torch.stack([part[name][row] for part, row in rows]) for name in names)
        return first, tuple(levels)

    def _part(self, part: int) -> dict[str, Tensor]:
        if part not in self._parts:
            path = self.folder / part_name(part)
            rows = [entry.row for entry in self.entries if entry.part == part]
            dims = (self.maker.joint_dim, *self.maker.level_dims)
            names = ("embeds_NC", *level_names(self.maker))
            try:
                tensors = load_file(path)
                check_finite_weights(tensors, path)
                for name, dim in zip(names, dims, strict=True):
                    if tensors[name].shape[0] <= max(rows) or tensors[name].shape[1] != dim:
                        raise ValueError(f"{name} has shape {tuple(tensors[name].shape)}")
            except (OSError, SafetensorError, KeyError, ValueError) as error:
                raise BankError(
                    f"{path} does not contain the vectors that {INDEX} lists ({error}). "
                    "Build the bank again in an empty folder."
                ) from error
            self._parts[part] = tensors
        return self._parts[part]


def look_up(banks: Sequence[VisualPromptBank], vocabulary: Vocabulary) -> VisualPrompts:
    """Looks up the visual prompts of a vocabulary, on the CPU.

    The first bank that has a category provides its prompts. Categories that no bank has are zero
    rows with `found_T` False.

    Args:
        banks: banks of the same encoder.
        vocabulary: categories and templates.
    """
    maker, shape = banks[0].maker, (len(vocabulary), len(vocabulary.templates))
    embeds_TPC = torch.zeros(*shape, maker.joint_dim)
    levels = tuple(torch.zeros(*shape, dim) for dim in maker.level_dims)
    found_T = torch.zeros(len(vocabulary), dtype=torch.bool)
    for row, name in enumerate(vocabulary.names):
        bank = next((bank for bank in banks if name in bank), None)
        if bank is None:
            continue
        found_T[row] = True
        embeds_PC, category_levels = bank.vectors(bank.numbers(name, vocabulary.templates))
        embeds_TPC[row] = embeds_PC.float()
        for level_TPD, level_PD in zip(levels, category_levels, strict=True):
            level_TPD[row] = level_PD.float()
    return VisualPrompts(embeds_TPC, levels, found_T)


def part_name(part: int) -> str:
    """File name of a part."""
    return f"part-{part:05d}.safetensors"


def level_names(maker: Maker) -> tuple[str, ...]:
    """Names of the level tensors in a part."""
    return tuple(f"level{j}_ND" for j in range(len(maker.level_dims)))
