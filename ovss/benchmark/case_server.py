"""Process that measures cases of one checkout of ovss, one turn at a time.

`other_checkout` starts this file by its path, so that it runs with the package of any commit. It
reads requests and writes answers, one JSON object a line, until its input ends:

    {"plan": {...}, "threads": 1}    ->  {"cases": [["cat_seg_mini", "150"], ...]}
    {"turn": 0}                      ->  {"whole": [wall, processor], "stages": {...}, "kept": 32.0}
    {"labels": 0, "file": "a.npy"}   ->  {"shape": [640, 640]}, or null without a label map

An exception gives ``{"error": "..."}``. Nothing of ovss is imported before the first request.
"""

from __future__ import annotations

import configparser
import importlib.abc
import importlib.util
import json
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, TextIO


class CheckoutFinder(importlib.abc.MetaPathFinder):
    """Finds the packages of a checkout before those that are installed.

    Args:
        root: folder of the checkout, with ``setup.cfg``.
    """

    def __init__(self, root: Path) -> None:
        setup = configparser.ConfigParser()
        setup.read(root / "setup.cfg")
        lines = setup.get("options", "package_dir", fallback="").split("\n")
        pairs = [line.split("=") for line in lines if "=" in line]
        self.folders = {"ovss": root / "ovss"}
        self.folders |= {name.strip(): root / folder.strip() for name, folder in pairs}

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Spec of one of the packages; None for all other modules."""
        folder = self.folders.get(name)
        if folder is None:
            return None
        places = [str(folder)]
        return importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=places
        )


class Server:
    """Cases of a plan with a clock, which answers requests."""

    def __init__(self) -> None:
        self.cases: list[Any] = []
        self.clock: Any = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Answers one request of the table above."""
        if "plan" in request:
            return self._prepare(request["plan"], request["threads"])
        if "turn" in request:
            return self._turn(self.cases[request["turn"]])
        return self._labels(self.cases[request["labels"]], request["file"])

    def _prepare(self, plan: dict[str, Any], threads: int) -> dict[str, Any]:
        import torch

        from ovss.benchmark.clock import Clock
        from ovss.benchmark.speed_plan import SpeedPlan, make_cases

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        if plan.get("size"):
            plan["size"] = tuple(plan["size"])
        settings = SpeedPlan(**plan)
        self.cases, self.clock = make_cases(settings), Clock(torch.device(settings.device))
        return {"cases": [[case.method, case.vocabulary] for case in self.cases]}

    def _turn(self, case: Any) -> dict[str, Any]:
        case.measure(self.clock)
        whole, stages = case.spans.pop(), case.stages.pop()
        return {
            "whole": [whole.wall, whole.processor],
            "stages": {name: [span.wall, span.processor] for name, span in stages.items()},
            "kept": case.kept,
        }

    def _labels(self, case: Any, file: str) -> dict[str, Any] | None:
        import numpy as np
        import torch

        labels = case.run(self.clock)
        if not isinstance(labels, torch.Tensor):
            return None
        np.save(file, labels.cpu().numpy())
        return {"shape": list(labels.shape)}


def serve(requests: TextIO, answers: TextIO) -> None:
    """Answers requests until there are no more."""
    server = Server()
    for line in requests:
        try:
            answer = server.answer(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


def main() -> None:
    """Serves the checkout that the first argument names; without it, the installed package."""
    # answers have the first output of this process for themselves; all else goes to stderr
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path.pop(0)  # the folder of this file has modules with names of the standard library
    if len(sys.argv) > 1:
        sys.meta_path.insert(0, CheckoutFinder(Path(sys.argv[1])))
    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
