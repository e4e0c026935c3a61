"""DPSeg: dual prompts for open-vocabulary segmentation (Zhao et al., CVPR 2025).

Importing this package registers `DualPromptEncoder`, `CVGDecoder` and `DPSegmentor`.
"""

from .bank import BankError, Entry, Maker, VisualPromptBank
from .bank_writer import BankWriter
from .decoder import CVGDecoder
from .encoder import DualPromptEncoder
from .prompts import VisualPrompts, dual_prompts
from .segmentor import DPSegmentor

__all__ = [
    "BankError",
    "BankWriter",
    "CVGDecoder",
    "DPSegmentor",
    "DualPromptEncoder",
    "Entry",
    "Maker",
    "VisualPromptBank",
    "VisualPrompts",
    "dual_prompts",
]
