"""Upper bound with region tokens: true masks, embedded by one pass of CLIP with MaskCLIP's tokens.

MaskCLIP (ODISE, CVPR 2023) in place of the mean of dense tokens in oracle_mini; no training.
Test: ovss test oracle_tokens_mini [--on mini_556]
mIoU: 72.7 on mini_150, against 89.2 with the mean of dense tokens."""

_base_ = ["../regions/oracle_mini.py"]
_tokens = dict(type="MaskTokens", image_size=96)
model = dict(encoder=dict(embedders=[_tokens]))
