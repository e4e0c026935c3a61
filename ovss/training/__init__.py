"""What training needs beyond mmengine: steps that are the same on any number of processes, losses
that must be finite, checkpoints that survive, less memory."""

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
