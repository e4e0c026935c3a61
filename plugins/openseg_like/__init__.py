"""OpenSeg-like: masks without categories, grounded in words of whole images.

Importing this package registers `PooledQueryProposer` and the loss ``grounding``.
"""

from .loss import Grounding
from .proposer import PooledQueryProposer

__all__ = ["Grounding", "PooledQueryProposer"]
