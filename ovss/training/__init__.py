"""Extensions of mmengine's training.

Steps give the same result on any number of ranks, losses that are not finite stop the run, and
checkpoints are written atomically. Further modules reduce memory.
"""

from .checkpoints import AtomicBackend, SafeCheckpointHook
from .loop import GuardedTrainLoop
from .precision import GuardedOptimWrapper, NonFiniteLossError
from .runner import TrainingRunner

__all__ = [
    "AtomicBackend",
    "GuardedOptimWrapper",
    "GuardedTrainLoop",
    "NonFiniteLossError",
    "SafeCheckpointHook",
    "TrainingRunner",
]
