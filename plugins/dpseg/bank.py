"""The visual-prompt bank: a folder of safetensors parts and one JSON index.

    index.json                 what made the prompts, and where each lies
    part-00000.safetensors     embeds_NC, level0_ND, level1_ND ...

A part is written before the index that speaks of it, each to a temporary name first. Whatever
stops a build leaves a whole, readable bank of what was finished; a second build goes on there.
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

from ovss.structures import Vocabulary, split_synonyms

from .prompts import VisualPrompts

FORMAT = 1
INDEX = "index.json"


class BankError(ValueError):
    """A bank that cannot be read, or that another encoder made."""


@dataclass(frozen=True)
class Maker:
    """The encoder behind a bank.

    Args:
        fingerprint: SHA-256 of the image tower's weights; empty: unknown.
        joint_dim, level_dims: C, and channels of the levels.
        settings: what else its vectors depend on, as text: size of pictures, which levels.
    """

    fingerprint: str
    joint_dim: int
    level_dims: tuple[int, ...]
    settings: str = ""

    def misfit(self, other: Maker) -> str:
        """How another encoder differs, or nothing."""
        for name, mine in asdict(self).items():
            theirs = getattr(other, name)
            if mine != theirs and mine and theirs:
                return f"{name} is {mine} in the bank, {theirs} in the encoder"
        return ""


@dataclass(frozen=True)
class Entry:
    """One prompt of a bank.

    Args:
        category: its name, synonyms and all.
        template: the prompt template that its picture was made for; None: any.
        source: where the picture comes from.
        part, row: where its vectors lie.
    """

    category: str
    template: str | None
    source: str
    part: int = -1
    row: int = -1

    @property
    def key(self) -> tuple[str, str | None, str]:
        return category_key(self.category), self.template, self.source


def category_key(name: str) -> str:
    """What names are compared by: the first synonym, lower case.

    >>> category_key("Sofa, couch")
    'sofa'
    """
    return (split_synonyms(name) or (name,))[0].lower()


class VisualPromptBank:
    """A bank as it lies on disk.

    Args:
        folder: where.

    Raises:
        FileNotFoundError: no bank there.
        BankError: an index that cannot be understood.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        path = self.folder / INDEX
        if not path.is_file():
            raise FileNotFoundError(
                f"no visual-prompt bank at {self.folder} ({INDEX} is missing). Build one with "
                f"`ovss visual-prompts`, or set the encoder's bank=None to use text alone"
            )
        try:
            index = json.loads(path.read_text(encoding="utf-8"))
            if index["format"] != FORMAT:
                raise ValueError(f"format {index['format']}, this version reads {FORMAT}")
            maker = {**index["maker"], "level_dims": tuple(index["maker"]["level_dims"])}
            self.maker = Maker(**maker)
            self.entries = [Entry(**entry) for entry in index["prompts"]]
        except (ValueError, KeyError, TypeError) as error:
            raise BankError(f"{path} is no index of a bank ({error!r}): build it anew") from error
        self._rows: dict[str, list[int]] = {}
        for number, entry in enumerate(self.entries):
            self._rows.setdefault(category_key(entry.category), []).append(number)
        self._parts: dict[int, dict[str, Tensor]] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, category: str) -> bool:
        return category_key(category) in self._rows

    def numbers(self, category: str, templates: Sequence[str]) -> list[int]:
        """For each template the number of its prompt: its own; otherwise those for any template,
        in turn; otherwise all of the category, in turn."""
        mine = self._rows[category_key(category)]
        own = {self.entries[number].template: number for number in reversed(mine)}
        free = [number for number in mine if self.entries[number].template is None] or mine
        return [own.get(template, free[m % len(free)]) for m, template in enumerate(templates)]

    def vectors(self, numbers: Sequence[int]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Embeddings (N, C) and levels, each (N, level_dim), of prompts by their number."""
        rows = [(self._part(self.entries[n].part), self.entries[n].row) for n in numbers]
        names = ("embeds_NC", *level_names(self.maker))
        first, *levels = (torch.stack([part[name][row] for part, row in rows]) for name in names)
        return first, tuple(levels)

    def _part(self, part: int) -> dict[str, Tensor]:
        if part not in self._parts:
            path = self.folder / part_name(part)
            wanted = [entry.row for entry in self.entries if entry.part == part]
            dims = (self.maker.joint_dim, *self.maker.level_dims)
            names = ("embeds_NC", *level_names(self.maker))
            try:
                tensors = load_file(path)
                for name, dim in zip(names, dims, strict=True):
                    if tensors[name].shape[0] <= max(wanted) or tensors[name].shape[1] != dim:
                        raise ValueError(f"{name} has shape {tuple(tensors[name].shape)}")
            except (OSError, SafetensorError, KeyError, ValueError) as error:
                raise BankError(
                    f"{path} does not hold what {INDEX} says ({error}): build the bank anew"
                ) from error
            self._parts[part] = tensors
        return self._parts[part]


def look_up(banks: Sequence[VisualPromptBank], vocabulary: Vocabulary) -> VisualPrompts:
    """Prompts of a vocabulary from the first bank that has each category; on the CPU.

    All banks are one encoder's. Categories that none has are zero rows and not `found_T`.
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
        embeds_PC, own = bank.vectors(bank.numbers(name, vocabulary.templates))
        embeds_TPC[row] = embeds_PC.float()
        for level_TPD, level_PD in zip(levels, own, strict=True):
            level_TPD[row] = level_PD.float()
    return VisualPrompts(embeds_TPC, levels, found_T)


def part_name(part: int) -> str:
    return f"part-{part:05d}.safetensors"


def level_names(maker: Maker) -> tuple[str, ...]:
    return tuple(f"level{j}_ND" for j in range(len(maker.level_dims)))
