"""FC-CLIP: one frozen convolutional CLIP makes masks and classifies them (Yu et al., NeurIPS 2023).

The method is a composition of shared components, see the configs. This package holds the converter
of the authors' checkpoints.
"""

__all__: list[str] = []
