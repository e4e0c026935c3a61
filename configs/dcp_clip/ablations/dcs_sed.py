"""Table III, category selection and the spatial-enhanced decoder, over cosines only embedded."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(
    head=dict(cross_attention=False, self_attention=False),
    post_processor=dict(_delete_=True, type="Identity"),
)
