"""Builder of visual-prompt banks that skips prompts that the bank already has."""

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
    """Numbers of prompts that were made, existed before, or were left out without an image."""

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
    """Encodes every requested image that is not yet in the bank at `folder`.

    Finished prompts are kept if the build is interrupted, and a second call continues it.

    Args:
        wanted: requests from one of `sources`.
        frozen: visual-prompt encoder.
        folder: folder of a new bank or of one to continue.
        batch: number of images encoded at a time.
        total: number of requests, for the progress bar.
        device: device of the encoder.
        flush: number of prompts between two writes.
        quiet: True hides the progress bar.

    Raises:
        BankError: the folder holds a bank of another encoder.
        OSError: the folder cannot be written.
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
                embeds_NC, levels = frozen([image.to(device) for _, image in waiting])
                for row, (entry, _) in enumerate(waiting):
                    writer.add(entry, embeds_NC[row], [level[row] for level in levels])
                waiting.clear()

        for request in wanted:
            bar.update()
            if request.entry in writer:
                kept += 1
                continue
            image = request.image()
            if image is None:
                left_out += 1
                continue
            made += 1
            waiting.append((request.entry, image))
            if len(waiting) >= batch:
                encode()
        encode()
    return Built(made, kept, left_out)
