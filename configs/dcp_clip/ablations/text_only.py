"""Table V, guidance of text alone."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(head=dict(interaction="none", prompt="none"))
