"""Schedule of a training of mini_web, by the progress of the run from 0 to 1."""

from __future__ import annotations

SIZE, SIDE = 80, 20
CELLS = SIDE**2


def progress_of(step: int, steps: int) -> float:
    """Progress of a step, on which all of the schedule depends, learning rate included.

    The first 2,250 of 6,500 steps pass the first half of the schedule, then it goes back to 35 %
    and continues evenly: shape is learnt more slowly than difficulty rises at first. Other lengths
    are in proportion.
    """
    quick = 2250 * steps / 6500
    return step / (2 * quick) if step < quick else step / steps


def is_small(progress: float) -> bool:
    """Checks whether images have half their size, as in the first 15 % of the run."""
    return progress < 0.15


def kept_patches(progress: float) -> int:
    """Number of patches that a step sees: all of a small image, later a quarter, half, and all.

    With the class token, most numbers are multiples of 32, for which the processor is fastest.
    """
    if is_small(progress):
        return CELLS // 4
    return 95 if progress < 0.8 else 191 if progress < 0.95 else CELLS


def place_reach(progress: float) -> int:
    """Range in cells of the places of small images: 0 until 6 %, all 10 from 12 % of the run."""
    return min(10, max(0, int(11 * (progress - 0.06) / 0.06)))


def images_per_step(step: int, steps: int, batch: int) -> int:
    """Number of images in a step: `batch`, or fewer if the step is short of time or has to learn.

    Every later step has about as many patches. The first steps have half the images, because then
    the number of steps matters more.
    """
    progress = progress_of(step, steps)
    return batch // 2 if is_small(progress) else batch * 95 // kept_patches(progress)


def difficulty_level(progress: float) -> int:
    """Difficulty in twentieths, so that few different worlds are built: 0 to 15 %, 20 from 40 %."""
    return min(20, max(0, int(21 * (progress - 0.15) / 0.25)))


def single_share(progress: float) -> float:
    """Share of scenes with one object: all until 20 %, a third from 42 to 75 %, a tenth at 90 %."""
    falling = 1 - 0.9 * (progress - 0.2) / 0.3
    late = 0.33 - 0.23 * max(0.0, progress - 0.75) / 0.15
    return min(1.0, max(0.1, falling, late))
