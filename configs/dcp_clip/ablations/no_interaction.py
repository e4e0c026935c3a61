"""Table V, guidance of text and prompt, without the interaction of text and image."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(head=dict(interaction="none"))
