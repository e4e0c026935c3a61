"""Pictures into a bank, some at a time; what the bank has already is not made again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from tqdm import tqdm

from ovss.io.files import ensure_writable

from .bank import Entry
from .bank_writer import BankWriter
from .frozen import FrozenEncoder
from .sources import Wanted


class Built(NamedTuple):
    """How many prompts were made, were there before, and were left out for want of a picture."""

    made: int
    kept: int
    left_out: int


def build_bank(
    wanted: Iterable[Wanted],
    frozen: FrozenEncoder,
    folder: str | Path,
    batch: int = 16,
    total: int | None = None,
    device: str = "cpu",
    flush: int = 256,
    quiet: bool = False,
) -> Built:
    """Encode every picture that is wanted and not yet in the bank at `folder`.

    What is finished is kept, whatever stops it: a second call goes on.

    Args:
        wanted: of one of `sources`.
        frozen: the visual-prompt encoder.
        folder: of the bank, new or begun.
        batch: pictures encoded at once.
        total: how many are wanted, for the progress bar.
        device: where to encode.
        flush: prompts between two writes.
        quiet: no progress bar.

    Raises:
        BankError: the folder holds another encoder's bank.
        OSError: it cannot be written.
    """
    ensure_writable(folder)
    made = kept = left_out = 0
    waiting: list[tuple[Entry, Tensor]] = []
    with (
        BankWriter(folder, frozen.maker(), flush) as writer,
        tqdm(total=total, desc="visual prompts", disable=quiet) as bar,
    ):

        def encode() -> None:
            if waiting:
                embeds_NC, levels = frozen([picture.to(device) for _, picture in waiting])
                for row, (entry, _) in enumerate(waiting):
                    writer.add(entry, embeds_NC[row], [level[row] for level in levels])
                waiting.clear()

        for one in wanted:
            bar.update()
            if one.entry in writer:
                kept += 1
                continue
            picture = one.picture()
            if picture is None:
                left_out += 1
                continue
            made += 1
            waiting.append((one.entry, picture))
            if len(waiting) >= batch:
                encode()
        encode()
    return Built(made, kept, left_out)
