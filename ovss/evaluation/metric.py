"""Metric for mmengine loops: maps categories to classes, counts pixels, finds seen classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS
from numpy.typing import NDArray
from torch import Tensor

from ovss.protocols.protocol import ABSENT, SEEN_RULES
from ovss.selection import IGNORE
from ovss.structures import split_synonyms
from ovss.vocabularies import load_names
from ovss.vocabularies.seen import category_key

from .iou import AreaCounts, IoUReport

_KEYS: dict[str, Callable[[str], frozenset[str]]] = {
    "any_synonym": category_key,
    "first_synonym": lambda name: category_key(split_synonyms(name)[0]),
    "exact": lambda name: frozenset({name}),
}


@METRICS.register_module()
class OpenVocabIoU(BaseMetric):
    """Mean IoU under both conventions for absent classes, accuracies, and seen / unseen means.

    mmseg's IoUMetric keeps several rows of T numbers for every image and sums them in single
    precision. This metric keeps three rows of integers in total. Both agree wherever single
    precision is exact.

    Args:
        seen: class names seen in training: a list, a text file or a registered vocabulary. None:
            the classes that the dataset marks as seen.
        seen_rule: rule that matches class names, a key of `SEEN_RULES`.
        absent: convention of the quoted mIoU: ``"ground_truth"`` or ``"union"``. Both are always
            computed.
        prefix: prefix of metric names in logs.

    Predictions index the vocabulary. If the dataset's metainfo has ``word_class``, they are mapped
    to classes first. After an evaluation `report` holds the metrics of every class. In distributed
    runs the sampler must not repeat images (DefaultSampler with ``shuffle=False,
    round_up=False``).

    Raises:
        ValueError: the rule or the convention is unknown.
    """

    default_prefix = None

    def __init__(
        self,
        seen: str | Sequence[str] | None = None,
        seen_rule: str = "any_synonym",
        absent: str = "ground_truth",
        prefix: str | None = None,
    ) -> None:
        super().__init__(prefix=prefix)
        if seen_rule not in SEEN_RULES:
            raise ValueError(f"seen_rule must be one of {', '.join(SEEN_RULES)}, got {seen_rule!r}")
        if absent not in ABSENT:
            raise ValueError(f"absent must be one of {', '.join(ABSENT)}, got {absent!r}")
        self.seen = None if seen is None else load_names(seen)
        self.seen_rule, self.absent = seen_rule, absent
        self.report: IoUReport | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Counts a batch: `pred_sem_seg` against `gt_sem_seg`, each (1, H, W).

        Raises:
            ValueError: an image has no label map.
        """
        counts, word_class = self._counts(), self.dataset_meta.get("word_class")
        for sample in data_samples:
            if "gt_sem_seg" not in sample:
                raise ValueError(
                    f"Every image needs a label map to be evaluated, but "
                    f"{sample.get('img_path')} has none"
                )
            predicted_HW = to_classes(sample["pred_sem_seg"]["data"][0], word_class)
            counts.add(predicted_HW, sample["gt_sem_seg"]["data"][0])

    def state(self) -> dict[str, list[int]]:
        """Counts so far, from which an interrupted evaluation can continue."""
        counts = self._counts()
        rows = ("both", counts.both_T), ("predicted", counts.predicted_T), ("true", counts.true_T)
        return {name: row_T.tolist() for name, row_T in rows}

    def add_state(self, state: Mapping[str, list[int]]) -> None:
        """Adds the counts of another rank or an earlier session.

        Raises:
            ValueError: the counts have a different number of classes.
        """
        counts = self._counts()
        if any(len(state[name]) != len(counts) for name in ("both", "predicted", "true")):
            raise ValueError(
                f"The dataset has {len(counts)} classes, but the counts to add have "
                f"{len(state['true'])}"
            )
        counts.both_T += np.asarray(state["both"], np.int64)
        counts.predicted_T += np.asarray(state["predicted"], np.int64)
        counts.true_T += np.asarray(state["true"], np.int64)

    def evaluate(self, size: int) -> dict[str, float]:
        """Gathers the counts of all ranks and computes the metrics."""
        self._counts()  # a rank without images contributes zeros
        return super().evaluate(size)

    def compute_metrics(self, results: list[AreaCounts]) -> dict[str, float]:
        """Merges the counts of all ranks, logs the table and returns the summary."""
        meta, counts = self.dataset_meta, AreaCounts(len(results[0]))
        for part in results:
            counts.merge(part)
        names = tuple(meta["classes"])
        trained = meta.get("seen", names) if self.seen is None else self.seen
        seen_T = seen_classes(names, trained, self.seen_rule)
        note = seen_note(trained, self.seen_rule)
        if self.seen is not None and "seen" in meta:
            marked_T = seen_classes(names, meta["seen"], self.seen_rule)
            if marked_T.sum() < len(names) and (marked_T != seen_T).any():
                note += (
                    f"; the dataset itself marks a different set of {marked_T.sum()} classes as "
                    f"seen, which is not used"
                )
        self.report = IoUReport(names, seen_T, counts, self.absent, note, meta.get("part", ""))
        print_log(self.report.table(), logger="current")
        return self.report.summary()

    def _counts(self) -> AreaCounts:
        if not self.results:
            self.results.append(AreaCounts(len(self.dataset_meta["classes"])))
        return self.results[0]


def to_classes(predicted_HW: Tensor, word_class: Sequence[int] | None) -> Tensor:
    """Maps predicted categories to the classes that they count as.

    Args:
        predicted_HW: indices into W categories, or IGNORE; any shape.
        word_class: class index of each of the W categories; None: each category is a class.

    Returns:
        Class indices; IGNORE stays IGNORE.

    Raises:
        ValueError: an index is outside the W categories.

    >>> to_classes(torch.tensor([0, 1, 2, -1]), [0, 0, 1]).tolist()
    [0, 0, 1, -1]
    """
    if word_class is None:
        return predicted_HW
    inside = (predicted_HW >= 0) & (predicted_HW < len(word_class))
    if not bool((inside | (predicted_HW == IGNORE)).all()):
        low, high = int(predicted_HW.min()), int(predicted_HW.max())
        raise ValueError(
            f"Predicted indices must be in 0..{len(word_class) - 1} because the vocabulary has "
            f"{len(word_class)} categories, but they span {low}..{high}"
        )
    table_W = torch.tensor([*word_class, IGNORE], device=predicted_HW.device)
    return table_W[predicted_HW.long()]  # IGNORE is -1 and so reads the last entry


def seen_classes(
    names: Sequence[str], trained: Sequence[str], rule: str = "any_synonym"
) -> NDArray[np.bool_]:
    """Boolean array (T,): True for names that match a training name.

    Args:
        names: T class names; ``"sofa, couch"`` is one name with two synonyms.
        trained: class names of the training data.
        rule: rule that matches names, a key of `SEEN_RULES`.

    >>> names, trained = ["sofa, couch", "Cat"], ["couch", "cat"]
    >>> [seen_classes(names, trained, rule).tolist() for rule in SEEN_RULES]
    [[True, True], [False, True], [False, False]]
    """
    key = _KEYS[rule]
    known = frozenset().union(*map(key, trained))
    return np.array([bool(key(name) & known) for name in names], dtype=bool)


def seen_note(trained: Sequence[str], rule: str) -> str:
    """Line that explains the seen rule, printed with the metrics."""
    return f"a class is seen if {SEEN_RULES[rule]} one of the {len(trained)} training classes"
