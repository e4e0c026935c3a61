"""Table III on mini_web, category selection and spatial-enhanced decoder."""

_base_ = ["../dcp_clip_mini_web.py"]
weights = None
model = dict(
    head=dict(cross_attention=False, self_attention=False),
    post_processor=dict(_delete_=True, type="Identity"),
)
