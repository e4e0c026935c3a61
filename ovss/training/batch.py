"""Division of a batch among the ranks of a run."""

from __future__ import annotations

from ovss.io.advice import advised
from ovss.io.excerpts import excerpt


def share_of_batch(dataloader: dict, train_cfg: dict, world_size: int) -> int:
    """Number of images that each rank takes in a step.

    Args:
        dataloader: config of the loader, whose ``batch_size`` counts the images of all ranks.
        train_cfg: config of the loop, which may have ``micro_batch``.
        world_size: number of ranks.

    Raises:
        ValueError: the batch cannot be divided evenly; the message lists numbers that can.
    """
    total, micro = dataloader.get("batch_size"), train_cfg.get("micro_batch")
    if not isinstance(total, int) or total < 1:
        raise ValueError(
            f"train_dataloader.batch_size must be an integer of at least 1, got {excerpt(total)}. "
            f"Set the number of images a step, over all ranks"
        )
    if total < world_size or total % world_size:
        fits = [n for n in range(1, total + 1) if total % n == 0]
        size = -(-total // world_size) * world_size
        error = ValueError(
            f"train_dataloader.batch_size is {total} images a step, which {world_size} ranks "
            f"cannot share evenly. Start {_or(fits)} ranks, or change the batch size to {size} and "
            f"the learning rate in proportion"
        )
        raise advised(error, "batch_size", size=size)
    share = total // world_size
    if micro is not None and (micro < 1 or share % micro):
        fits = [n for n in range(1, share + 1) if share % n == 0]
        raise ValueError(
            f"train_cfg.micro_batch is {micro}, which does not divide the {share} images of each "
            f"rank. Set {_or(fits)}"
        )
    return share


def _or(numbers: list[int]) -> str:
    return " or ".join(map(str, numbers))
