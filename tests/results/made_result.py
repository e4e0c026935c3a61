"""Results made without an evaluation."""

from __future__ import annotations

from dataclasses import replace

from ovss.io.hashing import short_hash
from ovss.results.result_file import DataRecord, ProtocolRecord, Result, RunRecord, WeightsRecord


def made_result(
    method: str = "cat_seg_vitb16",
    data: str = "ade20k_150",
    miou: float = 31.25,
    protocol: str = "cat_seg",
    **change,
) -> Result:
    """Result with plausible values; `change`: other fields of the result."""
    metrics = {"mIoU": miou, "mIoU_union": miou - 1, "hIoU": 0.0, "mIoU_unseen": None}
    categories = {"wall": {"iou": 70.5, "accuracy": 80.0, "seen": True, "pixels": 9}}
    run = RunRecord(
        command=["ovss", "test", method],
        started="2026-01-02T03:04:05+00:00",
        ended="2026-01-02T03:14:05+00:00",
        seconds=600.0,
        seconds_per_image=0.3,
        sessions=1,
        ranks=1,
        peak_memory={"resident": 3 << 30},
        device={"kind": "cpu", "name": "a processor", "threads": 1},
        versions={"ovss": "0.1.0", "torch": "2.9.0"},
    )
    result = Result(
        metrics=metrics,
        headline="mIoU",
        categories=categories,
        protocol=ProtocolRecord(
            protocol, short_hash(protocol), short_hash([protocol, data]), {"name": protocol}
        ),
        data=DataRecord(data, f"data/{data}", 2000, 150, f"census of {data}"),
        weights=WeightsRecord("w.safetensors", "ab" * 32, "clip.pt", "cd" * 32, "ef" * 32),
        run=run,
        config_name=method,
        config="model = dict()\n",
    )
    return replace(result, **change)
