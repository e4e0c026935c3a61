"""DCP-CLIP's tag validation after CAT-Seg, at mini scale.

Test:  ovss test cat_seg_tags_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean:
       76.8 / 77.1 / 77.0, equal to those without.
Weights: bundled, those of cat_seg_mini without further training.
"""

_base_ = ["../cat_seg/cat_seg_mini.py"]
custom_imports = dict(imports=["ovss_plugins.cat_seg", "ovss_plugins.dcp_clip"])
_tags = dict(type="TagValidation", seen="mini_556_seen", k=5)
model = dict(post_processor=dict(_delete_=True, **_tags))
