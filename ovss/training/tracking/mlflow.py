"""Curves in MLflow."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from ovss.io.excerpts import shortened

from .tracker import Row, Sent, TrackedRun, Tracker, TrackingError, scalars_of

__all__ = ["MlflowTracker"]

_LOCAL = "local"
_MOST_METRICS, _MOST_PARAMS = 1000, 100
"""Largest numbers of values in a request that every MLflow server takes."""
_SQLITE = "sqlite:///"
_NOT_IN_NAMES = re.compile(r"[^\w\-. /]")


class MlflowTracker(Tracker):
    """Run in MLflow: metrics, the settings as parameters, and the config as an artifact.

    mmengine's MLflowVisBackend cannot continue a run, writes to files in a way that MLflow 3.7
    refuses, fails above 100 parameters, and changes the tracking address of the whole process. This
    class therefore uses MLflow's client itself.

    Points cannot be removed there. A resumed run therefore keeps those that the interrupted run
    wrote after the checkpoint, and adds the points after them.

    Args:
        uri: address of the tracking server or store; None: ``MLFLOW_TRACKING_URI``, or files in the
            folder ``tracking/mlflow`` of the working directory.
        experiment: name of the experiment; None: ``MLFLOW_EXPERIMENT_NAME``, or ovss.
        run: name of the run; None: that of the working directory.
    """

    name: ClassVar[str] = "mlflow"
    package: ClassVar[str] = "mlflow"

    def __init__(
        self, uri: str | None = None, experiment: str | None = None, run: str | None = None
    ) -> None:
        self.uri, self.experiment, self.run_name = uri, experiment, run
        self._id: str | None = None

    def open(self, run: TrackedRun) -> str:
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI") or _LOCAL
        if uri == _LOCAL:
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # MLflow 3.7 asks for it
        # rows are kept and sent later, so a training need not wait long for a server
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        where, _, known = (run.identity or "").rpartition(" ")
        self.run, self.is_new = run, where != uri
        try:
            self._id = self._opened(uri, None if self.is_new else known)
        except Exception as error:  # MLflow raises plain Exceptions too
            text = shortened(" ".join(str(error).split()), 200)
            again = "" if self.is_new else f" To begin a new run, delete {run.folder}."
            raise TrackingError(
                f"MLflow at {uri} cannot be used for this training ({text}).{again} Correct the "
                f"address in track or in MLFLOW_TRACKING_URI, or leave mlflow out"
            ) from error
        return f"{uri} {self._id}"

    def begin(self, sent: Sent, iteration: int) -> Sent:
        from mlflow.entities import Param

        # parameters are final, so a resumed run adds only those that are new
        present = {} if self.is_new else self._client.get_run(self._id).data.params
        settings = {_name(key): value for key, value in self.run.short_settings().items()}
        params = [Param(key, value) for key, value in settings.items() if key not in present]
        for start in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(self._id, params=params[start : start + _MOST_PARAMS])
        name = f"config_from_{iteration}.py" if iteration else "config.py"
        self._client.log_text(self._id, self.run.config, name)
        return sent

    def write(self, rows: Sequence[Row]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [
            Metric(_name(key), value, now, int(row["iter"]))
            for row in rows
            for key, value in scalars_of(row).items()
        ]
        for start in range(0, len(metrics), _MOST_METRICS):
            self._client.log_batch(self._id, metrics=metrics[start : start + _MOST_METRICS])

    def close(self, complete: bool) -> None:
        if self._id is not None:
            self._client.set_terminated(self._id, "FINISHED" if complete else "FAILED")

    def _opened(self, uri: str, known: str | None) -> str:
        """Identity of a new run, or of a known one that continues."""
        from mlflow import MlflowClient
        from mlflow.entities import RunStatus

        folder = self.run.folder / self.name
        self._client: Any = MlflowClient(folder.as_uri() if uri == _LOCAL else uri)
        if known is not None:
            status = RunStatus.to_string(RunStatus.RUNNING)
            self._client.update_run(known, status=status)
            return known
        name = self.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "ovss"
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None:
            identity = experiment.experiment_id
        else:
            identity = self._client.create_experiment(name, artifact_location=_place_of_files(uri))
        run = self._client.create_run(identity, run_name=self.run_name or self.run.name)
        return str(run.info.run_id)


def _place_of_files(uri: str) -> str | None:
    """Address for the files of a new experiment; None: the service chooses.

    For a SQLite file MLflow would choose the current folder.

    >>> _place_of_files("sqlite:////data/runs.db")
    'file:///data/runs_files'
    """
    if not uri.startswith(_SQLITE):
        return None
    path = Path(uri[len(_SQLITE) :]).absolute()
    return path.with_name(f"{path.stem}_files").as_uri()


def _name(key: str) -> str:
    """Name with the characters that MLflow takes."""
    return _NOT_IN_NAMES.sub("_", key)
