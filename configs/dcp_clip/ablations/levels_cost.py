"""Table VI c, decoder guided by the encoder's levels and the plain cosines."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(decoder=dict(sources=("levels", "cost")))
