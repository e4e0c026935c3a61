"""Table III on mini_web, no module."""

_base_ = ["../dcp_clip_mini_web.py"]
weights = None
model = dict(
    selector=dict(threshold=0.0),
    head=dict(cross_attention=False, self_attention=False),
    decoder=dict(layers=0),
    post_processor=dict(_delete_=True, type="Identity"),
)
