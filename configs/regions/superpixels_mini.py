"""Superpixels instead of trained regions, at mini scale; without training.

Needs the extra `superpixels` (scikit-image).

Test:  ovss test superpixels_mini
Weights: none to train.
"""

_base_ = ["oracle_mini.py"]
_superpixels = dict(type="SuperpixelProposer", regions=40, compactness=10.0, sigma=1.0)
model = dict(encoder=dict(proposer=dict(_delete_=True, **_superpixels)))
