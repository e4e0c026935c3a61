"""Main function of a worker process of the engine local.

Imports nothing heavy: a process that is being started must notice early that its parent has ended,
and the libraries of the model take seconds to import. They come with the first message.
"""

from __future__ import annotations

import signal
from contextlib import suppress
from multiprocessing.connection import Connection

from ovss.io.children import end_with_parent

__all__ = ["work"]


def work(connection: Connection) -> None:
    """Builds a model and computes shards until the connection is closed.

    The first message holds job, settings, name of the run, number of the worker and whether errors
    are computed again. Each further one is the number of a shard. The answers are pairs of a kind
    (``"ready"``, ``"error"``, ``"images"``, ``"outcome"`` or ``"failed"``) and its content.

    Args:
        connection: pipe to the parent.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    with suppress(EOFError, OSError):
        _work(connection)


def _work(connection: Connection) -> None:
    job, settings, run, number, retry_errors = connection.recv()
    from .outcome import failure_text
    from .worker import ShardWorker, prepare_process

    try:
        prepare_process(settings)
        worker = ShardWorker(job, settings, run, _device(settings.device, number), retry_errors)
    except Exception as error:
        connection.send(("error", failure_text(error)))
        connection.recv()  # the parent reads the message and ends this process
        return
    connection.send(("ready", None))
    while True:
        shard = connection.recv()
        try:
            outcome = worker.compute(shard, lambda count: connection.send(("images", count)))
            connection.send(("outcome", outcome))
        except Exception as error:
            connection.send(("failed", failure_text(error)))


def _device(name: str, number: int) -> str:
    """Device of a worker; several GPUs are shared out."""
    import torch

    if name in ("auto", "cuda") and torch.cuda.device_count() > 1:
        return f"cuda:{number % torch.cuda.device_count()}"
    return name
