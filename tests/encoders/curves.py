"""Loss curves of the scripts that train the bundled CLIPs."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType


def short_curve(script: ModuleType, folder: Path, batch: int, *flags: str) -> dict[int, float]:
    """Loss by step of a run of three steps; the log in `folder` may come from several calls."""
    arguments = ["--work-dir", str(folder), "--steps", "3", "--batch", str(batch)]
    arguments += ["--workers", "0", "--log-every", "1", "--test-count", str(batch), *flags]
    script.train(script.parse(arguments))
    lines = (folder / "log.jsonl").read_text().splitlines()
    return {record["step"]: record["loss"] for record in map(json.loads, lines)}
