"""The metric that mmengine's loops call: words to classes, counts, and which classes were seen."""

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

from ovss.data.labels import category_key
from ovss.protocols.protocol import ABSENT, SEEN_RULES
from ovss.selection import IGNORE
from ovss.structures import split_synonyms
from ovss.vocabularies import load_names

from .iou import AreaCounts, IoUReport

_KEYS: dict[str, Callable[[str], frozenset[str]]] = {
    "any_synonym": category_key,
    "first_synonym": lambda name: category_key(split_synonyms(name)[0]),
    "exact": lambda name: frozenset({name}),
}


@METRICS.register_module()
class OpenVocabIoU(BaseMetric):
    """Mean IoU under both conventions for absent classes, accuracies, seen / unseen / harmonic.

    mmseg's IoUMetric keeps three rows of T numbers for every picture and sums them in single
    precision; this one keeps three rows in all, and integers. Equal to it wherever it is exact.

    Args:
        seen: names that training showed: a list, a text file, or a registered vocabulary. None:
            those that the data set marks as seen.
        seen_rule: when two names are the same class, one of `SEEN_RULES`.
        absent: which convention for absent classes the protocol quotes: ``"ground_truth"`` or
            ``"union"``. Both are always computed.
        prefix: of the names of the figures in logs.

    Predictions are words; where the data set's metainfo has a ``word_class`` they become classes
    first. After an evaluation `report` holds the figures of every class. In distributed runs the
    sampler must not repeat pictures: DefaultSampler with ``shuffle=False, round_up=False``.

    Raises:
        ValueError: an unknown rule or convention.
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
        """Count a batch: `pred_sem_seg` against `gt_sem_seg`, each (1, H, W)."""
        counts, word_class = self._counts(), self.dataset_meta.get("word_class")
        for sample in data_samples:
            if "gt_sem_seg" not in sample:
                raise ValueError(f"{sample.get('img_path')} has no ground truth to score against")
            predicted_HW = to_classes(sample["pred_sem_seg"]["data"][0], word_class)
            counts.add(predicted_HW, sample["gt_sem_seg"]["data"][0])

    def state(self) -> dict[str, list[int]]:
        """The counts so far, for who stops an evaluation and goes on later."""
        counts = self._counts()
        rows = ("both", counts.both_T), ("predicted", counts.predicted_T), ("true", counts.true_T)
        return {name: row_T.tolist() for name, row_T in rows}

    def add_state(self, state: Mapping[str, list[int]]) -> None:
        """Count what another process, or an earlier session, has counted.

        Raises:
            ValueError: counts of another number of classes.
        """
        counts = self._counts()
        if any(len(state[name]) != len(counts) for name in ("both", "predicted", "true")):
            raise ValueError(f"counts of {len(state['true'])} classes, here are {len(counts)}")
        counts.both_T += np.asarray(state["both"], np.int64)
        counts.predicted_T += np.asarray(state["predicted"], np.int64)
        counts.true_T += np.asarray(state["true"], np.int64)

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather the counts of all processes, one entry from each."""
        self._counts()
        return super().evaluate(size)

    def compute_metrics(self, results: list[AreaCounts]) -> dict[str, float]:
        meta, counts = self.dataset_meta, AreaCounts(len(results[0]))
        for part in results:
            counts.merge(part)
        names = tuple(meta["classes"])
        shown = meta.get("seen", names) if self.seen is None else self.seen
        seen_T, note = seen_classes(names, shown, self.seen_rule), seen_note(shown, self.seen_rule)
        if self.seen is not None and "seen" in meta:
            marked_T = seen_classes(names, meta["seen"], self.seen_rule)
            if marked_T.sum() < len(names) and (marked_T != seen_T).any():
                note += f"; not by the data set's own marks, which are {marked_T.sum()} classes"
        self.report = IoUReport(names, seen_T, counts, self.absent, note)
        print_log(self.report.table(), logger="current")
        return self.report.summary()

    def _counts(self) -> AreaCounts:
        if not self.results:
            self.results.append(AreaCounts(len(self.dataset_meta["classes"])))
        return self.results[0]


def to_classes(predicted_HW: Tensor, word_class: Sequence[int] | None) -> Tensor:
    """Every predicted word as the class it stands for.

    Args:
        predicted_HW: indices into W words, or IGNORE; any shape.
        word_class: W classes, the i-th being what word i counts as; None: each word is a class.

    Returns:
        indices into the classes; IGNORE stays.

    Raises:
        ValueError: an index outside the W words.

    >>> to_classes(torch.tensor([0, 1, 2, -1]), [0, 0, 1]).tolist()
    [0, 0, 1, -1]
    """
    if word_class is None:
        return predicted_HW
    inside = (predicted_HW >= 0) & (predicted_HW < len(word_class))
    if not bool((inside | (predicted_HW == IGNORE)).all()):
        low, high = int(predicted_HW.min()), int(predicted_HW.max())
        raise ValueError(
            f"a prediction holds {low}..{high}, outside the {len(word_class)} words that were asked"
        )
    table_W = torch.tensor([*word_class, IGNORE], device=predicted_HW.device)
    return table_W[predicted_HW.long()]  # IGNORE is -1: the last entry


def seen_classes(
    names: Sequence[str], shown: Sequence[str], rule: str = "any_synonym"
) -> NDArray[np.bool_]:
    """Which of T names are among those that training showed; bool (T,).

    Args:
        names: T classes; ``"sofa, couch"`` is one with two synonyms.
        shown: the names of training.
        rule: one of `SEEN_RULES`.

    >>> names, shown = ["sofa, couch", "Cat"], ["couch", "cat"]
    >>> [seen_classes(names, shown, rule).tolist() for rule in SEEN_RULES]
    [[True, True], [False, True], [False, False]]
    """
    key = _KEYS[rule]
    known = frozenset().union(*map(key, shown))
    return np.array([bool(key(name) & known) for name in names], dtype=bool)


def seen_note(shown: Sequence[str], rule: str) -> str:
    """One line to print beside the figures."""
    return f"a class is seen if {SEEN_RULES[rule]} one of the {len(shown)} that training showed"
