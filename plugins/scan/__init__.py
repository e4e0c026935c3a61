"""SCAN: semantic-assisted calibration for open-vocabulary segmentation (Liu et al., CVPR 2024)."""
