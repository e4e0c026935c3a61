"""Graphs of an exported model, run by ONNX Runtime or OpenVINO."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ovss.io.excerpts import excerpt

from .description import ExportError

__all__ = ["BACKENDS", "GraphSession", "open_session"]


class GraphSession(ABC):
    """A graph that is ready to run.

    Attributes:
        inputs: names of its inputs.
    """

    inputs: frozenset[str]

    @abstractmethod
    def run(self, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Runs the graph.

        Args:
            arrays: an array for each of `inputs`.
        """

    def __call__(self, **arrays: np.ndarray) -> list[np.ndarray]:
        """Runs the graph; arrays that it does not read are left out."""
        return self.run({name: arrays[name] for name in self.inputs})


class OnnxRuntimeSession(GraphSession):
    """Graph run by ONNX Runtime on the CPU.

    Args:
        path: ONNX file.
        threads: number of threads; 0 for all cores.
    """

    def __init__(self, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = frozenset(each.name for each in self._session.get_inputs())

    def run(self, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return self._session.run(None, dict(arrays))


class OpenVinoSession(GraphSession):
    """Graph run by OpenVINO on the CPU.

    Args:
        path: ONNX file.
        threads: number of threads; 0 for all cores.
    """

    def __init__(self, path: Path, threads: int) -> None:
        import openvino

        core = openvino.Core()
        options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        self._model = core.compile_model(core.read_model(path), "CPU", options)
        self.inputs = frozenset(each.any_name for each in self._model.inputs)

    def run(self, arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        results = self._model(dict(arrays))
        return [results[output] for output in self._model.outputs]


BACKENDS: dict[str, type[OnnxRuntimeSession] | type[OpenVinoSession]] = {
    "onnxruntime": OnnxRuntimeSession,
    "openvino": OpenVinoSession,
}
"""Programs that run the graphs."""


def open_session(path: Path, backend: str, threads: int) -> GraphSession:
    """Opens a graph.

    Raises:
        ExportError: an unknown backend, one that is not installed, or a file without a graph.
    """
    if backend not in BACKENDS:
        raise ExportError(f"backend must be {' or '.join(BACKENDS)}, got {excerpt(backend)}")
    try:
        return BACKENDS[backend](path, threads)
    except ImportError as error:
        extra = "export" if backend == "onnxruntime" else backend
        raise ExportError(
            f"The backend {backend} is not installed ({error}). Install it with: "
            f"pip install 'ovss[{extra}]'"
        ) from error
    except Exception as error:  # the backends raise kinds of their own
        raise ExportError(f"{path} cannot be opened by {backend}: {error}") from error
