"""Table VI b, one decoder stage."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(decoder=dict(layers=1))
