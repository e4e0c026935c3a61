"""What the flags of each command can do about an error of the library.

Library errors carry topics (`ovss.io.advice`). Here is what to say about them, in terms of the
command that runs: a sentence may only name flags that its command has, and a topic that a command
can do nothing about has no sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from ovss.io.advice import advice_of

from .options import is_out_of_memory

R = TypeVar("R")

_CONVERT = "Convert a checkpoint of a method's own authors with `ovss convert` first."
_LAUNCHER = {
    "pytorch": "Start the processes with `torchrun --nproc-per-node N -m ovss {command} ...`",
    "slurm": "Start the processes with srun",
    "mpi": "Start the processes with mpirun of Open MPI",
}
_ONE_PROCESS = ", or leave --launcher out to use one process."
_PRETRAINED = "Give its path with --cfg-options model.encoder.pretrained=/path/to/weights."
_RUN = {
    **{f"launcher_{name}": text + _ONE_PROCESS for name, text in _LAUNCHER.items()},
    "work_dir": "Choose another working directory with --work-dir DIR.",
}
_EVALUATION = {
    **_RUN,
    "resume": "Continue with --resume.",
    "start_again": "Start again without --resume.",
    "keep_apart": "Or keep them apart with --work-dir DIR.",
}

ADVICE: dict[str, dict[str, str]] = {
    "test": {
        **_EVALUATION,
        "weights": f"Give a checkpoint after the config, or `none` for random weights. {_CONVERT}",
        "pretrained": _PRETRAINED,
        "split": "Choose one with --split NAME.",
        "every_split": "Take all of them with --split {everything}.",
        "images": "Name the folder of the images with --images PATH.",
        "masks": "Name the folder of the label maps with --masks PATH.",
        "classes": "Name the class file with --classes FILE.",
        "mask_suffix": "Choose one with --mask-suffix END.",
        "ask_names": "Ask for them with --cfg-options test_dataloader.dataset.words=None.",
    },
    "train": {
        **_RUN,
        "pretrained": _PRETRAINED,
        "resume": "Continue with --resume.",
        "load_from": "Use --cfg-options load_from={path}.",
        "average": "Continue with --cfg-options ema=True, or with the options that it had.",
        "batch_size": "Set --cfg-options train_dataloader.batch_size={size}.",
        "float16": "Use --amp float16.",
        "bfloat16": "Use --amp bfloat16.",
        "no_amp": "Try it without --amp.",
        "memory": "Use a smaller --micro-batch.",
    },
    "segment": {
        "weights": f"Give a checkpoint with --weights FILE, or use --weights none. {_CONVERT}",
        "pretrained": _PRETRAINED,
        "memory": "Use a smaller --batch.",
    },
    "reproduce": {
        **_EVALUATION,
        "recorded_weights": "Name the file with --weights FILE.",
        "no_weights": "Leave --weights out.",
        "pretrained": "Name the encoder's file with --encoder FILE.",
        "data_root": "Name the folder with --data-root DIR.",
        "no_data_root": "Leave --data-root out.",
        "anyway": "See what these give with --anyway.",
    },
    "demo": {"weights": f"Give a checkpoint with --weights FILE. {_CONVERT}"},
    "prepare": {
        "out": "Name another folder with --out DIR.",
        "force": "Use --force to make it again.",
        "jobs": "Use a smaller --jobs.",
        "allow_partial": "Use --allow-partial to take the pairs that are there.",
    },
}
"""Command -> topic -> sentence."""


def sentences(command: str, error: BaseException) -> str:
    """What a command says about an error, after its message; may be empty."""
    advice, known = advice_of(error), ADVICE.get(command, {})
    topics = (*advice.topics, *["memory"] * is_out_of_memory(error))
    values = {"command": command, **advice.values}
    return " ".join(known[topic].format(**values) for topic in topics if topic in known)


def with_advice(command: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Decorator: notes on an error what the flags of `command` can do about it."""

    def decorate(run: Callable[..., R]) -> Callable[..., R]:
        @wraps(run)
        def advising(*arguments: object, **options: object) -> R:
            try:
                return run(*arguments, **options)
            except Exception as error:
                text = sentences(command, error)
                notes = notes_of(error)
                if text and text not in notes:
                    # PEP 678: a traceback of Python 3.11 shows them, and so does `describe`
                    error.__notes__ = [*notes, text]  # type: ignore[attr-defined]
                raise

        return advising

    return decorate


def notes_of(error: BaseException) -> list[str]:
    """Notes that were added to an error."""
    return list(vars(error).get("__notes__", ()))
