"""Results made without an evaluation, whose figures agree with one another."""

from __future__ import annotations

from dataclasses import replace

from ovss.io.hashing import content_hash, short_hash
from ovss.results.figures import recomputed_metrics
from ovss.results.result_file import DataRecord, ProtocolRecord, Result, RunRecord, WeightsRecord

PIXELS, STRAY = 10**12, 10**6


def class_rows(miou: float, names: tuple[str, ...] = ("wall", "floor", "ghost")) -> dict:
    """Rows of two equal classes with this IoU and of one that is only predicted, by mistake."""
    share = miou / 100
    correct = int(share * (2 * PIXELS - STRAY) / (1 + share))
    union = 2 * PIXELS - STRAY - correct
    row = {
        "iou": round(100 * correct / union, 4),
        "accuracy": round(100 * correct / PIXELS, 4),
        "seen": True,
        "pixels": PIXELS,
        "predicted": PIXELS - STRAY,
        "correct": correct,
    }
    stray = {"iou": 0.0, "accuracy": None, "pixels": 0, "predicted": 2 * STRAY, "correct": 0}
    return {names[0]: row, names[1]: dict(row), names[2]: {"seen": True, **stray}}


def made_protocol(name: str = "cat_seg", data: str = "ade20k_150") -> ProtocolRecord:
    """Protocol with hashes of its fields."""
    fields = {"name": name, "scores": {"absent": "ground_truth"}, "data": {"name": data}}
    return protocol_of_fields(name, fields)


def protocol_of_fields(name: str, fields: dict) -> ProtocolRecord:
    """Protocol of these fields, with their hashes."""
    return ProtocolRecord(name, short_hash({**fields, "data": None}), short_hash(fields), fields)


def made_result(
    method: str = "cat_seg_vitb16",
    data: str = "ade20k_150",
    miou: float = 31.25,
    protocol: str = "cat_seg",
    images: int = 2000,
    names: tuple[str, ...] = ("wall", "floor", "ghost"),
    **change,
) -> Result:
    """Result with plausible values; `change`: other fields of the result."""
    rows = class_rows(miou, names)
    run = RunRecord(
        command=["ovss", "test", method],
        started="2026-01-02T03:04:05+00:00",
        ended="2026-01-02T03:14:05+00:00",
        seconds=600.0,
        seconds_per_image=600.0 / images,
        sessions=1,
        ranks=1,
        peak_memory={"resident": 3 << 30},
        device={"kind": "cpu", "name": "a processor", "threads": 1},
        versions={"ovss": "0.1.0", "torch": "2.9.0"},
    )
    census = content_hash([list(rows), [row["pixels"] for row in rows.values()]])
    result = Result(
        metrics=recomputed_metrics(rows)[0],
        headline="mIoU",
        categories=rows,
        protocol=made_protocol(protocol, data),
        data=DataRecord(data, f"data/{data}", images, len(rows), census),
        weights=WeightsRecord("w.safetensors", "ab" * 32, "clip.pt", "cd" * 32, "ef" * 32),
        run=run,
        config_name=method,
        config="model = dict()\n",
    )
    return replace(result, **change)
