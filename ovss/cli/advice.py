"""Hints that commands print with library errors, in terms of their own flags.

Library errors carry topics (`ovss.io.advice`), and this module holds the sentence of each command
for each topic. A sentence may only name flags of its command. If a command cannot help with a
topic, it has no sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import TypeVar

from ovss.io.advice import Advice, advice_of, hints_of

from .errors import notes_of
from .options import is_out_of_memory, is_worker_lost

R = TypeVar("R")

_CONVERT = "Convert checkpoints published by a method's authors with `ovss convert` first."
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
    "keep_apart": "Or use another working directory with --work-dir DIR.",
}

ADVICE: dict[str, dict[str, str]] = {
    "test": {
        **_EVALUATION,
        "weights": f"Give a checkpoint after the config, or `none` for random weights. {_CONVERT}",
        "pretrained": _PRETRAINED,
        "split": "Choose a split with --split NAME.",
        "every_split": "Use all splits with --split {everything}.",
        "images": "Give the image folder with --images PATH.",
        "masks": "Give the folder or file of the labels with --masks PATH.",
        "classes": "Give the class file with --classes FILE.",
        "mask_suffix": "Choose a suffix with --mask-suffix END.",
        "memory": "Use --cfg-options test_dataloader.batch_size=1.",
        "workers": "Use --cfg-options test_dataloader.num_workers=0.",
        "large": "Use --cfg-options test_dataloader.dataset.large=True to read it.",
    },
    "train": {
        **_RUN,
        "pretrained": _PRETRAINED,
        "resume": "Continue with --resume.",
        "checkpoint": "Use --resume CHECKPOINT.",
        "earlier_checkpoint": "Use --resume {checkpoint}.",
        "load_from": "Use --cfg-options load_from={path}.",
        "same_amp": "Continue with --amp {amp}.",
        "average": "Continue with --cfg-options ema=True, or with the options of the earlier run.",
        "batch_size": "Set --cfg-options train_dataloader.batch_size={size}.",
        "float16": "Use --amp float16.",
        "bfloat16": "Use --amp bfloat16.",
        "no_amp": "Try it without --amp.",
        "memory": "Use a smaller --micro-batch.",
        "workers": "Use --cfg-options train_dataloader.num_workers=0.",
        "large": "Use --cfg-options train_dataloader.dataset.large=True to read it.",
    },
    "export": {
        "weights": f"Give a checkpoint with --weights FILE, or use --weights none. {_CONVERT}",
        "pretrained": "Give the path of the encoder's weights with --pretrained FILE.",
        "export_size": "Name the size of your images with --image-size H W.",
        "replace": "Use --overwrite to replace it.",
        "export_embeddings": "Name categories with --words.",
        "upper_bound": "Use `ovss test` with this model.",
    },
    "segment": {
        "weights": f"Give a checkpoint with --weights FILE, or use --weights none. {_CONVERT}",
        "pretrained": "Give the path of the encoder's weights with --pretrained FILE.",
        "photo_weights": "Name a file with --pretrained FILE, or use --model dcp_clip_mini.",
        "memory": "Use a smaller --batch, or --tile 2048 for a large image.",
        "large": "Use --large to read it; it is segmented in tiles.",
        "out": "Choose another output folder with --out DIR.",
        "upper_bound": "Use `ovss test` with this model.",
    },
    "label": {
        "weights": f"Give a checkpoint with --weights FILE, or use --weights none. {_CONVERT}",
        "pretrained": "Give the path of the encoder's weights with --pretrained FILE.",
        "photo_weights": "Name a file with --pretrained FILE, or use --model dcp_clip_mini.",
        "memory": "Use a smaller --batch, or fewer --workers.",
        "label_column": "Name the column of the images with --column NAME.",
        "label_key": "Name another column with --key NAME.",
        "label_root": "Name the folder that the paths are relative to with --root DIR.",
        "out": "Choose another output folder with --out DIR.",
        "upper_bound": "Use `ovss test` with this model.",
    },
    "save": {
        "weights": f"Give a checkpoint with --weights FILE. {_CONVERT}",
        "pretrained": "Give the path of the encoder's weights with --pretrained FILE.",
        "replace": "Use --force to replace it.",
    },
    "reproduce": {
        **_EVALUATION,
        "recorded_weights": "Give the path of the weights with --weights FILE.",
        "no_weights": "Leave --weights out.",
        "pretrained": "Give the path of the encoder's file with --encoder FILE.",
        "data_root": "Give the folder of the data with --data-root DIR.",
        "no_data_root": "Leave --data-root out.",
        "anyway": "Use --anyway to run nevertheless.",
    },
    "benchmark": {
        "known_images": "Random images have neither names nor label maps. Use `ovss benchmark "
        "table`, or a number of scenes in `ovss benchmark speed`, to measure on a dataset.",
    },
    "demo": {
        "weights": f"Give a checkpoint with --weights FILE. {_CONVERT}",
        "address": "Choose another --host or --port.",
    },
    "prepare": {
        "out": "Choose another folder with --out DIR.",
        "force": "Use --force to create it again.",
        "jobs": "Use a smaller --jobs.",
        "allow_partial": "Use --allow-partial to use the pairs that exist.",
    },
}
"""Sentences by command and topic."""


def sentences(command: str, error: BaseException) -> str:
    """Hints that a command prints after an error message; may be empty."""
    advice = advice_of(error)
    found = ["memory"] * is_out_of_memory(error) + ["workers"] * is_worker_lost(error)
    topics = dict.fromkeys((*advice.topics, *found))
    return _texts(command, Advice(tuple(topics), advice.values))


def _texts(command: str, advice: Advice) -> str:
    known, values = ADVICE.get(command, {}), {"command": command, **advice.values}
    return " ".join(known[topic].format(**values) for topic in advice.topics if topic in known)


def with_advice(command: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Decorator that adds the hints of a command to errors as notes."""

    def decorate(run: Callable[..., R]) -> Callable[..., R]:
        @wraps(run)
        def advising(*arguments: object, **options: object) -> R:
            try:
                with hints_of(partial(_texts, command)):
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
