"""ZS3Net: zero-shot semantic segmentation (Bucher et al., NeurIPS 2019, arXiv 1906.00817).

Evaluation only. Importing this package registers `ClosedDeepLabEncoder`.
"""

from .encoder import ClosedDeepLabEncoder

__all__ = ["ClosedDeepLabEncoder"]
