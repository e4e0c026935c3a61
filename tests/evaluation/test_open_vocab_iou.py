"""IoU against mmseg's, both conventions for absent categories, seen and unseen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmseg.evaluation.metrics import IoUMetric

from ovss.evaluation.iou import AreaCounts, IoUReport, harmonic_mean
from ovss.evaluation.metric import OpenVocabIoU

T = 12


def samples(count: int = 5, absent: tuple[int, ...] = (3, 7)) -> list[dict]:
    """Random label maps; `absent` are never true, 7 is never predicted either; some ignored."""
    out = []
    for i in range(count):
        generator = torch.Generator().manual_seed(i)
        labels = torch.randint(-1, T, (1, 20, 30), generator=generator)
        predicted = torch.randint(0, T, (1, 20, 30), generator=generator)
        keep = torch.rand(1, 20, 30, generator=generator) < 0.6
        predicted = torch.where(keep & (labels >= 0), labels, predicted)
        for category in absent:
            labels[labels == category] = 0
        predicted[predicted == 7] = 1
        out.append({"pred_sem_seg": {"data": predicted}, "gt_sem_seg": {"data": labels}})
    return out


def scored(metric, data: list[dict], **meta) -> dict:
    metric.dataset_meta = {"classes": tuple(f"c{i}" for i in range(T)), **meta}
    for sample in data:
        metric.process({}, [sample])
    return metric.evaluate(len(data))


def test_equals_mmsegs_metric_on_the_union_convention():
    data = samples()
    theirs = scored(IoUMetric(ignore_index=-1), data)
    metric = OpenVocabIoU()
    ours = scored(metric, data)
    assert ours["mIoU_union"] == pytest.approx(theirs["mIoU"], abs=0.0051)
    assert ours["pACC"] == pytest.approx(theirs["aAcc"], abs=0.0051)
    areas = [
        IoUMetric.intersect_and_union(s["pred_sem_seg"]["data"], s["gt_sem_seg"]["data"], T, -1)
        for s in data
    ]
    both, union = (sum(a[i] for a in areas).numpy() for i in (0, 1))
    with np.errstate(invalid="ignore"):
        expected = 100 * both / union
    np.testing.assert_allclose(metric.report.iou_T, expected, rtol=1e-6)


def test_ground_truth_convention_leaves_out_what_is_only_predicted():
    data = samples()
    metric = OpenVocabIoU()
    result = scored(metric, data)
    iou = metric.report.iou_T
    true = [i for i in range(T) if i not in (3, 7)]
    assert iou[3] == 0
    assert np.isnan(iou[7])
    assert result["mIoU"] == pytest.approx(iou[true].mean())
    assert result["mIoU_union"] == pytest.approx(iou[[*true, 3]].mean())
    assert result["mIoU"] > result["mIoU_union"]


def test_seen_unseen_and_harmonic_mean():
    metric = OpenVocabIoU()
    result = scored(metric, samples(), seen=("C0", "c1, thing", "c2", "c3"))
    iou = metric.report.iou_T
    assert result["mIoU_seen"] == pytest.approx(iou[[0, 1, 2]].mean())
    assert result["mIoU_unseen"] == pytest.approx(iou[[4, 5, 6, 8, 9, 10, 11]].mean())
    assert result["hIoU"] == harmonic_mean(result["mIoU_seen"], result["mIoU_unseen"])
    assert scored(OpenVocabIoU(seen=["c0"]), samples(), seen=("c5",))["mIoU_seen"] == iou[0]


def test_all_seen_has_no_unseen_figure():
    result = scored(OpenVocabIoU(), samples())
    assert np.isnan(result["mIoU_unseen"])
    assert result["hIoU"] == 0


def test_counts_are_exact_where_single_precision_is_not():
    counts = AreaCounts(2)
    counts.both_T[0] = counts.predicted_T[0] = counts.true_T[0] = 2**24
    one = torch.zeros(1, 1, dtype=torch.long)
    counts.add(one, one)
    assert counts.both_T[0] == 2**24 + 1


def test_memory_follows_the_vocabulary_not_the_pictures():
    metric = OpenVocabIoU()
    scored(metric, samples(3))
    metric.results.clear()
    for sample in samples(8):
        metric.process({}, [sample])
    assert len(metric.results) == 1
    assert metric.results[0].both_T.shape == (T,)


def test_processes_merge():
    data = samples(6)
    parts = []
    for half in (data[:3], data[3:]):
        metric = OpenVocabIoU()
        metric.dataset_meta = {"classes": tuple(f"c{i}" for i in range(T))}
        metric.process({}, half)
        parts += metric.results
    metric = OpenVocabIoU()
    whole = scored(metric, data)
    assert metric.compute_metrics(parts) == pytest.approx(whole, nan_ok=True)


def test_an_index_outside_the_categories_and_another_size_are_errors():
    counts = AreaCounts(3)
    good = torch.zeros(2, 2, dtype=torch.long)
    with pytest.raises(ValueError, match=r"label holds 0\.\.3"):
        counts.add(good, torch.tensor([[0, 1], [2, 3]]))
    with pytest.raises(ValueError, match="does not fit"):
        counts.add(good, torch.zeros(2, 3, dtype=torch.long))


def test_the_table_and_json_name_every_category_that_occurs():
    counts = AreaCounts(3)
    labels = torch.tensor([[0, 0, 1, -1]])
    counts.add(torch.tensor([[0, 1, 1, 2]]), labels)
    report = IoUReport(("sky", "road", "boat"), np.array([True, False, False]), counts)
    table = report.table()
    assert "sky" in table
    assert "boat" not in table
    assert report.as_dict()["categories"]["road"] == dict(
        iou=50.0, accuracy=100.0, seen=False, pixels=1, predicted=2
    )


def test_mmengine_evaluator_takes_it():
    evaluator = Evaluator(OpenVocabIoU(prefix="mini"))
    evaluator.dataset_meta = {"classes": tuple(f"c{i}" for i in range(T))}
    evaluator.process(data_samples=samples(2), data_batch={})
    assert "mini/mIoU" in evaluator.evaluate(2)
