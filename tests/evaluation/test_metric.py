"""The metric: against mmseg's IoUMetric and detectron2's rule, written out here; its parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmseg.evaluation.metrics import IoUMetric

from ovss.evaluation.iou import AreaCounts, IoUReport, harmonic_mean
from ovss.evaluation.metric import OpenVocabIoU

CASES = range(40)


def random_world(seed: int) -> tuple[int, list[dict], np.ndarray]:
    """T, a few pairs of maps of one random confusion matrix, and that matrix.

    Returns:
        T; samples; counts (T + 1, T + 1), rows predicted, columns true, the last: ignored.
    """
    draw = np.random.default_rng(seed)
    classes = int(draw.integers(2, 300))
    confusion = draw.integers(0, 50, (classes + 1, classes + 1))
    confusion *= draw.random(confusion.shape) < min(1.0, 12 / classes)
    confusion[np.diag_indices(classes)] = draw.integers(0, 900, classes)
    never_true = draw.random(classes) < 0.3
    never_true[0] = False
    confusion[:, :-1][:, never_true] = 0
    confusion[:-1][draw.random(classes) < 0.2] = 0  # and some never predicted
    confusion[-1] = 0  # a prediction is never "ignored"
    confusion[0, 0] += 1
    predicted, true = (np.repeat(x.ravel(), confusion.ravel()) for x in np.indices(confusion.shape))
    true = np.where(true == classes, -1, true)
    order = draw.permutation(len(true))
    samples = [
        {
            key: {"data": torch.from_numpy(values[part])[None, None]}
            for key, values in (("pred_sem_seg", predicted), ("gt_sem_seg", true))
        }
        for part in np.array_split(order, 3)
    ]
    return classes, samples, confusion


def detectron2_rule(confusion: np.ndarray, version: str) -> dict[str, float]:
    """What detectron2's SemSegEvaluator makes of its confusion matrix, rows predicted.

    Up to 0.6 the denominator counts classes whose union is not empty; the main branch, and what
    the CAT-Seg, SED and FC-CLIP papers report, those that occur in the ground truth.
    """
    known = confusion[:-1, :-1].astype(float)
    hit, true, predicted = known.diagonal(), known.sum(0), known.sum(1)
    union = true + predicted - hit
    counted = true > 0
    iou = np.divide(hit, union, out=np.zeros_like(hit), where=union > 0)
    classes = counted.sum() if version == "main" else (true + predicted > 0).sum()
    return {
        "mIoU": 100 * iou[counted].sum() / classes,
        "fwIoU": 100 * (iou[counted] * (true / true.sum())[counted]).sum(),
        "mACC": 100 * (hit[counted] / true[counted]).sum() / counted.sum(),
        "pACC": 100 * hit.sum() / true.sum(),
    }


def scored(metric, classes: int, samples: list[dict], **meta) -> dict:
    metric.dataset_meta = {"classes": tuple(f"c{i}" for i in range(classes)), **meta}
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(len(samples))


@pytest.mark.parametrize("seed", CASES)
def test_equals_detectron2s_rule_under_both_conventions(seed):
    classes, samples, confusion = random_world(seed)
    ours = scored(OpenVocabIoU(), classes, samples)
    main, old = (detectron2_rule(confusion, version) for version in ("main", "0.6"))
    for name, value in main.items():
        assert ours[name] == pytest.approx(value, abs=1e-10)
    assert ours["mIoU_union"] == pytest.approx(old["mIoU"], abs=1e-10)


@pytest.mark.parametrize("seed", CASES)
def test_equals_mmsegs_metric(seed):
    classes, samples, _ = random_world(seed)
    metric = OpenVocabIoU()
    ours = scored(metric, classes, samples)
    theirs = scored(IoUMetric(ignore_index=-1), classes, samples)  # rounds to two places
    assert ours["mIoU_union"] == pytest.approx(theirs["mIoU"], abs=0.00501)
    assert ours["pACC"] == pytest.approx(theirs["aAcc"], abs=0.00501)
    assert ours["mACC"] == pytest.approx(theirs["mAcc"], abs=0.00501)
    areas = [
        IoUMetric.intersect_and_union(
            s["pred_sem_seg"]["data"][0], s["gt_sem_seg"]["data"][0], classes, -1
        )
        for s in samples
    ]
    total = [sum(area[i] for area in areas) for i in range(4)]
    exact = IoUMetric.total_area_to_metrics(*total, metrics=["mIoU"])
    np.testing.assert_allclose(metric.report.iou_T, 100 * exact["IoU"], atol=1e-5)
    np.testing.assert_allclose(metric.report.accuracy_T, 100 * exact["Acc"], atol=1e-5)


def test_words_become_classes_before_they_are_counted():
    """PAS-20b's rule at small scale: words 2..4 all stand for class 2, the background."""
    labels = torch.tensor([[[0, 1, 2, 2, -1, 2]]])
    words = torch.tensor([[[0, 3, 2, 4, 4, 1]]])
    sample = {"pred_sem_seg": {"data": words}, "gt_sem_seg": {"data": labels}}
    metric = OpenVocabIoU()
    metric.dataset_meta = {"classes": ("a", "b", "background"), "word_class": (0, 1, 2, 2, 2)}
    metric.process({}, [sample])
    metric.evaluate(1)
    assert metric.report.iou_T.tolist() == [100, 0, 50]


def test_seen_rules_are_named_and_give_different_figures():
    names = ("sofa, couch", "Cat", "tree")
    maps = torch.tensor([[[0, 0, 1, 2, 2, 2]]])
    truth = torch.tensor([[[0, 1, 1, 2, 2, 0]]])
    found = {}
    for rule in ("any_synonym", "first_synonym", "exact"):
        metric = OpenVocabIoU(seen=["couch", "cat"], seen_rule=rule)
        metric.dataset_meta = {"classes": names, "seen": ("tree",)}
        metric.process({}, [{"pred_sem_seg": {"data": maps}, "gt_sem_seg": {"data": truth}}])
        metric.evaluate(1)
        found[rule] = metric.report.seen_T.tolist()
        assert "is seen if" in metric.report.note
        assert "the dataset itself marks" in metric.report.note
    assert found["any_synonym"] == [True, True, False]
    assert found["first_synonym"] == [False, True, False]
    assert found["exact"] == [False, False, False]
    with pytest.raises(ValueError, match="seen_rule must be one of any_synonym"):
        OpenVocabIoU(seen_rule="fuzzy")


def test_the_quoted_figure_follows_the_convention():
    classes, samples, _ = random_world(3)
    for absent, name in (("ground_truth", "mIoU"), ("union", "mIoU_union")):
        metric = OpenVocabIoU(absent=absent)
        figures = scored(metric, classes, samples)
        assert metric.report.headline == name
        assert f"quoted: {name} {figures[name]:.2f} (mean over" in metric.report.table()
    with pytest.raises(ValueError, match="absent must be one of ground_truth, union"):
        OpenVocabIoU(absent="both")


T = 12


def few_samples(count: int = 5, absent: tuple[int, ...] = (3, 7)) -> list[dict]:
    """Random maps; `absent` are never true, 7 is never predicted either; some are ignored."""
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


def test_ground_truth_convention_leaves_out_what_is_only_predicted():
    data = few_samples()
    metric = OpenVocabIoU()
    result = scored(metric, T, data)
    iou = metric.report.iou_T
    true = [i for i in range(T) if i not in (3, 7)]
    assert iou[3] == 0
    assert np.isnan(iou[7])
    assert result["mIoU"] == pytest.approx(iou[true].mean())
    assert result["mIoU_union"] == pytest.approx(iou[[*true, 3]].mean())
    assert result["mIoU"] > result["mIoU_union"]


def test_seen_unseen_and_harmonic_mean():
    metric = OpenVocabIoU()
    result = scored(metric, T, few_samples(), seen=("C0", "c1, thing", "c2", "c3"))
    iou = metric.report.iou_T
    assert result["mIoU_seen"] == pytest.approx(iou[[0, 1, 2]].mean())
    assert result["mIoU_unseen"] == pytest.approx(iou[[4, 5, 6, 8, 9, 10, 11]].mean())
    assert result["hIoU"] == harmonic_mean(result["mIoU_seen"], result["mIoU_unseen"])
    assert scored(OpenVocabIoU(seen=["c0"]), T, few_samples(), seen=("c5",))["mIoU_seen"] == iou[0]


def test_all_seen_has_no_unseen_figure():
    result = scored(OpenVocabIoU(), T, few_samples())
    assert np.isnan(result["mIoU_unseen"])
    assert np.isnan(result["hIoU"])


def test_counts_are_exact_where_single_precision_is_not():
    counts = AreaCounts(2)
    counts.both_T[0] = counts.predicted_T[0] = counts.true_T[0] = 2**24
    one = torch.zeros(1, 1, dtype=torch.long)
    counts.add(one, one)
    assert counts.both_T[0] == 2**24 + 1


def test_memory_follows_the_vocabulary_not_the_images():
    metric = OpenVocabIoU()
    scored(metric, T, few_samples(3))
    metric.results.clear()
    for sample in few_samples(8):
        metric.process({}, [sample])
    assert len(metric.results) == 1
    assert metric.results[0].both_T.shape == (T,)


def test_processes_merge():
    data = few_samples(6)
    parts = []
    for half in (data[:3], data[3:]):
        metric = OpenVocabIoU()
        metric.dataset_meta = {"classes": tuple(f"c{i}" for i in range(T))}
        metric.process({}, half)
        parts += metric.results
    metric = OpenVocabIoU()
    whole = scored(metric, T, data)
    assert metric.compute_metrics(parts) == pytest.approx(whole, nan_ok=True)


def test_an_index_outside_the_categories_and_another_size_are_errors():
    counts = AreaCounts(3)
    good = torch.zeros(2, 2, dtype=torch.long)
    with pytest.raises(ValueError, match=r"Label indices must be in 0\.\.2 .* span 0\.\.3"):
        counts.add(good, torch.tensor([[0, 1], [2, 3]]))
    with pytest.raises(ValueError, match="must have the same shape"):
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
        iou=50.0, accuracy=100.0, seen=False, pixels=1, predicted=2, correct=1
    )


def test_mmengine_evaluator_takes_it():
    evaluator = Evaluator(OpenVocabIoU(prefix="mini"))
    evaluator.dataset_meta = {"classes": tuple(f"c{i}" for i in range(T))}
    evaluator.process(data_samples=few_samples(2), data_batch={})
    assert "mini/mIoU" in evaluator.evaluate(2)
