"""Modules as ONNX files."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .description import ExportError

__all__ = ["save_onnx"]

LARGEST = 1_500_000_000
"""Bytes of weights from which they lie in a file of their own; an ONNX file holds 2 GB at most."""


def save_onnx(
    module: nn.Module,
    inputs: tuple[Any, ...],
    names: Sequence[str],
    outputs: Sequence[str],
    dynamic: Any,
    path: Path,
    what: str,
) -> None:
    """Writes a module as an ONNX file.

    Args:
        module: module in evaluation mode.
        inputs: example inputs; tuples of tensors count as several.
        names: name of each input tensor.
        outputs: name of each output.
        dynamic: dynamic axes, as `torch.export.export` takes them.
        path: file to write.
        what: name of the part of the model, for an error.

    Raises:
        ExportError: a component that cannot be exported, with torch's reason.
    """
    _ensure_installed()
    try:
        with torch.no_grad(), _quiet():
            program = torch.export.export(module, inputs, dynamic_shapes=dynamic, strict=False)
            onnx = torch.onnx.export(
                program, dynamo=True, input_names=list(names), output_names=list(outputs)
            )
    except ExportError:
        raise
    except Exception as error:  # torch raises many kinds
        reason = str(error).strip().partition("\n")[0]
        raise ExportError(
            f"The {what} cannot be exported ({type(error).__name__}: {reason}). It reads values or "
            f"loops over categories. Choose another one; OVSS_DEBUG=1 shows where it fails"
        ) from error
    assert onnx is not None
    size = sum(tensor.nbytes for tensor in program.state_dict.values())
    with _quiet():
        onnx.save(str(path), external_data=size > LARGEST)


def _ensure_installed() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ExportError(
            f"Exporting needs a package ({error}). Install it with: pip install 'ovss[export]'"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides torch's notes on operators that other models need."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
