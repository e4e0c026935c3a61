"""Table VI c, decoder guided by the encoder's levels alone."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(decoder=dict(sources=("levels",)))
