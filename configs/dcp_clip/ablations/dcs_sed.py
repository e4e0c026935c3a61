"""Table III, category selection and spatial-enhanced decoder, on embedded cosines."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(
    head=dict(cross_attention=False, self_attention=False),
    post_processor=dict(_delete_=True, type="Identity"),
)
