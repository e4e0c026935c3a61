"""Kernels chosen by measurement: several ways to compute the same numbers, the fastest is used.

Which kernel is fastest depends on the processor and on the shapes. An `Operation` therefore
measures its kernels the first time that it meets a class of shapes on a machine, and keeps the
choice on disk. With tuning off (``OVSS_TUNE=off``, ``--no-tune``, `fixed_kernels`) a fixed rule
chooses, so that results do not depend on measurements.
"""

from .choices import Choice, Choices, choices_file, machine_facts
from .convolution import CONVOLUTION, convolve
from .operation import Kernel, Operation, operations
from .portions import Portions
from .settings import fixed_kernels, is_tuning, set_tuning

__all__ = [
    "CONVOLUTION",
    "Choice",
    "Choices",
    "Kernel",
    "Operation",
    "Portions",
    "choices_file",
    "convolve",
    "fixed_kernels",
    "is_tuning",
    "machine_facts",
    "operations",
    "set_tuning",
]
