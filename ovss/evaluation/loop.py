"""Test loop with bounded memory, exact on any number of ranks, resumable after a kill."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sized
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.dist import get_dist_info
from mmengine.evaluator import Evaluator
from mmengine.logging import HistoryBuffer
from mmengine.registry import DATA_SAMPLERS, LOOPS
from mmengine.runner import Runner, TestLoop
from numpy.typing import NDArray
from torch.utils.data import Sampler

from ovss.data.loaders import batches_of
from ovss.distributed import ProcessLostError, all_gather, is_process_lost, unwrap
from ovss.io.advice import advised
from ovss.io.terminal import echo, say
from ovss.layers.precision import check_precision, computing_in
from ovss.protocols.settled import SettledProtocol, read_protocol

from .cost import Cost, Progress, largest, memory_peak, reset_memory_peak, utc_now
from .metric import OpenVocabIoU
from .named_images import images_named
from .plan import Plan, agree
from .state import CountState, SessionCounts, StateFolder

FOLDER = "evaluation"
"""Folder of the state in the working directory."""
_TIMES = ("test/time", "test/data_time")
_REMEMBERED = 100
"""Number of iteration times kept for the log; mmengine would keep a million."""


@runtime_checkable
class CountingMetric(Protocol):
    """Metric whose only state is counts that add up, in any order and over any ranks."""

    def state(self) -> CountState:
        """Copy of the counts so far; later images do not change it."""

    def add_state(self, state: CountState) -> None:
        """Adds the counts of another rank or an earlier session.

        Raises:
            ValueError: the counts are of other categories.
        """


@LOOPS.register_module()
class ResumableTestLoop(TestLoop):
    """Counts every image exactly once, even if the run is interrupted and resumed.

    Only counts are kept of an image, so 5,000 images need no more memory than 50. Every few
    seconds each rank writes its counts, and the images they cover, to the folder ``evaluation`` in
    the working directory. A resumed run evaluates the remaining images, with any number of ranks.
    It refuses a state of other weights, another protocol or other data.

    Args:
        runner: mmengine runner.
        dataloader: config of the data loader. Its sampler must be DefaultSampler; it is replaced
            by `EachPictureOnce`, which neither repeats nor skips images.
        evaluator: config of metrics that are `CountingMetric`.
        fp16: True to compute under autocast.
        precision: number type in which images are segmented, a key of
            `ovss.layers.precision.PRECISIONS`. Views are merged in float32, unlike with `fp16`.
        resume: True to continue from the state in the working directory, if there is one.
        save_every: seconds between two writes of the state.
        report_every: seconds between two progress lines.

    `protocol` is the settled protocol of the run. If it is None, it is read once from the runner's
    config and the dataset. After `run`, `cost` holds the time and memory used.

    Raises:
        ValueError: the config has a sampler or batch sampler that cannot be replaced, or the
            device does not compute in `precision`.
        TypeError: a metric keeps more than counts.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict,
        evaluator: Evaluator | dict | list,
        fp16: bool = False,
        precision: str = "float32",
        resume: bool = False,
        save_every: float = 10.0,
        report_every: float = 15.0,
    ) -> None:
        super().__init__(runner, _each_once(dataloader), evaluator, fp16)
        for metric in self.evaluator.metrics:
            if not isinstance(metric, CountingMetric):
                raise TypeError(
                    f"Metric {type(metric).__name__} keeps data of every image, so its evaluation "
                    f"cannot be resumed. Use OpenVocabIoU, or mmengine's TestLoop without a result "
                    f"file (ovss.training.build.build_runner(..., testing=True).test())"
                )
        self.precision = check_precision(precision, torch.device(get_device()))
        self.resume, self.save_every, self.report_every = resume, save_every, report_every
        self.sampler = cast(EachPictureOnce, self.dataloader.sampler)
        self.protocol: SettledProtocol | None = None
        self.cost: Cost | None = None

    def run(self) -> dict[str, float]:
        """Evaluates the remaining images and reports on the whole dataset.

        Raises:
            ResumeError: the state in the working directory belongs to another evaluation.
            FloatingPointError: the model gives values that are not finite. The message names the
                image.
        """
        self.runner.call_hook("before_test")
        self.runner.call_hook("before_test_epoch")
        self.runner.model.eval()
        self.test_loss.clear()
        _remember_little(self.runner)
        reset_memory_peak()
        dataset = self.dataloader.dataset
        if self.protocol is None:
            meta = getattr(dataset, "metainfo", None)  # mmengine's datasets have it
            self.protocol = read_protocol(self.runner.cfg, metainfo=meta)
        empty = [metric.state() for metric in self.evaluator.metrics]
        types = f"{self.precision}{' autocast' * self.fp16}"
        plan = agree(self.runner, self.root, dataset, self.protocol, types, self.resume, empty)
        try:
            seconds = self._count(plan)
            self.cost = self._sum_up(plan, seconds)
            metrics = self._evaluate(plan)
        finally:
            self.runner.evaluation_lock = None  # ends the lock that the first rank took
        self.runner.call_hook("after_test_epoch", metrics=metrics)
        self.runner.call_hook("after_test")
        return metrics

    @property
    def root(self) -> Path:
        """Folder that holds the states of all evaluations in this working directory."""
        return Path(self.runner.work_dir) / FOLDER

    def _count(self, plan: Plan) -> float:
        """Evaluates the share of this rank, saves its state regularly, returns the seconds used."""
        state = StateFolder(self.root, plan.identity)
        self.sampler.give(plan.left_N)
        done_N = np.zeros(len(plan.left_N), bool)
        start = saved = time.perf_counter()
        before = int((~plan.left_N).sum())
        tell = partial(say, self.runner.logger)
        progress = Progress(len(done_N), before, self.sampler.ranks, self.report_every, tell)
        began, end, size = utc_now(), 0, self.dataloader.batch_size or 1

        def save() -> None:
            counts = [metric.state() for metric in self.evaluator.metrics]
            part = SessionCounts(done_N, counts, time.perf_counter() - start, began)
            try:
                state.write(plan.session, self.runner.rank, part)
            except OSError as error:  # the counts are still in memory, so the run goes on
                self.runner.logger.warning(
                    f"The state could not be written, so an interruption now would lose the counts "
                    f"of this session: {error}"
                )

        try:
            with batches_of(self.dataloader) as batches:
                for index, batch in enumerate(batches):
                    named = images_named(unwrap(self.runner.model), batch, "the test data")
                    with named, computing_in(self.precision):
                        self.run_iter(index, batch)
                    begin, end = end, min(end + size, len(self.sampler))
                    done_N[self.sampler.indices[begin:end]] = True
                    progress.step(end)
                    if time.perf_counter() - saved >= self.save_every:
                        save()
                        saved = time.perf_counter()
        except BaseException as error:
            if isinstance(error, FloatingPointError) and end:
                save()  # the model failed before the batch was counted
                saved = time.perf_counter()
            # otherwise the counts may include half a batch, so they are not saved
            if saved > start or plan.parts:
                tell(f"The counts so far are kept in {self.root}. A resumed run continues there")
            raise
        if end:
            save()
        else:  # mmengine's log averages these and fails on an empty list
            for name in _TIMES:
                self.runner.message_hub.update_scalar(name, 0.0)
        return time.perf_counter() - start

    def _sum_up(self, plan: Plan, seconds: float) -> Cost:
        try:
            usages = all_gather((seconds, memory_peak()))
        except RuntimeError as error:
            if not is_process_lost(error):
                raise
            lost = ProcessLostError(
                f"Another rank of this evaluation has ended or cannot be reached ({error}). "
                f"The counts so far are kept in {self.root}"
            )
            raise advised(lost, "resume") from error
        return Cost(
            plan.started,
            max(plan.started, utc_now()),  # a clock may have been set back meanwhile
            plan.seconds_before + max(rank_seconds for rank_seconds, _ in usages),
            plan.sessions_before + 1,
            self.sampler.ranks,
            len(plan.left_N),
            largest([peak for _, peak in usages]),
        )

    def _evaluate(self, plan: Plan) -> dict[str, float]:
        state = StateFolder(self.root, plan.identity)
        for number, metric in enumerate(self.evaluator.metrics):
            for part in plan.parts:
                metric.add_state(part.counts[number])
            if metric.collect_device == "cpu" and metric.collect_dir is None:
                # mmengine would create its folder in the current directory
                metric.collect_dir = str(state.folder / f"gather-{number}")
        metrics: dict[str, float] = self.evaluator.evaluate(len(plan.left_N))
        for metric in self.evaluator.metrics:
            if isinstance(metric, OpenVocabIoU) and metric.report is not None:
                echo(self.runner.logger, metric.report.table())
        if self.runner.rank == 0:
            with suppress(OSError):  # the metrics are computed already
                state.mark_complete()
        return metrics


@DATA_SAMPLERS.register_module()
class EachPictureOnce(Sampler[int]):
    """Every `ranks`-th remaining image, starting with the `rank`-th, without repeats.

    Some ranks may get one image more than others, because no image is repeated to even that out.

    Args:
        dataset: dataset; only its length is used.
        seed: unused, because nothing is random; mmengine passes it to every sampler.
        rank: index of this rank; None: that of torch.distributed.
        ranks: number of ranks; None: that of torch.distributed.
    """

    def __init__(
        self,
        dataset: Sized,
        seed: int | None = None,
        rank: int | None = None,
        ranks: int | None = None,
    ) -> None:
        own, all_ranks = get_dist_info()
        self.rank = own if rank is None else rank
        self.ranks = all_ranks if ranks is None else ranks
        self.length = len(dataset)
        self.indices: NDArray[np.int64]
        self.give(np.ones(self.length, bool))

    def give(self, left_N: NDArray[np.bool_]) -> None:
        """Distributes the images marked in `left_N` over the ranks.

        Raises:
            ValueError: the number of marks is not the number of images.
        """
        if len(left_N) != self.length:
            raise ValueError(
                f"One mark per image is expected, but there are {len(left_N)} marks for "
                f"{self.length} images"
            )
        self.indices = np.flatnonzero(left_N)[self.rank :: self.ranks]

    def __iter__(self) -> Iterator[int]:
        return (int(index) for index in self.indices)

    def __len__(self) -> int:
        return len(self.indices)


def _each_once(dataloader: dict) -> dict:
    """Data loader config with a sampler that accepts the remaining images."""
    if not isinstance(dataloader, dict):
        raise TypeError(
            f"ResumableTestLoop expects the config of its data loader, but got a "
            f"{type(dataloader).__name__}. Build the Runner from a config"
        )
    config = copy.deepcopy(dict(dataloader))
    kind = (config.get("sampler") or {}).get("type", "DefaultSampler")
    if kind not in ("DefaultSampler", "EachPictureOnce") or config.get("batch_sampler"):
        raise ValueError(
            f"ResumableTestLoop expects a DefaultSampler and no batch_sampler in test_dataloader, "
            f"but found {kind} or a batch_sampler, which may repeat images. Use "
            f"sampler=dict(type='DefaultSampler', shuffle=False, round_up=False)"
        )
    config["sampler"] = {"type": "EachPictureOnce"}
    config["drop_last"] = False
    return config


def _remember_little(runner: Runner) -> None:
    """Limits the log history to the last iterations, which are all its running means need."""
    for name in _TIMES:
        runner.message_hub.log_scalars[name] = HistoryBuffer(max_length=_REMEMBERED)
