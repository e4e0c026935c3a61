"""DCP-CLIP's tag validation after a method that compares regions, at mini scale.

Test:  ovss test maskformer_tags_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean:
       75.0 / 72.4 / 73.7; maskformer_mini on the same scenes 74.9 / 72.3 / 73.6.
Weights: bundled, those of maskformer_mini without further training.
"""

_base_ = ["../regions/maskformer_mini.py"]
custom_imports = dict(imports=["ovss_plugins.dcp_clip"])
_tags = dict(type="TagValidation", seen="mini_556_seen", k=5)
model = dict(post_processor=dict(_delete_=True, **_tags))
