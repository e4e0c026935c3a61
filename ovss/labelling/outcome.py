"""End of the work on a shard, as workers report it to the process that runs them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ShardOutcome", "failure_text"]


@dataclass(frozen=True)
class ShardOutcome:
    """End of the work on a shard.

    Args:
        shard: number of the shard.
        state: ``"done"``; ``"present"`` if it was finished before; ``"busy"`` if another run works
            on it; ``"failed"`` if it cannot be computed, for engines whose workers raise no errors.
        images: rows computed here.
        errors: rows of them with an error.
        seconds: time from the first image to the renamed file.
        model_seconds: time in the model.
        reason: error of a shard that failed.
    """

    shard: int
    state: str
    images: int = 0
    errors: int = 0
    seconds: float = 0.0
    model_seconds: float = 0.0
    reason: str = ""


def failure_text(error: Exception) -> str:
    """Reason of an error for the process that runs the workers."""
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    is_plain = isinstance(error, ValueError | OSError | LookupError)
    return text if is_plain else f"{type(error).__name__}: {text}"
