"""DCP-CLIP's tag validation after a method that compares regions, at mini scale.

Test:  ovss test maskformer_tags_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean:
       77.2 / 75.2 / 76.2; maskformer_mini on the same scenes 77.2 / 75.1 / 76.2.
Weights: bundled, those of maskformer_mini without further training.
"""

_base_ = ["../regions/maskformer_mini.py"]
custom_imports = dict(imports=["ovss_plugins.dcp_clip"])
_tags = dict(type="TagValidation", seen="mini_556_seen", k=5)
model = dict(post_processor=dict(_delete_=True, **_tags))
