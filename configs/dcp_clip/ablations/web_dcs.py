"""Table III on mini_web, category selection only."""

_base_ = ["../dcp_clip_mini_web.py"]
weights = None
model = dict(
    head=dict(cross_attention=False, self_attention=False),
    decoder=dict(layers=0),
    post_processor=dict(_delete_=True, type="Identity"),
)
