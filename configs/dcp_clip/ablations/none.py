"""Table III, no module: all categories are kept, cosines are embedded, one convolution."""

_base_ = ["../dcp_clip_mini.py"]
weights = None
model = dict(
    selector=dict(threshold=0.0),
    head=dict(cross_attention=False, self_attention=False),
    decoder=dict(layers=0),
    post_processor=dict(_delete_=True, type="Identity"),
)
