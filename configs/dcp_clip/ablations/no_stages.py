"""Table VI b, no decoder stage: masks on the feature grid."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(decoder=dict(layers=0))
