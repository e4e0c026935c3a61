"""Superpixels instead of trained regions, at mini scale; without training.

Needs the extra `superpixels` (scikit-image).

Test:  ovss test superpixels_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 62.8 / 61.7 / 62.3;
       maskclip_mini, which compares cells of the same dense tokens, 60.4 / 59.7 / 60.1.
Weights: none to train.
"""

_base_ = ["oracle_mini.py"]
_superpixels = dict(type="SuperpixelProposer", regions=40, compactness=10.0, sigma=1.0)
model = dict(encoder=dict(proposer=dict(_delete_=True, **_superpixels)))
