"""Table VI c, decoder without guidance."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(decoder=dict(sources=()))
