"""The test loop: bounded, exact over any number of processes, and able to go on after a kill."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sized
from contextlib import suppress
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np
from mmengine.dist import get_dist_info
from mmengine.evaluator import Evaluator
from mmengine.logging import HistoryBuffer
from mmengine.registry import DATA_SAMPLERS, LOOPS
from mmengine.runner import Runner, TestLoop
from numpy.typing import NDArray
from torch.utils.data import Sampler

from ovss.distributed import ProcessLostError, all_gather, is_process_lost
from ovss.io.advice import advised
from ovss.protocols.settled import SettledProtocol, read_protocol

from .cost import Cost, Progress, largest, memory_peak, reset_memory_peak, utc_now
from .plan import Plan, agree
from .state import CountState, Part, StateFolder

FOLDER = "evaluation"
"""In the working directory: where the state is."""
_TIMES = ("test/time", "test/data_time")
_REMEMBERED = 100
"""Iterations whose times are kept for the log; mmengine would keep a million."""


@runtime_checkable
class CountingMetric(Protocol):
    """A metric whose whole memory is counts that add up, in any order and over any processes."""

    def state(self) -> CountState:
        """The counts so far; what later pictures add does not change what was returned."""

    def add_state(self, state: CountState) -> None:
        """Count what another process, or an earlier session, has counted.

        Raises:
            ValueError: counts of other categories.
        """


@LOOPS.register_module()
class ResumableTestLoop(TestLoop):
    """Counts every picture once, whatever happens in between.

    A picture leaves nothing behind but counts, so that 5,000 pictures need no more memory than 50.
    Every few seconds each process writes its counts, and which pictures they are of, under
    ``evaluation`` in the working directory. Going on from there takes what is left, with any number
    of processes. A state of other weights, another protocol or other data is refused.

    Args:
        runner: mmengine's.
        dataloader: config; its sampler, which must be DefaultSampler, gives way to one that
            repeats no picture and leaves none out.
        evaluator: config of metrics that can be continued (`CountingMetric`).
        fp16: compute under autocast.
        resume: go on from what the working directory holds; start anew if it holds nothing.
        save_every, report_every: seconds between states, and between lines on progress.

    `protocol` is the protocol that was settled for the run; without one it is read, once, from the
    runner's config and the dataset as it was built. After `run`, `cost` tells what it took.

    Raises:
        ValueError: a sampler, or batches, that cannot be shared out anew.
        TypeError: a metric that keeps more than counts.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: dict,
        evaluator: Evaluator | dict | list,
        fp16: bool = False,
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
        self.resume, self.save_every, self.report_every = resume, save_every, report_every
        self.sampler = cast(EachPictureOnce, self.dataloader.sampler)
        self.protocol: SettledProtocol | None = None
        self.cost: Cost | None = None

    def run(self) -> dict[str, float]:
        """Evaluate what is left, and report on the whole.

        Raises:
            ResumeError: the state in the working directory is of another evaluation.
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
        plan = agree(self.runner, self.root, dataset, self.protocol, self.fp16, self.resume)
        seconds = self._count(plan)
        self.cost = self._sum_up(plan, seconds)
        metrics = self._evaluate(plan)
        self.runner.call_hook("after_test_epoch", metrics=metrics)
        self.runner.call_hook("after_test")
        return metrics

    @property
    def root(self) -> Path:
        """Folder of the states of all evaluations of this working directory."""
        return Path(self.runner.work_dir) / FOLDER

    def _count(self, plan: Plan) -> float:
        """This process's share, its state written as it goes; returns seconds."""
        state = StateFolder(self.root, plan.identity)
        self.sampler.give(plan.left_N)
        done_N = np.zeros(len(plan.left_N), bool)
        start = saved = time.perf_counter()
        before = int((~plan.left_N).sum())
        say = self.runner.logger.info if self.runner.rank == 0 else lambda line: None
        progress = Progress(len(done_N), before, self.sampler.ranks, self.report_every, say)
        began, end, size = utc_now(), 0, self.dataloader.batch_size or 1

        def save() -> None:
            counts = [metric.state() for metric in self.evaluator.metrics]
            part = Part(done_N, counts, time.perf_counter() - start, began)
            try:
                state.write(plan.session, self.runner.rank, part)
            except OSError as error:  # the counts are in memory: no reason to lose them, too
                self.runner.logger.warning(f"a kill now would cost this session's work: {error}")

        try:
            for index, batch in enumerate(self.dataloader):
                self.run_iter(index, batch)
                begin, end = end, min(end + size, len(self.sampler))
                done_N[self.sampler.mine[begin:end]] = True
                progress.step(end)
                if time.perf_counter() - saved >= self.save_every:
                    save()
                    saved = time.perf_counter()
        except BaseException:  # counts of half a batch may be among them now: nothing is saved
            if saved > start or plan.parts:
                say(f"The counts so far are kept in {self.root}. A resumed run continues from them")
            raise
        if end:
            save()
        else:  # the log wants a mean of something
            for name in _TIMES:
                self.runner.message_hub.update_scalar(name, 0.0)
        return time.perf_counter() - start

    def _sum_up(self, plan: Plan, seconds: float) -> Cost:
        try:
            everyone = all_gather((seconds, memory_peak()))
        except RuntimeError as error:
            if not is_process_lost(error):
                raise
            lost = ProcessLostError(
                f"another process of this evaluation has ended or cannot be reached ({error}). "
                f"The counts so far are kept in {self.root}"
            )
            raise advised(lost, "resume") from error
        return Cost(
            plan.started,
            utc_now(),
            plan.seconds_before + max(each for each, _ in everyone),
            plan.sessions_before + 1,
            self.sampler.ranks,
            len(plan.left_N),
            largest([peak for _, peak in everyone]),
        )

    def _evaluate(self, plan: Plan) -> dict[str, float]:
        state = StateFolder(self.root, plan.identity)
        for number, metric in enumerate(self.evaluator.metrics):
            for part in plan.parts:
                metric.add_state(part.counts[number])
            if metric.collect_device == "cpu" and metric.collect_dir is None:
                # mmengine would use a folder wherever the command was started
                metric.collect_dir = str(state.folder / f"gather-{number}")
        metrics: dict[str, float] = self.evaluator.evaluate(len(plan.left_N))
        if self.runner.rank == 0:
            with suppress(OSError):  # the figures are there
                state.mark_complete()
        return metrics


@DATA_SAMPLERS.register_module()
class EachPictureOnce(Sampler[int]):
    """Every `ranks`-th of the pictures that are left, beginning with the `rank`-th; no repeats.

    Processes may get one picture more or less than others: none is repeated to even that out.

    Args:
        dataset: only its length is asked for.
        seed: taken since mmengine gives one; nothing is drawn.
        rank, ranks: this process and how many there are; None: as torch.distributed has it.
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
        self.pictures = len(dataset)
        self.mine: NDArray[np.int64]
        self.give(np.ones(self.pictures, bool))

    def give(self, left_N: NDArray[np.bool_]) -> None:
        """Share out the pictures that are marked."""
        if len(left_N) != self.pictures:
            raise ValueError(f"marks of {len(left_N)} pictures for a set of {self.pictures}")
        self.mine = np.flatnonzero(left_N)[self.rank :: self.ranks]

    def __iter__(self) -> Iterator[int]:
        return (int(index) for index in self.mine)

    def __len__(self) -> int:
        return len(self.mine)


def _each_once(dataloader: dict) -> dict:
    """A loader's config whose sampler can be told what is left."""
    if not isinstance(dataloader, dict):
        raise TypeError(
            f"ResumableTestLoop needs the config of its data loader, got a "
            f"{type(dataloader).__name__}: build the Runner of the config"
        )
    config = copy.deepcopy(dict(dataloader))
    kind = (config.get("sampler") or {}).get("type", "DefaultSampler")
    if kind not in ("DefaultSampler", "EachPictureOnce") or config.get("batch_sampler"):
        raise ValueError(
            f"test_dataloader has a sampler of its own ({kind}) or a batch_sampler, which may "
            f"repeat pictures: use sampler=dict(type='DefaultSampler', shuffle=False, "
            f"round_up=False)"
        )
    config["sampler"] = {"type": "EachPictureOnce"}
    config["drop_last"] = False
    return config


def _remember_little(runner: Runner) -> None:
    """The log's running means need the last times only."""
    for name in _TIMES:
        runner.message_hub.log_scalars[name] = HistoryBuffer(max_length=_REMEMBERED)
